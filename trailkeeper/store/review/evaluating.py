"""Rules over stored records: a day at a time, each candidate parsed once for all rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any

import polars as pl

from trailkeeper.model.review.control import MOST_NOTABLE, About, Found, Notable
from trailkeeper.model.review.rule import COLUMNS, Rule, widened, worded
from trailkeeper.model.window import Window
from trailkeeper.store.lake_table import PARTITION, Tables
from trailkeeper.store.review.compiling import NORMAL, checked, compiled, stored, with_normal
from trailkeeper.store.review.fields import fields_of, parsed

_ROWS_AT_ONCE = 20_000
"""candidates that are parsed at a time: about 100 MB of columns"""
_MOST_GROUPS = 200_000
_MOST_DISTINCT = 10_000
_ALWAYS = frozenset({"UserId", "client_ip", "is_ours"})
_KEPT = ("id", "operation", "workload", "user_id", "user_type", "record_type", "raw", NORMAL)


@dataclass(slots=True)
class _Group:
    first: Notable
    records: int = 0
    different: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    candidates: pl.Expr
    """over the lake's columns: true wherever the rule may hold"""
    condition: pl.Expr
    """over the rule's own fields"""
    wanted: frozenset[str]


class Evaluation:
    """All rules over one window of one tenant; one pass over its records."""

    def __init__(self, rules: Sequence[Rule], about: About, language: str) -> None:
        """Raises `ConfigurationError` for a rule that cannot be compiled."""
        self._rules = [_compiled(rule) for rule in rules]
        self._about = about
        self._language = language
        self._found = {rule.id: Found() for rule in rules}
        self._groups: dict[str, dict[tuple[str | None, ...], _Group]] = {
            rule.id: {} for rule in rules if rule.group_by
        }

    def over(self, tables: Tables, tenant: str, window: Window) -> dict[str, Found]:
        """What each rule found, by its id; nothing for a tenant without a table."""
        table = tables.find(tenant)
        if table is not None and self._rules:
            stored = {str(part[PARTITION]) for part in table.partitions()}
            for day in _days(window):
                if day.start.date().isoformat() in stored:
                    self._day(tables.scan(table, day))
        self._conclude()
        return self._found

    def _day(self, stored_records: pl.LazyFrame) -> None:
        any_rule = reduce(or_, (each.candidates for each in self._rules))
        rows = (
            with_normal(stored_records)
            .filter(any_rule)
            .select(*_KEPT, at=pl.col("created_at").dt.epoch("us"))
            .sort("at", "id")
            .collect(engine="streaming")
        )
        for part in rows.iter_slices(_ROWS_AT_ONCE):
            self._part(part)

    def _part(self, part: pl.DataFrame) -> None:
        records: dict[int, Mapping[str, Any]] = {}
        # All rules in one go; as columns, since a rule for any operation is a single literal.
        chosen = part.with_columns(
            each.candidates.alias(str(number)) for number, each in enumerate(self._rules)
        )
        for number, each in enumerate(self._rules):
            rows = chosen[str(number)].arg_true().to_list()
            for row in rows:
                if row not in records:
                    records[row] = parsed(part["raw"][row])
            self._match(each, part, rows, [records[row] for row in rows])

    def _match(
        self,
        each: _Compiled,
        part: pl.DataFrame,
        rows: Sequence[int],
        records: Sequence[Mapping[str, Any]],
    ) -> None:
        if not rows:
            return
        values = [fields_of(record, each.wanted, self._about) for record in records]
        columns = pl.DataFrame(
            values, schema=dict.fromkeys(sorted(each.wanted), pl.String), orient="row"
        )
        not_ours = pl.col("is_ours") == "false"
        for match in columns.select((each.condition & not_ours).arg_true()).to_series():
            row = part.row(rows[match], named=True)
            self._take(each.rule, (row["id"], row["operation"], row["at"]), values[match])

    def _take(
        self, rule: Rule, known: tuple[str, str | None, int], values: dict[str, str | None]
    ) -> None:
        notable = self._notable(rule, known, values)
        if not rule.group_by:
            found = self._found[rule.id]
            found.count += 1
            if len(found.notable) < MOST_NOTABLE:
                found.notable.append(notable)
            return
        groups = self._groups[rule.id]
        key = tuple(_folded(values.get(name)) for name in rule.group_by)
        group = groups.get(key)
        if group is None:
            if len(groups) >= _MOST_GROUPS:
                return
            group = groups[key] = _Group(notable)
        group.records += 1
        if rule.distinct and len(group.different) < _MOST_DISTINCT:
            group.different.add(_folded(values.get(rule.distinct)) or "")

    def _notable(
        self, rule: Rule, known: tuple[str, str | None, int], values: dict[str, str | None]
    ) -> Notable:
        detail = rule.detail.get(self._language) or rule.detail["en"]
        return Notable(
            id=known[0],
            at=known[2],
            operation=known[1] or "",
            actor=values.get("UserId") or "",
            target=worded(rule.target, values) if rule.target else "",
            detail=worded(detail, values),
            client_ip=values.get("client_ip") or "",
            rule=rule.id,
        )

    def _conclude(self) -> None:
        """Groups that are large enough become notable events, the largest first among the kept."""
        for rule in (each.rule for each in self._rules):
            if rule.group_by:
                large = [
                    g for g in self._groups[rule.id].values() if _size(rule, g) >= rule.at_least
                ]
                found = self._found[rule.id]
                found.count = len(large)
                kept = sorted(large, key=lambda g: (-_size(rule, g), g.first.at))[:MOST_NOTABLE]
                found.notable = [_told(rule, group) for group in kept]


def _compiled(rule: Rule) -> _Compiled:
    candidates = compiled(widened(rule.condition, COLUMNS), stored)
    return _Compiled(rule, candidates, checked(rule), rule.wanted | _ALWAYS)


def _size(rule: Rule, group: _Group) -> int:
    return len(group.different) if rule.distinct else group.records


def _told(rule: Rule, group: _Group) -> Notable:
    detail = group.first.detail.replace("#records", f"{group.records}")
    detail = detail.replace("#different", f"{len(group.different)}")
    return replace(group.first, detail=detail, records=group.records)


def _folded(text: str | None) -> str | None:
    return text.lower() if text is not None else None


def _days(window: Window) -> Iterator[Window]:
    cursor = window.start
    while cursor < window.end:
        midnight = cursor.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        end = min(midnight, window.end)
        yield Window(cursor, end, window.axis)
        cursor = end
