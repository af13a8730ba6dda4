from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from tests.mail.reports import EXCHANGE, WINDOW, coverage, figures, local, month_report, stretch
from trailkeeper.mail.statement import STRETCHES_SHOWN, Kind, state
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window

FEED = [Stream("contoso", Source.ACTIVITY, f"Audit.{kind}") for kind in ("Exchange", "SharePoint")]
GAP = stretch(local(14, 9, 20), timedelta(hours=2, minutes=50), "503 server busy")
SECOND = stretch(local(22, 23, 45), timedelta(minutes=30), "no longer available")


def test_complete_month_says_for_what_and_how_it_is_proven() -> None:
    """The statement of a proven month names month, zone, hours and sources."""
    statement = state(month_report(figures(), [coverage(), coverage(FEED[0])]))
    assert statement.complete
    assert statement.headline == (
        "Complete: every record that Microsoft had delivered for 1–31 October 2026 "
        "(Europe/Berlin) is in this report, proven by reading all 745 h of it to the end "
        "in the Exchange audit search and Management Activity feed, with a second look wherever "
        "nothing came back."
    )
    assert not statement.stretches


def test_complete_search_proves_the_month_alone() -> None:
    """A feed that remembers only the month's end does not make a searched month incomplete."""
    statement = state(month_report(figures(), [coverage(), coverage(FEED[0], gaps=[GAP])]))
    assert statement.complete
    assert not statement.stretches
    assert "Management Activity feed" not in statement.headline
    assert len(statement.sources) == 2


def test_complete_month_without_records_says_that_there_were_none() -> None:
    """An empty month that is proven does not speak of records in the report."""
    headline = state(month_report()).headline
    assert headline.startswith("Complete: Microsoft had delivered no records for 1–31 October")


def test_gaps_are_counted_and_summed() -> None:
    """Two gaps read as one sentence with their number and their length."""
    statement = state(month_report(figures(), [coverage(gaps=[GAP, SECOND])]))
    assert not statement.complete
    assert statement.headline.startswith("Incomplete: 2 gaps, 3 h 20 min in all. Records of")
    assert [row.when for row in statement.stretches] == [
        "14 Oct 2026 09:20–12:10 CEST",
        "22 Oct 2026 23:45 CEST – 23 Oct 2026 00:15 CEST",
    ]


def test_one_outage_seen_by_several_streams_counts_once() -> None:
    """The same hours missing from two content types are one gap and one row."""
    statement = state(month_report(figures(), [coverage(s, gaps=[GAP]) for s in FEED]))
    assert statement.headline.startswith("Incomplete: 1 gap, 2 h 50 min in all.")
    (row,) = statement.stretches
    assert row.source == "Management Activity feed (Audit.Exchange, Audit.SharePoint)"
    assert statement.by_availability


def test_suspicion_inside_a_gap_is_not_counted_again() -> None:
    """Time that is a gap of one source and suspect in another counts as gap only."""
    suspect = coverage(FEED[0], suspect=[GAP, SECOND])
    headline = state(month_report(figures(), [coverage(gaps=[GAP]), suspect])).headline
    assert "1 gap, 2 h 50 min in all; 1 suspect stretch, 30 min in all." in headline


def test_what_is_lost_is_called_lost() -> None:
    """A gap that Microsoft no longer has is told from one that may still be filled, and counted
    among the gaps; a source that lost time says so though another one proves the month."""
    lost = replace(SECOND, lost=True)
    statement = state(month_report(figures(), [coverage(FEED[0], gaps=[GAP, lost])]))
    assert [row.kind for row in statement.stretches] == [Kind.GAP, Kind.LOST]
    assert "2 gaps, 3 h 20 min in all, of which 30 min lost." in statement.headline
    assert statement.headline.endswith("Microsoft no longer has, and nobody can fill it in.")
    assert set(state(month_report(figures(), [coverage(gaps=[lost])])).unproven_days.values()) == {
        Kind.GAP
    }
    search = coverage(suspect=[GAP])
    report = month_report(figures(), [search, coverage(FEED[0], gaps=[lost])])
    assert "lost" not in state(report).headline, "the search may still have it"
    both = state(month_report(figures(), [coverage(), coverage(FEED[0], gaps=[lost])]))
    assert both.complete
    assert both.sources[1].proven == "744 h 30 min of 745 h proven, 30 min lost"


def test_report_without_coverage_claims_nothing() -> None:
    """No source read is incomplete, not vacuously complete."""
    statement = state(month_report(figures(), []))
    assert not statement.complete
    assert "nothing is proven" in statement.headline


def test_coverage_of_half_the_month_is_not_the_month() -> None:
    """Time outside the range that a coverage speaks of is shown as a gap."""
    half = replace(coverage(), range=Window(local(15), WINDOW.end))
    statement = state(month_report(figures(), [half]))
    assert not statement.complete
    assert statement.stretches[0].reason == "this source was not asked for this time"
    assert statement.stretches[0].length == "336 h"


def test_table_is_bounded_and_says_how_many_it_leaves_out() -> None:
    """A month in pieces gives a short table and the number of the others."""
    many = [stretch(local(1 + n // 4, n % 4 * 6), timedelta(hours=1), "x") for n in range(100)]
    statement = state(month_report(figures(), [coverage(gaps=many)]))
    assert len(statement.stretches) == STRETCHES_SHOWN
    assert statement.more == 100 - STRETCHES_SHOWN
    assert "100 gaps, 100 h in all" in statement.headline


def test_provisional_time_is_named_by_source() -> None:
    """Time read too soon for late records is complete, and named."""
    young = Window(local(31), WINDOW.end)
    statement = state(month_report(figures(), [coverage(provisional=[young])]))
    assert statement.complete
    assert statement.provisional == (
        "Exchange audit search: 31 Oct 2026 00:00 CET – 1 Nov 2026 00:00 CET",
    )


def test_days_are_local_and_a_gap_outweighs_a_suspicion() -> None:
    """A gap over midnight marks two local days; a day with both kinds is a day with a gap."""
    report = month_report(figures(), [coverage(EXCHANGE, gaps=[SECOND], suspect=[GAP])])
    assert state(report).unproven_days == {
        date(2026, 10, 14): Kind.SUSPECT,
        date(2026, 10, 22): Kind.GAP,
        date(2026, 10, 23): Kind.GAP,
    }


def test_gap_that_ends_at_midnight_does_not_mark_the_next_day() -> None:
    """Windows are half-open: 00:00 belongs to the day that it does not touch."""
    gap = stretch(local(14, 22), timedelta(hours=2), "x")
    assert list(state(month_report(figures(), [coverage(gaps=[gap])])).unproven_days) == [
        date(2026, 10, 14)
    ]


def test_month_that_is_still_running_claims_only_what_is_over() -> None:
    """A report made in mid-month speaks of the time up to then, and its future is no gap."""
    now = local(14, 12)
    so_far = replace(coverage(), range=Window(WINDOW.start, now), complete=())
    report = replace(month_report(figures(), [so_far]), rendered_at=now)
    statement = state(report)
    assert statement.complete
    assert statement.running
    assert "for October 2026 up to 14 Oct 2026 12:00 CEST (Europe/Berlin)" in statement.headline
    assert "reading all 324 h of it" in statement.headline
