"""Whatever an answer holds, from its bytes to the export: every record is there, and none twice."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.store.lake_words import T0, TENANT, World
from trailkeeper.microsoft.activity.blob import read_blob
from trailkeeper.microsoft.exchange.page import read_page
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.record import RecordColumns

_ZONES = st.sampled_from(["", "Z", "+00:00", "-14:00", "+14:00", "+23:59", "-00:00", " ", "+0100"])
_FRACTIONS = st.sampled_from(["", ".1", ".1234567", ".9999999", ".0000000", "."])
_CLOCKS = st.sampled_from(["00:00:00", "23:59:59", "23:59:60", "24:00:00", "24:00", "12:60:00"])
_DAYS = st.one_of(
    st.dates().map(str),
    st.sampled_from(["0001-01-01", "9999-12-31", "0000-00-00", "10000-01-01", "-0001-01-01"]),
    st.sampled_from(["2026-02-29", "2026-W53-7", "2026-366", "1582-10-10", "20261001"]),
)
TIMES = st.builds(lambda *parts: "{}T{}{}{}".format(*parts), _DAYS, _CLOCKS, _FRACTIONS, _ZONES)

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=20),  # lone surrogates as well
    st.sampled_from(["\0", "\ud800", "\udfff\ud800", "\ufeff=1", "a\r\nb", "x" * 40_000]),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, float("nan"), float("inf")]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("RecordType", "Operation", "Workload", "UserId", "UserType", "ClientIP", "ResultStatus")
RECORDS = st.fixed_dictionaries(
    {"Id": st.one_of(TEXTS, VALUES), "CreationTime": st.one_of(TIMES, VALUES)},
    optional=dict.fromkeys((*_FIELDS, "Extra"), VALUES),
)


def spelled(record: dict[str, Any], twice: bool) -> str:
    """As a service writes it; `twice`: with a key repeated, which parsers fold."""
    text = json.dumps(record)
    return f'{text[:-1]},"Operation":"again"}}' if twice else text


TEXTS_SENT = st.one_of(
    st.builds(spelled, RECORDS, st.booleans()),
    st.integers(1, 30_000).map(lambda n: f'{{"Id":"deep","Extra":{"[" * n}{"]" * n}}}'),
)


def checked(pages: Sequence[RecordColumns], sent: Sequence[str], dates: Sequence[object]) -> None:
    """Land, merge twice, export: each distinct text is there, valid JSON and UTF-8, once."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        merged = world.fold(world.claim(world.land(*pages)))
        (counts,) = merged.values()
        assert counts.received == len(sent)
        again = world.fold(world.claim(world.land(*pages)))
        assert sum(each.stored for each in again.values()) == 0
        lines = world.lines()
        assert len(lines) == counts.stored
        texts = {_as_sent(line) for line in lines}
        assert texts <= set(sent)
        assert {_value(text) for text in texts} == {_value(text) for text in sent}
        table = io.BytesIO()
        assert world.lake.export_csv(TENANT, None, table) == len(lines)
        world.lake.export_parquet(TENANT, None, Path(folder) / "x.parquet")


def _as_sent(line: str) -> str:
    wrapped = _parsed(line)
    if isinstance(wrapped, dict) and isinstance(wrapped.get("AuditDataText"), str):
        return str(wrapped["AuditDataText"])
    return line


def _parsed(text: str) -> object:
    try:
        return json.loads(text, parse_int=str)
    except RecursionError:
        return None


def _value(text: str) -> str:
    """The same for texts that are equal as JSON values by the contract's measure."""
    from trailkeeper.model.canonical import canonical

    return canonical(text)


QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(QUICK, max_examples=1500)
EDGES = [
    '{"Id":"a","CreationTime":"0001-01-01T00:00:00+14:00"}',
    '{"Id":"b","CreationTime":"9999-12-31T23:59:59.9999999-14:00"}',
    '{"Id":"c","CreationTime":"9999-12-31T24:00:00"}',
    '{"Id":"d","CreationTime":"2016-12-31T23:59:60Z"}',
    '{"Id":"e","CreationTime":"0001-01-01T00:00:00","RecordType":1e400}',
    '{"Id":"f\\ud800","CreationTime":"9999-12-31T23:59:59.9999999","UserId":"\\udfff"}',
]


def _feed(sent: list[str]) -> None:
    body = f"[{','.join(sent)}]".encode()
    checked([read_blob(body, RecordReader(T0))], sent, [])


def _search(sent: list[str], date: object, identity: object) -> None:
    rows = [{"AuditData": text, "CreationDate": date, "Identity": identity} for text in sent]
    page = read_page(json.dumps({"value": rows}).encode(), RecordReader(T0))
    assert len(page.times) == len(sent)
    checked([page.records], sent, [])


@QUICK
@example(EDGES)
@given(st.lists(TEXTS_SENT, min_size=1, max_size=6))
def test_the_feed_from_body_to_export(sent: list[str]) -> None:
    """A blob of records with arbitrary texts, times and types loses none and stores none twice."""
    _feed(sent)


@QUICK
@example(EDGES, "9999-12-31T23:59:59-14:00", "x")
@given(st.lists(TEXTS_SENT, min_size=1, max_size=6), st.one_of(TIMES, VALUES), VALUES)
def test_the_search_from_body_to_export(sent: list[str], date: object, identity: object) -> None:
    """A page likewise, whatever stands in the rows' own columns."""
    _search(sent, date, identity)


@pytest.mark.nightly
@LONG
@given(st.lists(TEXTS_SENT, min_size=1, max_size=6), st.one_of(TIMES, VALUES), VALUES)
def test_both_for_long(sent: list[str], date: object, identity: object) -> None:
    """The same, many times."""
    _feed(sent)
    _search(sent, date, identity)


@given(TIMES)
def test_every_place_can_be_held(text: str) -> None:
    """A time that the door places is one of Python's; seven digits are cut, not refused."""
    (place,) = RecordReader(T0).all_micros([text])
    if place is not None:
        assert (
            datetime.min.replace(tzinfo=UTC) <= _moment(place) <= datetime.max.replace(tzinfo=UTC)
        )


def _moment(micros: int) -> datetime:
    from datetime import timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
