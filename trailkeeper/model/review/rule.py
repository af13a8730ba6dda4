"""A rule: a condition over the fields of one record, and how a match is told.

Rules are written in Sigma's format (specification 2.1; logsource product `m365`,
service `audit`). Fields beside the record's own: `param.NAME` (Parameters and OperationProperties),
`old.NAME` and `new.NAME` (ModifiedProperties), `ext.NAME` (ExtendedProperties and
DeviceProperties), and the derived ones of `DERIVED`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from trailkeeper.model.review.control import Control

DERIVED = frozenset(
    {
        "operation_norm",
        "client_ip",
        "address_block",
        "is_system",
        "is_partner",
        "is_ours",
        "is_emergency",
        "day",
        "hour",
    }
)
"""`operation_norm`: lower case, blanks collapsed, no final full stop, one kind of dash.
`client_ip`: without port. `address_block`: its /24 or /48. The others are `true` or `false`."""

RAW = "raw"
"""the record's own text, which no rule may name"""
COLUMNS = frozenset(
    {"Operation", "operation_norm", "Workload", "UserId", "UserType", "RecordType", RAW}
)
"""fields that the lake keeps as columns: a condition on them parses no record"""


class Is(StrEnum):
    """How a field is compared. Texts compare without regard to case, as Sigma does."""

    LIKE = "like"
    """a text with `*` and `?` as wildcards"""
    MATCHES = "matches"
    """a regular expression, anywhere in the text"""
    BELOW = "lt"
    AT_MOST = "lte"
    ABOVE = "gt"
    AT_LEAST = "gte"
    IN_NETWORK = "cidr"
    PRESENT = "exists"
    """the value is "true" or "false" """


@dataclass(frozen=True, slots=True)
class Test:
    field: str
    how: Is
    value: str
    """LIKE: the pattern with `\\*`, `\\?` and `\\\\` for the characters themselves"""


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


@dataclass(frozen=True, slots=True)
class Always:
    """True or false whatever the record."""

    value: bool


Condition = Test | AllOf | AnyOf | Not | Always


@dataclass(frozen=True, slots=True)
class Rule:
    """`target` and `detail` are wordings with fields in braces; see `worded`."""

    id: str
    title: str
    control: Control
    level: str
    condition: Condition
    target: str
    detail: Mapping[str, str]
    """by language; "en" is always there"""
    group_by: tuple[str, ...] = ()
    """fields whose like values make one notable of many records; empty: each record is one"""
    at_least: int = 1
    """groups of fewer records are not notable"""
    distinct: str = ""
    """of a group, count the different values of this field instead of records"""
    wanted: frozenset[str] = field(default_factory=frozenset)
    """every field that condition, wordings and groups need"""


def fields_of(condition: Condition) -> Iterator[str]:
    """Every field that a condition tests."""
    if isinstance(condition, Test):
        yield condition.field
    elif isinstance(condition, Not):
        yield from fields_of(condition.part)
    elif isinstance(condition, AllOf | AnyOf):
        for part in condition.parts:
            yield from fields_of(part)


def widened(condition: Condition, known: frozenset[str]) -> Condition:
    """A condition on `known` fields alone that holds wherever `condition` may hold."""
    return _bound(condition, known, otherwise=True)


def _bound(condition: Condition, known: frozenset[str], *, otherwise: bool) -> Condition:
    """What is not known counts as `otherwise`; under a negation as the contrary."""
    if isinstance(condition, Test):
        if condition.field in known:
            return condition
        return _HINTS.get(condition, Always(True)) if otherwise else Always(False)
    if isinstance(condition, Not):
        return _negated(_bound(condition.part, known, otherwise=not otherwise))
    if isinstance(condition, AllOf | AnyOf):
        parts = [_bound(part, known, otherwise=otherwise) for part in condition.parts]
        return _joined(type(condition), parts)
    return condition


_HINTS: Mapping[Test, Condition] = {
    Test("is_partner", Is.LIKE, "true"): AnyOf(
        (
            Test("UserType", Is.LIKE, "9"),
            Test(RAW, Is.MATCHES, r'"ExternalAccess"\s*:\s*true'),
        )
    )
}
"""What the lake's columns say of a derived field: true wherever the test may be true. Without it
a rule that holds for any operation would have every record parsed."""


def _negated(condition: Condition) -> Condition:
    return Always(not condition.value) if isinstance(condition, Always) else Not(condition)


def _joined(kind: type[AllOf] | type[AnyOf], parts: list[Condition]) -> Condition:
    """Without the parts that decide nothing."""
    deciding = kind is AnyOf
    if any(isinstance(part, Always) and part.value is deciding for part in parts):
        return Always(deciding)
    left = tuple(part for part in parts if not isinstance(part, Always))
    if not left:
        return Always(not deciding)
    return left[0] if len(left) == 1 else kind(left)


_BRACES = re.compile(r"\{([^{}]+)\}")


def named_in(wording: str) -> Iterator[str]:
    """The fields that a wording shows."""
    for match in _BRACES.finditer(wording):
        yield from (name.strip() for name in match.group(1).split("|"))


def worded(wording: str, values: Mapping[str, str | None]) -> str:
    """`wording` with each `{a|b}` replaced by the first of these fields that is not empty.

    A part in square brackets is left out where none of its fields has a value.
    """
    text = _BRACKETS.sub(lambda m: _filled(m.group(1), values) or "", wording)
    return " ".join((_filled(text, values, empty="?") or "").split())


_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def _filled(text: str, values: Mapping[str, str | None], empty: str | None = None) -> str | None:
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = next((v for n in match.group(1).split("|") if (v := values.get(n.strip()))), None)
        missing = missing or found is None
        return found if found is not None else (empty or "")

    filled = _BRACES.sub(value, text)
    return None if missing and empty is None else filled
