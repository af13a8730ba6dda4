from __future__ import annotations

import codecs
import hashlib
import json
import re
import unicodedata
import zipfile
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest

from tests.mail.reports import (
    CSV,
    HOSTILE,
    coverage,
    figures,
    local,
    month_report,
    stretch,
    write_csv,
)
from trailkeeper.errors import Unavailable
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.model.report import MonthReport, Rendered

GAPS = [
    stretch(local(14, 9, 20), timedelta(hours=2, minutes=50), "503 <b>server</b> busy"),
    stretch(local(22, 23, 45), timedelta(minutes=30), "no longer available"),
]
SUSPECT = [stretch(local(27, 3), timedelta(hours=1), "two looks disagree")]

GMAIL_CLIPS_AT = 102_000


def _render(report: MonthReport, folder: Path, renderer: ReportRenderer | None = None) -> Rendered:
    return (renderer or ReportRenderer()).render(report, folder, write_csv)


def _hostile() -> MonthReport:
    reasons = [stretch(local(3 + n, 5), timedelta(hours=1), t) for n, t in enumerate(HOSTILE)]
    return month_report(
        figures(HOSTILE, HOSTILE, HOSTILE),
        [coverage(gaps=reasons)],
        tenant="con\r\nBcc: x@evil.example\u202e" + "t" * 300,
        domain="<b>evil</b>\u202e.example",
    )


class _Page(HTMLParser):
    """Every element with its attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_complete_month_says_so_in_subject_and_before_any_figure(tmp_path: Path) -> None:
    """The statement of coverage is the first thing a reader meets, in both bodies."""
    rendered = _render(month_report(figures()), tmp_path)
    assert rendered.subject == "Microsoft 365 audit report — contoso — October 2026 — complete"
    for text in (_Page(rendered.html).text, rendered.text):
        assert 0 < text.index("Complete:") < text.index("Totals")


def test_incomplete_month_shows_each_stretch_with_local_time_and_reason(tmp_path: Path) -> None:
    """Gaps and suspect stretches stand in a table with their zone, length and reason."""
    report = month_report(figures(), [coverage(gaps=GAPS, suspect=SUSPECT)])
    rendered = _render(report, tmp_path)
    assert rendered.subject.endswith("— October 2026 — INCOMPLETE")
    for text in (_Page(rendered.html).text, " ".join(rendered.text.split())):
        assert "2 gaps, 3 h 20 min in all; 1 suspect stretch, 1 h in all" in text
        assert "14 Oct 2026 09:20–12:10 CEST" in text
        assert "27 Oct 2026 03:00–04:00 CET" in text
        assert "503 <b>server</b> busy" in text
        assert "two looks disagree" in text


def test_counts_and_totals_have_thousands_separators(tmp_path: Path) -> None:
    """What each source answered and what the month holds are readable numbers."""
    rendered = _render(month_report(figures()), tmp_path)
    text = _Page(rendered.html).text
    assert "1,203 failed sign-ins" in text
    assert "2,000 1,900 100 3" in text
    assert "received 2,000, stored 1,900, duplicates 100, conflicts 3" in rendered.text


def test_what_was_read_says_what_is_counted(tmp_path: Path) -> None:
    """A piece that reaches beyond the month counts whole, and the report says so."""
    rendered = _render(month_report(figures()), tmp_path)
    for text in (_Page(rendered.html).text, " ".join(rendered.text.split())):
        assert "count with what they brought of the days before and after" in text


def test_the_chart_is_a_card_in_dark_mode(tmp_path: Path) -> None:
    """On a dark page the light picture has a rim and round corners, and does not glare."""
    html = _render(month_report(figures()), tmp_path).html
    dark = html.partition("prefers-color-scheme: dark")[2].partition("</style>")[0]
    (rule,) = re.findall(r"\.tk-chart {(.*?)}", dark)
    assert all(word in rule for word in ("padding:", "border-radius:", "brightness("))


def test_html_needs_nothing_from_outside(tmp_path: Path) -> None:
    """No script, remote image, font, form or link; the one image travels with the mail."""
    page = _Page(_render(month_report(figures()), tmp_path).html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "form", "a", "object", "svg", "video"}
    (image,) = page.named("img")
    assert image["src"] == "cid:chart.png@trailkeeper"
    assert "http" not in _render(month_report(figures()), tmp_path).html.lower()


def test_html_can_be_read_aloud(tmp_path: Path) -> None:
    """Language, alternative text and column headers are there; layout tables say that they are."""
    page = _Page(_render(month_report(figures()), tmp_path).html)
    assert page.named("html")[0]["lang"] == "en"
    assert "Busiest day" in (page.named("img")[0]["alt"] or "")
    assert all(header["scope"] in ("col", "rowgroup") for header in page.named("th"))
    plain = [table for table in page.named("table") if "role" not in table]
    assert len(plain) == sum(1 for tag, _ in page.elements if tag == "thead")


def test_copy_in_the_folder_shows_its_chart_in_a_browser(tmp_path: Path) -> None:
    """report.html names the chart's file beside it, where the mail names a Content-ID."""
    _render(month_report(figures()), tmp_path)
    (image,) = _Page((tmp_path / "report.html").read_text("utf-8")).named("img")
    assert (tmp_path / (image["src"] or "")).is_file()


