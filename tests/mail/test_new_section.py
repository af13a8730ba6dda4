"""A section that is added to the report is one file and one line of the list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mail.reports import figures, month_report, write_csv
from tests.plugins import toy_section
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.mail.report import sections


def test_one_file_and_one_line_make_a_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drawn in page and text, escaped, in its place, and its part stands in report.json:
    neither renderer nor templates know of it."""
    first, *others = sections.SECTIONS
    monkeypatch.setattr(sections, "SECTIONS", (first, toy_section.section, *others))
    report = month_report(figures())
    rendered = ReportRenderer().render(report, tmp_path, write_csv)
    for text in (rendered.html, rendered.text):
        assert text.index("Complete:") < text.index("Toys") < text.index("Totals")
    assert "Said by a toy &lt;b&gt;." in rendered.html
    assert "Said by a toy <b>." in rendered.text
    whole = json.loads((tmp_path / "report.json").read_text())
    assert whole["toys"] == {"records": f"{report.figures.records:,}"}
    assert f"records: {report.figures.records:,}" in rendered.text


def test_a_section_without_blocks_is_not_drawn(tmp_path: Path) -> None:
    """What there is nothing to say of has no heading; its part of report.json is there."""
    rendered = ReportRenderer().render(month_report(figures()), tmp_path, write_csv)
    assert "What is not proven" not in rendered.html + rendered.text
    assert len(json.loads((tmp_path / "report.json").read_text())["coverage"]) == 1
