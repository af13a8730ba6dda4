"""A content type of the feed that is refused and answers again, while two pulls are under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trailkeeper.model.feed.rules import REFUSED
from trailkeeper.model.segment import (
    Finding,
    Landed,
    Leased,
    NewSegment,
    Purpose,
    SegmentState,
    Verdict,
)
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window
from trailkeeper.ports.parking import Parking
from trailkeeper.ports.source import Pulled
from trailkeeper.steps.content_types import ask_what_was_missed, note_content_types
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEED = Stream("contoso", Source.ACTIVITY)
NAME = "Audit.SharePoint"
DAY = timedelta(days=1)


@pytest.fixture
def ledger(ledger: SqlLedger) -> SqlLedger:
    """With the type parked, and tried again now."""
    ledger.park(Parking("contoso", Source.ACTIVITY, NOW, "AF20023", "a", "b", NOW, NAME))
    return ledger


def taken(ledger: SqlLedger, hours_ago: int, purpose: Purpose = Purpose.COLLECT) -> Leased:
    start = NOW - hours_ago * HOUR
    window = Window(start, start + HOUR, Axis.AVAILABLE)
    wanted = NewSegment(FEED, window, purpose, 1 if purpose is Purpose.RETRY else 0)
    ledger.plan(FEED, lambda watermark: [wanted], NOW)
    (segment,) = ledger.due(NOW, 1, 9, FEED)
    leased = ledger.lease(segment.id, f"worker {hours_ago}", NOW, NOW + HOUR, 9)
    assert leased is not None
    return leased


def lands(ledger: SqlLedger, leased: Leased, pulled: Pulled, file: str | None) -> None:
    """As the pull step does it: land, note, look for what was missed."""
    landed = Landed(file, 1 if file else 0, 1 if file else 0, 4)
    ledger.land(leased.lease, landed, pulled.findings, [], NOW)
    note_content_types(ledger, FEED, pulled, NOW, DAY)
    ask_what_was_missed(ledger, FEED, pulled, NOW)


def without_it(leased: Leased) -> Pulled:
    evidence: dict[str, object] = {REFUSED: [NAME]}
    return Pulled((Finding(leased.segment.window, Verdict.GAP, NOW, "refused", evidence),), 4)


def with_it(leased: Leased) -> Pulled:
    proven = Finding(leased.segment.window, Verdict.COMPLETE, NOW, "")
    return Pulled((proven,), 4, answered=frozenset({NAME}))


def asked_again(ledger: SqlLedger) -> list[Window]:
    everything = Window(NOW - 7 * DAY, NOW, Axis.AVAILABLE)
    found = ledger.unfinished("contoso", everything)
    return [
        segment.window
        for segment in found
        if segment.purpose is Purpose.RETRY and segment.state is SegmentState.PLANNED
    ]


@pytest.mark.parametrize("file", ["some.arrows.zst", None])
@pytest.mark.parametrize("lifter_first", [True, False])
@pytest.mark.parametrize("purpose", [Purpose.COLLECT, Purpose.RETRY])
def test_two_pulls_at_once(
    ledger: SqlLedger, lifter_first: bool, file: str | None, purpose: Purpose
) -> None:
    """One lifts the content type that the other one lacks: its time is asked for again, once,
    whichever of them lands first, and whether it had records or not."""
    lacking, lifting = taken(ledger, 5, purpose), taken(ledger, 3)
    steps = [(lacking, without_it(lacking), file), (lifting, with_it(lifting), None)]
    for leased, pulled, landed in reversed(steps) if lifter_first else steps:
        lands(ledger, leased, pulled, landed)
    assert ledger.parkings("contoso") == []
    assert asked_again(ledger) == [lacking.segment.window]


def test_while_it_is_parked_nothing_is_asked_again(ledger: SqlLedger) -> None:
    """What lacks a parked content type waits for its answer."""
    leased = taken(ledger, 5)
    lands(ledger, leased, without_it(leased), None)
    assert asked_again(ledger) == []
