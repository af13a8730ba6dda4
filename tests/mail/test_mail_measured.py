from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.mail.reports import coverage, figures, month_report, write_csv
from trailkeeper.mail.measured import WORKLOADS_SHOWN, match_text, workload_rows
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.model.feed.lag import ContentLag
from trailkeeper.model.measures.match import Match
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.report import MonthReport
from trailkeeper.model.stream import Source, Stream

FEED = Stream("contoso", Source.ACTIVITY)
MATCH = Match(
    700,
    {"Exchange": 90_000, "SharePoint": 40_000, "<b>x</b>": 10},
    {Source.EXCHANGE: {"SharePoint": 3}, Source.ACTIVITY: {"Exchange": 12, "<b>x</b>": 1}},
    {
        Source.EXCHANGE: Spread.of([(1_900, 120_000), (21_000, 10_000)]),
        Source.ACTIVITY: Spread.of([(900, 100_000), (5_400, 30_000)]),
    },
)
LAGS = (
    ContentLag("Audit.Exchange", Spread.of([(700, 9), (4_000, 1)]), Spread.of([(45, 9), (80, 1)])),
    ContentLag("Audit.General", Spread.of([(7_000, 5)]), Spread()),
)


def measured(match: Match | None = MATCH, lags: tuple[ContentLag, ...] = LAGS) -> MonthReport:
    both = [replace(coverage(), match=match), replace(coverage(FEED), match=match, lags=lags)]
    return month_report(figures(), both)


def test_misses_and_lags_stand_in_text_page_and_json(tmp_path: Path) -> None:
    """Each source's misses and times, by workload and content type; what came from records is made
    harmless."""
    rendered = ReportRenderer().render(measured(), tmp_path, write_csv)
    text = " ".join(rendered.text.split())
    assert "In 700 hours that both sources are proven to have read to the end" in text
    assert "130,010 records were matched by Id. 16 records that one of them missed" in text
    assert "Management Activity feed: missed 13 (0.01 %), seen after" in text
    assert "Exchange: 12 of 90,000 missed by the Management Activity feed" in text
    assert "Audit.Exchange: 10 records available after 12 min / 68 min, stored 46 s / 83 s" in text
    assert "Audit.General: 5 records available after 2.1 h / 2.1 h, stored - later" in text
    assert "What each source missed" in rendered.html
    assert "<b>x</b>" not in rendered.html
    stated = (tmp_path / "report.json").read_text()
    assert '"miss_rate"' in stated
    assert '"available_to_stored"' in stated


def test_nothing_missed_is_said_as_that() -> None:
    """Two sources that agree are said to agree, not to have repaired nothing."""
    agreed = replace(MATCH, missed={Source.EXCHANGE: {}, Source.ACTIVITY: {}})
    assert "Neither missed a record that the other had." in match_text(measured(agreed))


def test_nothing_measured_leaves_no_heading(tmp_path: Path) -> None:
    """A tenant with one source has neither section."""
    rendered = ReportRenderer().render(measured(None, ()), tmp_path, write_csv)
    for heading in ("What each source missed", "How long records were on their way"):
        assert heading not in rendered.text
        assert heading not in rendered.html


def test_only_the_worst_workloads_are_listed() -> None:
    """A mail stays a mail; all of them stand in report.json."""
    many = {f"Workload{number:02}": number for number in range(1, 40)}
    rows = workload_rows(measured(replace(MATCH, missed={Source.EXCHANGE: many})))
    assert len(rows) == WORKLOADS_SHOWN
    assert rows[0].workload == "Workload39"