def test_hostile_names_change_no_markup(tmp_path: Path) -> None:
    """Names and reasons full of markup give the same elements as harmless ones."""
    kind = [coverage(gaps=[stretch(local(3 + n, 5), timedelta(hours=1), "x") for n in range(12)])]
    names = [f"name{n}" for n in range(len(HOSTILE))]
    harmless = _Page(_render(month_report(figures(*[names] * 3), kind), tmp_path / "a").html)
    hostile = _Page(_render(_hostile(), tmp_path / "b").html)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert "{{ 7 * 7 }} {% raw %}" in hostile.text


def test_hostile_names_reach_neither_subject_nor_file_names(tmp_path: Path) -> None:
    """One line, no invisible characters, bounded; the zip's name is plain."""
    rendered = _render(_hostile(), tmp_path)
    assert "\n" not in rendered.subject
    assert len(rendered.subject) < 200
    for text in (rendered.subject, *rendered.html.split("\n"), *rendered.text.split("\n")):
        assert not any(unicodedata.category(c)[0] == "C" for c in text)
    (attachment,) = rendered.attachments
    assert Path(attachment.path).parent == tmp_path
    assert Path(attachment.path).name.isascii()


@pytest.mark.parametrize("line", ["Bcc: everyone@evil.example", "body"])
def test_hostile_line_breaks_start_no_line_of_the_text(tmp_path: Path, line: str) -> None:
    """A name with line breaks cannot forge a paragraph of the plain text."""
    assert line not in _render(_hostile(), tmp_path).text.splitlines()


