"""What coverage says of time that is out of reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from trailkeeper.model.feed import SEVEN_DAYS_ONLY
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window
from trailkeeper.settings import CollectionSettings
from trailkeeper.steps.cover import CoverStep
from trailkeeper.store.ledger import open_ledger

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FEED = Stream("contoso", Source.ACTIVITY)


def test_what_the_feed_forgot_before_it_was_asked_is_lost(tmp_path: Path) -> None:
    """A month of which the feed was never asked for the first weeks names them as lost to it; what
    it can still be asked for is only not collected yet. The search forgets nothing so soon."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    asked = Window(NOW - 6 * DAY, NOW, Axis.AVAILABLE)
    ledger.plan(FEED, lambda _: [NewSegment(FEED, asked, Purpose.INCREMENTAL)], NOW)
    cover = CoverStep(ledger, CollectionSettings(), frozenset(Source))
    found = cover.of_stream(FEED, Window(NOW - 31 * DAY, NOW, Axis.AVAILABLE), NOW)
    lost = [gap for gap in found.gaps if gap.lost]
    assert [gap.reason for gap in lost] == [SEVEN_DAYS_ONLY]
    assert abs(lost[0].window.end - (NOW - 7 * DAY)) < timedelta(minutes=5)
    assert not any(gap.lost for gap in found.gaps if gap.window.start > NOW - 7 * DAY)
    search = Stream("contoso", Source.EXCHANGE)
    assert not any(
        gap.lost for gap in cover.of_stream(search, Window(NOW - 31 * DAY, NOW), NOW).gaps
    )
    ledger.close()
