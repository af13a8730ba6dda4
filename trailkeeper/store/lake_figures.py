"""What a report states of the stored records: counted where they lie, texts never read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from zoneinfo import ZoneInfo

import polars as pl

from trailkeeper.model.report import Count, DayCount, Figures
from trailkeeper.model.review.people import Kind, kind_of
from trailkeeper.model.window import Window
from trailkeeper.store.lake_table import Tables

TOP = 20
NO_VALUE = "(none)"
"""a record that names no workload or operation"""
SIGN_IN_FAILED = "UserLoginFailed"
"""the operation decides: ResultStatus says Success in two of three (audit-record-schema.md, 4)"""
_QUARTER = "15m"
"""offsets of all time zones in use are whole quarters of an hour"""
_IDS_AT_ONCE = 2_000_000


def figures(tables: Tables, tenant: str, window: Window, zone: ZoneInfo) -> Figures:
    """Times and days in `zone`; all zero for a tenant without a table."""
    table = tables.find(tenant)
    if table is None:
        return Figures(records=0)
    stored = tables.scan(table, window)
    total, quarters, operations, users = pl.collect_all(
        [
            _total(stored),
            _quarters(stored),
            _ranked(stored, "operation"),
            _by_user(stored),
        ],
        engine="streaming",
    )
    sums = total.row(0, named=True)
    if not sums["records"]:
        return Figures(records=0)
    by_workload: Counter[str] = Counter()
    by_day: Counter[tuple[date, str]] = Counter()
    for quarter, workload, records in quarters.iter_rows():
        by_workload[workload] += records
        by_day[quarter.astimezone(zone).date(), workload] += records
    people = _with_kind(users)
    named = _one_a_user(people.filter(pl.col("kind") != Kind.MACHINE.value))
    return Figures(
        records=sums["records"],
        by_day=tuple(DayCount(day, name, n) for (day, name), n in sorted(by_day.items())),
        by_workload=_top(by_workload.items(), len(by_workload)),
        by_operation=_top(operations.iter_rows(), TOP),
        by_user=_top(named.iter_rows(), TOP),
        users=named.height,
        guests=_different(people, Kind.GUEST),
        partners=_different(people, Kind.PARTNER),
        machines=_different(people, Kind.MACHINE),
        sign_ins_failed=sums["sign_ins_failed"],
        malformed=sums["malformed"],
        keyless=sums["keyless"],
        conflicting=_conflicting(stored, sums["records"]),
        first_at=sums["first_at"].astimezone(zone),
        last_at=sums["last_at"].astimezone(zone),
    )


def _total(stored: pl.LazyFrame) -> pl.LazyFrame:
    return stored.select(
        records=pl.len(),
        sign_ins_failed=(pl.col("operation") == SIGN_IN_FAILED).sum(),
        malformed=pl.col("malformed").sum(),
        keyless=pl.col("keyless").sum(),
        first_at=pl.col("created_at").min(),
        last_at=pl.col("created_at").max(),
    )


def _quarters(stored: pl.LazyFrame) -> pl.LazyFrame:
    """Counts by quarter of an hour: few enough for Python's own time zones to make days of."""
    return stored.group_by(
        pl.col("created_at").dt.truncate(_QUARTER), pl.col("workload").fill_null(NO_VALUE)
    ).agg(pl.len())


def _ranked(stored: pl.LazyFrame, column: str) -> pl.LazyFrame:
    return stored.group_by(pl.col(column).fill_null(NO_VALUE)).agg(pl.len())


def _by_user(stored: pl.LazyFrame) -> pl.LazyFrame:
    return (
        stored.filter(pl.col("user_id").str.strip_chars() != "")
        .group_by("user_id", "user_type")
        .agg(pl.len())
    )


def _with_kind(users: pl.DataFrame) -> pl.DataFrame:
    """With what each is. Few enough rows for Python: one a user and type."""
    pairs = zip(users["user_id"], users["user_type"], strict=True)
    kinds = [kind_of(user, number).value for user, number in pairs]
    return users.with_columns(kind=pl.Series(kinds, dtype=pl.String))


def _different(people: pl.DataFrame, kind: Kind) -> int:
    of_kind = people.filter(pl.col("kind") == kind.value)
    return of_kind["user_id"].str.to_lowercase().n_unique()


def _one_a_user(spellings: pl.DataFrame) -> pl.DataFrame:
    """User principal names do not tell case: one row a user, in the spelling seen most."""
    most_seen = pl.col("user_id").sort_by("len", "user_id", descending=[True, False]).first()
    return (
        spellings.group_by(folded=pl.col("user_id").str.to_lowercase())
        .agg(most_seen, pl.col("len").sum())
        .select("user_id", "len")
    )


def _top(counts: Iterable[tuple[str, int]], limit: int) -> tuple[Count, ...]:
    ranked = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    return tuple(Count(name, records) for name, records in ranked[:limit])


def _conflicting(stored: pl.LazyFrame, records: int) -> int:
    """Records whose key another record of the window has too, a share of all ids at a time."""
    shares = records // _IDS_AT_ONCE + 1
    share = pl.col("id").hash() % shares
    return sum(
        stored.filter(share == number)
        .group_by("id", "keyless")
        .agg(pl.len())
        .filter(pl.col("len") > 1)
        .select(pl.col("len").sum())
        .collect(engine="streaming")
        .item()
        for number in range(shares)
    )