def test_html_stays_below_the_size_that_gmail_clips(tmp_path: Path) -> None:
    """Even full of long names and gaps the body is shown whole."""
    many = [stretch(local(1 + n // 4, n % 4 * 6), timedelta(hours=1), "&" * 999) for n in range(99)]
    report = month_report(figures(HOSTILE, ["&" * 999] * 20, ['"' * 999] * 20), [])
    report = replace(report, coverage=(coverage(gaps=many),))
    rendered = _render(report, tmp_path)
    assert len(rendered.html.encode()) < GMAIL_CLIPS_AT
    assert "74 more stretches" in rendered.html


def test_month_without_records_is_a_report_like_any_other(tmp_path: Path) -> None:
    """An empty month has its statement, its chart and its zip."""
    rendered = ReportRenderer().render(month_report(), tmp_path, lambda out: out.write(b"") or 0)
    assert "Microsoft had delivered no records" in rendered.text
    assert "0 records" in _Page(rendered.html).text
    assert Path(rendered.images[0].path).stat().st_size > 1_000


def test_report_without_coverage_is_rendered_as_incomplete(tmp_path: Path) -> None:
    """Nothing read is nothing proven, and the mail says it."""
    rendered = _render(month_report(figures(), []), tmp_path)
    assert rendered.subject.endswith("INCOMPLETE")
    assert "nothing is proven" in rendered.text


def test_zip_holds_exactly_what_was_written(tmp_path: Path) -> None:
    """The CSV comes out of the zip byte for byte, under a name of tenant and month, behind a byte
    order mark: without one Excel reads it in the machine's code page."""
    (attachment,) = _render(month_report(figures()), tmp_path).attachments
    with zipfile.ZipFile(attachment.path) as bundle:
        assert bundle.namelist() == ["contoso-2026-10.csv"]
        assert bundle.read("contoso-2026-10.csv") == codecs.BOM_UTF8 + CSV
        assert bundle.testzip() is None


def test_large_zip_stays_in_the_folder_and_the_mail_says_where(tmp_path: Path) -> None:
    """Above the bound nothing is attached; path and size are in both bodies."""
    rendered = _render(month_report(figures()), tmp_path, ReportRenderer(attach_up_to=10))
    path = tmp_path / "contoso-2026-10.csv.zip"
    assert rendered.attachments == ()
    assert path.is_file()
    for text in (_Page(rendered.html).text, rendered.text):
        assert "Not attached" in text
        assert str(path) in text


def test_csv_with_other_count_than_the_figures_is_explained(tmp_path: Path) -> None:
    """Records merged between the figures and the CSV are not left as a riddle."""
    assert "The CSV file holds 2 records" in _render(month_report(figures()), tmp_path).text
    report = month_report(replace(figures(), records=2))
    assert "The CSV file holds" not in _render(report, tmp_path).text


def test_json_carries_figures_and_coverage_for_machines(tmp_path: Path) -> None:
    """report.json has the verdict, every stretch, the exact names and the zip's digest."""
    report = month_report(figures(users=HOSTILE), [coverage(gaps=GAPS)])
    _render(report, tmp_path)
    whole = json.loads((tmp_path / "report.json").read_text("ascii"))
    assert whole["complete"] is False
    assert whole["from"] == "2026-09-30T22:00:00Z"
    assert whole["coverage"][0]["gaps"][0]["from"] == "2026-10-14T07:20:00Z"
    assert [row["name"] for row in whole["figures"]["by_user"]] == list(HOSTILE)
    zipped = (tmp_path / "contoso-2026-10.csv.zip").read_bytes()
    assert whole["csv"]["sha256"] == hashlib.sha256(zipped).hexdigest()


def test_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    """Rendering again, into the same folder, changes no byte of any file nor of the mail."""
    report = month_report(figures(), [coverage(gaps=GAPS)])
    first = _render(report, tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert _render(report, tmp_path) == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert len(files) == 5


def test_failed_csv_leaves_no_half_file(tmp_path: Path) -> None:
    """When the records cannot be read the folder holds no zip that looks whole."""

    def failing(out: BytesIO) -> int:
        out.write(b"Id\r\n")
        raise Unavailable("the lake is gone", "Mend it.")

    with pytest.raises(Unavailable, match="the lake is gone"):
        ReportRenderer().render(month_report(), tmp_path, failing)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    """A file in the folder's place ends in one sentence with what to do."""
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(Unavailable) as caught:
        _render(month_report(), tmp_path / "reports" / "contoso")
    assert "cannot be made" in caught.value.summary
    assert caught.value.remedy


def test_a_month_that_is_not_over_is_marked_preliminary(tmp_path: Path) -> None:
    """Subject, text and page say that the month's own report still follows."""
    report = replace(month_report(figures()), rendered_at=local(14, 12))
    rendered = ReportRenderer().render(report, tmp_path, write_csv)
    assert rendered.subject.startswith("Preliminary Microsoft 365 audit report")
    assert "this month is not over" in rendered.text
    assert "this month is not over" in rendered.html
