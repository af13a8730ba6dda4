"""JSON taken apart into the pieces that it was sent in, without recursion and without trust.

Parsers are all or nothing: one bad byte, one number that is none, one nesting too deep, and a body
of ten thousand records is lost. Here a body is cut where its tokens say, each piece as received;
one that cannot be cut costs itself only, since the next record is found by its beginning. Used for
what a parser refused, so it need not be fast; it is linear in the body all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    rb"""[\ \t\r\n]*+(?:
    ([\[{])
    | ([\]}])
    | ("[^"\\]*+(?:\\.[^"\\]*+)*+")
    | ([,:])
    | ((?:true|false|null|NaN|-?Infinity|-?[0-9][0-9.eE+-]*+)(?=[\ \t\r\n,\]}:]|\Z))
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPENS, _CLOSES, _STRING, _SIGN = range(1, 5)
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_NEXT = re.compile(rb',[ \t\r\n]*+(?=\{[ \t\r\n]*+")')
"""where the next record may begin; within a text the quotation mark would be escaped"""
_FOLLOWS = re.compile(rb"[ \t\r\n]*+(?:[,\]]|[\x80-\xff](?=[ \t\r\n]*+(?:\{|\Z)))")
"""a bad byte may stand where a comma or the last bracket was, and where the first was:"""
_CLOSING = re.compile(rb"\][ \t\r\n]*+(?=[,}\0]|\Z)")
_BEGINS = re.compile(rb"\[|[\x80-\xff](?=[ \t\r\n]*+\{)")
_LOOKS = 4
"""how often a body may be gone through in search of where the next record begins"""


class NoJsonError(ValueError):
    """The body cannot be cut there."""


@dataclass(slots=True)
class Items:
    """What a list holds, each as received; `whole`: it ends as a list does."""

    pieces: list[bytes] = field(default_factory=list)
    whole: bool = False
    end: int = 0
    """just behind the list"""


def items(body: bytes, sign: str, start: int = 0) -> Items:
    """The items of the list that begins at `start`; `sign`: a key that every record has.

    What cannot be cut becomes one piece up to the next object with that key. A list that breaks off
    is not `whole`; the piece that broke off is left out. Raises `NoJsonError` when none begins.
    """
    at = _past_blanks(body, start)
    if not _BEGINS.match(body, at):
        raise NoJsonError("no list")
    found = Items(end=at + 1)
    looking = _Looking(body, sign, _LOOKS * len(body) + 1, inside=start > 0)
    at = _past_blanks(body, at + 1)
    if body[at : at + 1] == b"]":
        return Items([], whole=True, end=at + 1)
    while True:
        piece_end = looking.sound_end(at) or looking.damaged_end(at)
        if piece_end is None:
            found.pieces += looking.last(at)
            return found
        found.pieces.append(body[at:piece_end].strip())
        at = _past_blanks(body, piece_end)
        found.end = at + 1
        if body[at : at + 1] != b"," and not body.startswith(b"{", _past_blanks(body, at + 1)):
            found.whole = True
            return found
        at = _past_blanks(body, at + 1)


def members(body: bytes, lists: dict[str, str]) -> dict[str, bytes | Items]:
    """The members of an object, values as received; those named in `lists` as `items`, each with
    its sign. Raises `NoJsonError`."""
    at = _past_blanks(body, 0)
    if body[at : at + 1] != b"{":
        raise NoJsonError("no object")
    found: dict[str, bytes | Items] = {}
    at = _past_blanks(body, at + 1)
    while body[at : at + 1] != b"}":
        key, at = _key(body, at)
        value: bytes | Items
        if key in lists and body[at : at + 1] == b"[":
            value = items(body, lists[key], at)
            value_end = value.end
        else:
            value_end = value_ends(body, at)
            value = body[at:value_end].strip()
        found[key] = value
        at = _past_blanks(body, value_end)
        if body[at : at + 1] == b",":
            at = _past_blanks(body, at + 1)
        elif body[at : at + 1] != b"}":
            raise NoJsonError("an object breaks off")
    if body[at + 1 :].strip(b" \t\r\n\0"):
        raise NoJsonError("something stands behind the object")
    return found


