"""A rule's condition as one polars expression, compiled once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import reduce
from ipaddress import ip_address, ip_network

import polars as pl

from trailkeeper.errors import ConfigurationError
from trailkeeper.model.review.rule import (
    RAW,
    AllOf,
    Always,
    Condition,
    Is,
    Not,
    Rule,
    Test,
    fields_of,
)

Column = Callable[[str], pl.Expr]
"""the expression of a field, a column of texts"""


def compiled(condition: Condition, column: Column = pl.col) -> pl.Expr:
    """True where the condition holds, never null. Raises `ConfigurationError`."""
    if isinstance(condition, Always):
        return pl.lit(condition.value)
    if isinstance(condition, Test):
        return _test(condition, column(condition.field)).fill_null(False)
    if isinstance(condition, Not):
        return ~compiled(condition.part, column)
    parts = [compiled(part, column) for part in condition.parts]
    if isinstance(condition, AllOf):
        return reduce(lambda left, right: left & right, parts)
    return reduce(lambda left, right: left | right, parts)


def checked(rule: Rule) -> pl.Expr:
    """The rule's condition, tried on no record. Raises `ConfigurationError` with the rule."""
    names = sorted(set(fields_of(rule.condition)))
    empty = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    try:
        expression = compiled(rule.condition)
        empty.filter(expression)
    except (pl.exceptions.PolarsError, re.error, ValueError) as error:
        raise ConfigurationError(
            f"the rule {rule.title!r} cannot be compiled: {str(error).splitlines()[0]}",
            "Regular expressions may use neither look-around nor back references.",
        ) from None
    return expression


def stored(column: str) -> pl.Expr:
    """A field of `model.review.rule.COLUMNS` from the columns of `with_normal`, as text."""
    return _STORED[column]


NORMAL = "operation_normal"


def with_normal(records: pl.LazyFrame) -> pl.LazyFrame:
    """With the column of `operation_norm`: made once, since nearly every rule asks for it."""
    plain = (
        pl.col("operation")
        .str.replace_all(r"[\u2010-\u2015\u2212]", "-")
        .str.replace_all(r"\s+", " ")
        .str.strip_chars()
        .str.strip_chars_end(".")
        .str.strip_chars_end()
        .str.to_lowercase()
    )
    return records.with_columns(plain.alias(NORMAL))


_STORED: Mapping[str, pl.Expr] = {
    "Operation": pl.col("operation"),
    "operation_norm": pl.col(NORMAL),
    "Workload": pl.col("workload"),
    "UserId": pl.col("user_id"),
    "UserType": pl.col("user_type").cast(pl.String),
    "RecordType": pl.col("record_type").cast(pl.String),
    RAW: pl.col("raw"),
}


def _test(test: Test, value: pl.Expr) -> pl.Expr:
    if test.how is Is.PRESENT:
        return value.is_not_null() if test.value == "true" else value.is_null()
    if test.how is Is.LIKE:
        return _like(test.value, value)
    if test.how is Is.MATCHES:
        return value.str.contains(test.value)
    if test.how is Is.IN_NETWORK:
        return _in_network(test.value, value)
    return _COMPARED[test.how](value.cast(pl.Float64, strict=False), float(test.value))


_COMPARED: Mapping[Is, Callable[[pl.Expr, float], pl.Expr]] = {
    Is.BELOW: lambda value, bound: value < bound,
    Is.AT_MOST: lambda value, bound: value <= bound,
    Is.ABOVE: lambda value, bound: value > bound,
    Is.AT_LEAST: lambda value, bound: value >= bound,
}
_PARTS = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)


def _like(pattern: str, value: pl.Expr) -> pl.Expr:
    """Whole texts without regard to case, `*` and `?` as wildcards."""
    plain, expression, wild = "", "", False
    for escaped, sign, text in (match.groups() for match in _PARTS.finditer(pattern)):
        wild = wild or bool(sign)
        plain += escaped or text or ""
        expression += {"*": ".*", "?": "."}.get(sign or "", re.escape(escaped or text or ""))
    if wild:
        return value.str.contains(f"(?is)^{expression}$")
    return value.str.to_lowercase() == plain.lower()


def _in_network(network: str, value: pl.Expr) -> pl.Expr:
    known = ip_network(network, strict=False)

    def inside(text: str) -> bool:
        try:
            return ip_address(text) in known
        except ValueError:
            return False

    return value.map_elements(inside, return_dtype=pl.Boolean)
