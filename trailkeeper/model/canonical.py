"""When two texts are the same JSON value, although their bytes differ.

The contract (Export form) calls two records equal "as JSON values; key order, spacing and escapes
aside". Ordinary parsers are no judge of that: they keep one of two equal keys, round big numbers
and hold `true` equal to `1`. So the text is rewritten here token by token, in time linear in its
length and without recursion: nesting is bounded by nothing but the record's size.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, Context, Decimal
from hashlib import blake2b
from json import JSONDecoder
from json.encoder import encode_basestring_ascii
from operator import itemgetter

DIGEST_SIZE = 16
"""bytes; at 10^15 records the odds that two different ones share a digest are one in 10^9"""

# Commas and colons say nothing that brackets and order do not say already: they are skipped.
_TOKEN = re.compile(
    r"""
    ([\[{])                                # 1 a container begins
    | ([\]}])                              # 2 it ends
    | ("[ !\#-\[\]-~]*")                   # 3 text already in canonical spelling
    | ("[^"\\]*(?:\\.[^"\\]*)*")           # 4 other text
    | ((?:true|false|null|0|-?[1-9](?:\d*[1-9])?)(?![^\s,\]}]))  # 5 words, and numbers already so
    | ([^\s,:\[\]{}"]+)                    # 6 other numbers
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN, _CLOSE, _PLAIN_TEXT, _TEXT, _PLAIN_WORD = range(1, 6)
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?)(\d+))?")
_JOINED_LIMIT = 4096
"""characters up to which a container becomes one string; joining larger ones level by level would
take quadratic time on deep nesting"""

_Node = str | list["_Node"]
_first = itemgetter(0)
_decoded = JSONDecoder(strict=False).decode


def canonical(text: str) -> str:
    """One spelling for all texts of the same JSON value: itself JSON, ASCII, without spaces.

    Keys of an object are sorted; equal keys stay in the order received, because readers disagree on
    which of them counts. Numbers are exact: `1`, `1.0` and `10e-1` are one number, `true` is none.
    Never raises: a text whose brackets do not match is its own canonical form.
    """
    try:
        return _spelled(_parsed(text))
    except (IndexError, TypeError, ValueError):  # only texts that are not JSON
        return text


def content_digest(text: str) -> bytes:
    """`DIGEST_SIZE` bytes, equal for texts of the same JSON value."""
    form = canonical(text).encode("utf-8", "surrogatepass")
    return blake2b(form, digest_size=DIGEST_SIZE).digest()


def _parsed(text: str) -> _Node:
    """The value as a tree of spelled pieces. Raises `ValueError` or its kin for what is no JSON."""
    items: list[_Node] = []
    outer: list[tuple[str, list[_Node]]] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastindex, match[0]
        if kind == _OPEN:
            outer.append((token, items))
            items = []
        elif kind == _CLOSE:
            bracket, parent = outer.pop()
            parent.append(_closed(bracket, items, token))
            items = parent
        else:
            items.append(_scalar(kind, token))
    if outer:
        raise ValueError("a bracket is left open")
    (root,) = items
    return root


def _scalar(kind: int | None, token: str) -> str:
    if kind in (_PLAIN_TEXT, _PLAIN_WORD):
        return token
    if kind == _TEXT:
        return encode_basestring_ascii(_decoded(token))
    return _number(token)


def _closed(opening: str, items: list[_Node], closing: str) -> _Node:
    """The finished container: one string when it is short, else the list of its pieces."""
    pieces: list[_Node]
    if opening == "{":
        pairs = sorted(zip(items[::2], items[1::2], strict=True), key=_first)
        pieces = [piece for key, value in pairs for piece in (",", key, ":", value)]
    else:
        pieces = [piece for value in items for piece in (",", value)]
    pieces[:1] = [opening]
    pieces.append(closing)
    if len(pieces) < _JOINED_LIMIT and sum(map(len, pieces)) < _JOINED_LIMIT:
        return _joined(pieces)
    return pieces


def _joined(pieces: list[_Node]) -> _Node:
    try:
        return "".join(pieces)  # type: ignore[arg-type]  # a nested list raises, and stays a list
    except TypeError:
        return pieces


def _spelled(root: _Node) -> str:
    spelled: list[str] = []
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            spelled.append(node)
        else:
            pending.extend(reversed(node))
    return "".join(spelled)


def _number(token: str) -> str:
    """`-120.50e3` as `-1205e2`: significant digits and one exponent, exact at any length."""
    match = _NUMBER.fullmatch(token)
    if match is None:
        return token
    sign, whole, fraction, exponent_sign, exponent = match.groups("")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "0"
    shift = len(digits) - len(significant) - len(fraction)
    power = _plus(shift, f"{exponent_sign}{exponent}") if exponent else str(shift)
    return f"{sign}{significant}" if power == "0" else f"{sign}{significant}e{power}"


def _plus(shift: int, exponent: str) -> str:
    """Exact at any length, which `int` refuses beyond 4,300 digits."""
    context = Context(prec=len(exponent) + 25, Emax=MAX_EMAX)
    return str(context.add(Decimal(exponent), Decimal(shift)))
