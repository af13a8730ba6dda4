"""The spelling that decides whether two records are one."""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.canonical import canonical, content_digest

# A tree is a word of JSON (True, False, None), a str, a Decimal, a list of trees, or an Object:
# pairs in order, equal keys allowed. Small alphabets, so that two trees are equal now and then.
KEYS = st.sampled_from(["a", "b", "é", '"', ""])
TEXTS = st.one_of(
    st.sampled_from(["", "a", "A", "1", "true", "\x7f", "\u2028", "😀", "\ud800", "\\", "/", "\n"]),
    st.text(max_size=5),
)
NUMBERS = st.builds(
    lambda digits, exponent: Decimal((0 if digits >= 0 else 1, _digits(digits), exponent)),
    st.integers(-1000, 1000) | st.integers(-(10**40), 10**40),
    st.integers(-3, 3),
)
LEAVES = st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS)


class Object(list[tuple[str, Any]]):
    """Key and value pairs in the order written."""


TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(st.tuples(KEYS, inner), max_size=4).map(Object)
    ),
    max_leaves=12,
)


def _digits(number: int) -> tuple[int, ...]:
    return tuple(map(int, str(abs(number))))


def value(tree: Any) -> Any:
    """The tree as something Python compares as the contract wants it."""
    if isinstance(tree, Object):
        pairs = sorted(((key, value(inner)) for key, inner in tree), key=lambda pair: pair[0])
        return ("object", tuple(pairs))
    if isinstance(tree, list):
        return ("array", tuple(map(value, tree)))
    return (type(tree).__name__, tree)


def spell(tree: Any, chance: Random) -> str:
    """One of the many JSON texts of the tree."""
    gap = chance.choice(["", "", " ", "\n\t", "\r\n"])
    if isinstance(tree, Object):
        pairs = shuffled(tree, chance)
        body = f"{gap},".join(f"{spell(k, chance)}{gap}:{spell(v, chance)}" for k, v in pairs)
        return f"{gap}{{{body}{gap}}}{gap}"
    if isinstance(tree, list):
        return f"{gap}[{','.join(spell(inner, chance) for inner in tree)}{gap}]{gap}"
    if isinstance(tree, str):
        return '"' + "".join(spell_character(c, chance) for c in tree) + '"'
    if isinstance(tree, Decimal):
        return spell_number(tree, chance)
    return json.dumps(tree)


def shuffled(pairs: Object, chance: Random) -> list[tuple[str, Any]]:
    """Another order of the keys, in which equal keys keep theirs."""
    rank = {key: chance.random() for key, _ in pairs}
    return sorted(pairs, key=lambda pair: rank[pair[0]])


def spell_character(character: str, chance: Random) -> str:
    escaped = json.dumps(character)[1:-1]
    if len(escaped) == 1 and chance.random() < 0.3:
        return f"\\u{ord(character):04{chance.choice('xX')}}"
    surrogate = "\ud800" <= character <= "\udfff"
    if character == "/" and chance.random() < 0.5:
        return "\\/"
    plain = character > "\x7e" and not surrogate and chance.random() < 0.5
    return character if plain else escaped


def spell_number(number: Decimal, chance: Random) -> str:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    minus = "-" if sign else ""
    zeros = chance.randrange(3)
    mantissa = f"{text}{'0' * zeros}"
    if chance.random() < 0.5:
        mantissa += f".{'0' * chance.randrange(1, 3)}"
    return f"{minus}{mantissa}{chance.choice('eE')}{exponent - zeros:+d}"


@given(TREES, st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_every_spelling_of_a_value_has_one_canonical_form(tree: Any, a: Random, b: Random) -> None:
    """Key order, spacing, escapes and number spelling do not change the canonical form."""
    assert canonical(spell(tree, a)) == canonical(spell(tree, b))


@given(TREES, TREES, st.randoms(use_true_random=False))
def test_the_canonical_form_tells_values_apart(one: Any, other: Any, chance: Random) -> None:
    """Two texts share the canonical form exactly when their values are equal."""
    same = canonical(spell(one, chance)) == canonical(spell(other, chance))
    assert same == (value(one) == value(other))


@given(TREES, st.randoms(use_true_random=False))
def test_the_canonical_form_is_json_of_itself(tree: Any, chance: Random) -> None:
    """The canonical form is ASCII JSON, and its own canonical form."""
    form = canonical(spell(tree, chance))
    assert form.isascii()
    json.loads(form)
    assert canonical(form) == form


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    """What is no JSON at all gives some text, never an error."""
    assert isinstance(canonical(text), str)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("10", "1e1"),
        ("-0", "0"),
        ("0.0e99", "0"),
        ("100e-2", "1"),
        ("0.00120", "12E-4"),
        ('"\\u00e9"', '"é"'),
        ('"\\ud83d\\ude00"', '"😀"'),
        ('"\\/"', '"/"'),
        ('{"a":1,"b":2}', ' { "b" : 2 , "a" : 1 } '),
        ('{"a":1,"b":0,"a":2}', '{"b":0,"a":1,"a":2}'),
    ],
)
def test_equal(one: str, other: str) -> None:
    """Spellings that the contract calls the same."""
    assert content_digest(one) == content_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("0", "false"),
        ("null", '"null"'),
        ("1", '"1"'),
        ('"A"', '"a"'),
        ('"e\u0301"', '"é"'),
        ('"\\ud800"', '"\\ud801"'),
        ("9007199254740993", "9007199254740992"),
        ("0.1", "0.10000000000000000001"),
        ("1e400", "1e401"),
        ("[]", "{}"),
        ("[[],[]]", "[[[]]]"),
        ('{"a":1,"a":2}', '{"a":2,"a":1}'),
        ('{"a":1,"a":1}', '{"a":1}'),
        ('["a","b"]', '{"a":"b"}'),
        ('{"a":""}', '{"a":null}'),
    ],
)
def test_different(one: str, other: str) -> None:
    """Values that careless parsers take for the same."""
    assert content_digest(one) != content_digest(other)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000 + "]" * 200_000,
        '{"b":' * 100_000 + "1" + ',"a":2}' * 100_000,
        '[["x"],' * 100_000 + '"y"' + "]" * 100_000,
        "9" * 200_000,
        "1e" + "9" * 200_000,
        "0." + "0" * 200_000 + "1",
        '"' + "\\n" * 200_000 + '"',
    ],
    ids=["arrays", "objects", "mixed", "digits", "exponent", "fraction", "escapes"],
)
def test_extreme_values_neither_raise_nor_crawl(text: str) -> None:
    """Nesting and numbers far beyond Python's own limits are read like any other."""
    form = canonical(text)
    assert canonical(form) == form
