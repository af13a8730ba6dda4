"""A rule tried on records that are no tenant's: the examples of its own file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from trailkeeper.model.review.control import About
from trailkeeper.model.review.rule import Rule
from trailkeeper.store.review.compiling import checked
from trailkeeper.store.review.fields import fields

EXAMPLE_TENANT = About(emergency_accounts=frozenset({"breakglass@contoso.example"}))
"""whose records the examples are"""

Record = Mapping[str, Any]


def matched(rule: Rule, records: Sequence[Record], about: About = EXAMPLE_TENANT) -> list[int]:
    """Which of the records the rule's condition holds for; groups and thresholds aside.

    Raises `ConfigurationError` for a rule that cannot be compiled.
    """
    expression = checked(rule)
    values = [fields(json.dumps(record, default=str), rule.wanted, about) for record in records]
    columns = pl.DataFrame(
        values, schema=dict.fromkeys(sorted(rule.wanted), pl.String), orient="row"
    )
    return columns.select(expression.arg_true()).to_series().to_list() if values else []


def failures(rule: Rule, finds: Sequence[Record], passes: Sequence[Record]) -> Iterator[str]:
    """What is wrong with the rule by its own examples, a sentence each."""
    if not finds:
        yield "it names no record that it finds"
    found, passed = set(matched(rule, finds)), set(matched(rule, passes))
    for number in sorted(set(range(len(finds))) - found):
        yield f"its example {number + 1} of finds is not found"
    for number in sorted(passed):
        yield f"its example {number + 1} of passes is found"
