"""Which months are due, over a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trailkeeper.model.report import Month, Rendered
from trailkeeper.model.segment import Finding, Landed, NewSegment, Purpose, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.settings import Settings, load
from trailkeeper.steps.cover import CoverStep
from trailkeeper.steps.report import CloseMonths
from trailkeeper.store.database import open_database
from trailkeeper.store.ledger import SqlLedger
from trailkeeper.store.outbox import SqlOutbox

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
OCTOBER = Month(2026, 10)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIN = """
[mail]
sender = "audit@msp.example"
smtp = { host = "127.0.0.1", port = 25, security = "none" }
"""
TENANT = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
sources = [SOURCES]
[certificate]
pfx = "contoso.pfx"
[report]
to = ["security@contoso.example"]
timezone = "UTC"
"""


class Months:
    """One tenant, its ledger, and what of its time was read when."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: Settings | None = None
        engine = open_database(f"sqlite:///{folder / 'ledger.db'}")
        self.ledger, self.outbox = SqlLedger(engine), SqlOutbox(engine)

    def configure(self, *sources: Source) -> None:
        (self.folder / "tenants").mkdir()
        (self.folder / "trailkeeper.toml").write_text(MAIN)
        named = ", ".join(f'"{source.value}"' for source in sources)
        path = self.folder / "tenants" / "contoso.toml"
        path.write_text(TENANT.replace("SOURCES", named))
        self.settings = load(self.folder)

    def read(self, source: Source, start: datetime, end: datetime, at: datetime) -> None:
        """`[start, end)` was read at `at`, and is proven."""
        stream = Stream("contoso", source)
        window = Window(start, end, source.axis)
        self.ledger.plan(stream, lambda _: [NewSegment(stream, window, Purpose.INCREMENTAL)], at)
        (segment,) = self.ledger.due(at, 9, 9)
        leased = self.ledger.lease(segment.id, "worker", at, at + HOUR, 9)
        assert leased is not None
        proof = Finding(window, Verdict.COMPLETE, at)
        self.ledger.land(leased.lease, Landed(None, 0, 0, 1), [proof], [], at)

    def due(self, now: datetime) -> list[Month]:
        assert self.settings is not None
        cover = CoverStep(self.ledger, self.settings.collection, frozenset(Source.known()))
        closing = CloseMonths(self.settings, self.ledger, self.outbox, cover)
        return list(closing.of_tenant("contoso", now))


@pytest.fixture
def months(tmp_path: Path) -> Iterator[Months]:
    made = Months(tmp_path)
    yield made
    made.ledger.close()


def test_a_search_proves_the_month_by_itself(months: Months) -> None:
    """Read to its end, and the end once more when it had settled: the month is due."""
    months.configure(Source.EXCHANGE, Source.ACTIVITY)
    months.read(Source.EXCHANGE, START, END, END + HOUR)
    assert months.due(END + DAY + HOUR) == []
    months.read(Source.EXCHANGE, END - DAY, END, END + DAY)
    assert months.due(END + DAY) == [OCTOBER]


def test_a_feed_proves_the_month_a_day_later(months: Months) -> None:
    """A month's last records become available after its end: those hours are waited for too."""
    months.configure(Source.ACTIVITY)
    months.read(Source.ACTIVITY, START, END, END + DAY)
    assert months.due(END + DAY + HOUR) == []
    months.read(Source.ACTIVITY, END, END + DAY - HOUR, END + DAY - HOUR)
    assert months.due(END + DAY + HOUR) == []
    months.read(Source.ACTIVITY, END + DAY - HOUR, END + DAY, END + DAY + HOUR)
    assert months.due(END + DAY + HOUR) == [OCTOBER]


def test_a_preliminary_report_is_not_the_months(months: Months) -> None:
    """What was sent in mid-month does not keep the month's own report from being due."""
    months.configure(Source.EXCHANGE)
    months.read(Source.EXCHANGE, START, END, END + DAY)
    words = ("contoso", OCTOBER, "id", ("a@b.example",), Rendered("/r", "s", "h", "t"), END - DAY)
    assert months.outbox.enqueue(*words, preliminary=True) is not None
    assert months.due(END + DAY) == [OCTOBER]
    assert months.outbox.enqueue(*words) is not None
    assert months.due(END + DAY) == []