def value_ends(body: bytes, start: int) -> int:
    """Just behind the value that begins at `start`. Raises `NoJsonError` when it has no end."""
    depth = 0
    for token in _tokens(body, start):
        kind = token.lastindex
        if kind == _OPENS:
            depth += 1
        elif kind == _CLOSES:
            depth -= 1
        if depth < 0 or (depth == 0 and kind == _SIGN):
            break
        if depth == 0:
            return token.end()
    raise NoJsonError("a value has no end")


@dataclass(slots=True)
class _Looking:
    body: bytes
    sign: str
    left: int
    """bytes that may still be gone through"""
    inside: bool
    """the list is a member of an object"""

    def sound_end(self, start: int) -> int | None:
        """The end of the item at `start`, if it ends as an item does, and what follows is right: a
        bad byte in place of a backslash makes a text end too early."""
        try:
            end = value_ends(self.body, start)
        except NoJsonError:
            self.left -= 256
            return None
        follows = _FOLLOWS.match(self.body, end)
        if not follows:
            return None
        if follows[0].endswith(b"]"):
            return end if self._ends_behind(follows.end()) else None
        return end if self._is_clean(start, end) or self._begins(follows.end()) else None

    def last(self, start: int) -> list[bytes]:
        """The item at `start` when it is whole, though nothing follows."""
        try:
            end = value_ends(self.body, start)
        except NoJsonError:
            return []
        return [] if self.body[end:].strip(b" \t\r\n\0") else [self.body[start:end]]

    def _is_clean(self, start: int, end: int) -> bool:
        try:
            self.body[start:end].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return False
        return True

    def _begins(self, start: int) -> bool:
        """Whether a record begins there."""
        start = _past_blanks(self.body, start)
        try:
            return self._is_record(self.body[start : value_ends(self.body, start)])
        except NoJsonError:
            return start == len(self.body)

    def damaged_end(self, start: int) -> int | None:
        """Where the item at `start` must have ended: before the next record, or with the list."""
        for gap in _NEXT.finditer(self.body, start):
            if self.left <= 0:
                break
            end = self.sound_end(gap.end())
            self.left -= (end or gap.end()) - gap.end() + 64
            if end is not None and self._is_record(self.body[gap.end() : end]):
                return gap.start()
        for bracket in _CLOSING.finditer(self.body, start):
            if self._ends_behind(bracket.end()):
                return bracket.start()
            self.left -= 64
            if self.left <= 0:
                break
        return None

    def _ends_behind(self, at: int) -> bool:
        """Whether the body ends as it should behind the list: with nothing, or as an object."""
        rest = self.body[at:]
        if not self.inside:
            return not rest.strip(b" \t\r\n\0")
        try:
            members(b'{"":0' + rest, {})
        except NoJsonError:
            return False
        return True

    def _is_record(self, piece: bytes) -> bool:
        try:
            return self.sign in members(piece, {})
        except NoJsonError:
            return False


def _tokens(body: bytes, start: int) -> Iterator[re.Match[bytes]]:
    at = start
    while (token := _TOKEN.match(body, at)) is not None:
        yield token
        at = token.end()


def _key(body: bytes, at: int) -> tuple[str, int]:
    token = _TOKEN.match(body, at)
    if token is None or token.lastindex != _STRING:
        raise NoJsonError("no key")
    colon = _TOKEN.match(body, token.end())
    if colon is None or colon[_SIGN] != b":":
        raise NoJsonError("a key without value")
    try:
        key = json.loads(token[_STRING].decode("utf-8", "replace"), strict=False)
    except ValueError:
        key = ""
    return str(key), _past_blanks(body, colon.end())


def _past_blanks(body: bytes, at: int) -> int:
    match = _BLANKS.match(body, at)
    return match.end() if match else at
