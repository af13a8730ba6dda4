from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.mail.reports import RENDERED_AT, month_report, write_csv
from trailkeeper.mail.expiry import expiry_sentences
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.model.expiry import CertificateNote

THUMBPRINT = "3D057B32" * 5


def ends_in(days: float, slot: str = "certificate") -> CertificateNote:
    return CertificateNote("contoso", slot, THUMBPRINT, RENDERED_AT + timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (61, None),
        (60, "ends in 60 days, on 1 Jan 2027 07:00 CET"),
        (20.5, "ends in 20 days"),
        (1.5, "ends in 1 day,"),
        (0.5, "ends within a day"),
    ],
)
def test_a_certificate_is_mentioned_when_its_end_is_near(days: float, words: str | None) -> None:
    """From 60 days before its end on, the report names the certificate and the time left."""
    found = expiry_sentences(month_report(certificates=[ends_in(days)]))
    assert (words is None) is (found == [])
    if words:
        assert words in found[0]
        assert THUMBPRINT in found[0]


def test_one_of_no_use_is_mentioned_without_its_place() -> None:
    """A certificate that could not be used is named; the reason, which may hold paths, is not."""
    broken = CertificateNote("contoso", "certificate", trouble="/etc/secret/place is damaged")
    [text] = expiry_sentences(month_report(certificates=[broken]))
    assert "could not be used" in text
    assert "/etc" not in text


def test_html_text_and_json_tell_it(tmp_path: Path) -> None:
    """All three forms of a report carry the warning; report.json has those not yet due as well."""
    notes = [ends_in(20), ends_in(400, "next_certificate")]
    rendered = ReportRenderer().render(month_report(certificates=notes), tmp_path, write_csv)
    assert "ends in 20 days" in rendered.html
    assert "ends in 20 days" in " ".join(rendered.text.split())
    kept = json.loads((tmp_path / "report.json").read_text("utf-8"))["certificates"]
    assert [note["warning_days"] for note in kept] == [30, None]
    assert kept[0]["not_after"] == "2026-11-22T06:00:00Z"


def test_nothing_is_said_while_the_end_is_far(tmp_path: Path) -> None:
    """A report whose certificate is good for long does not mention it."""
    rendered = ReportRenderer().render(
        month_report(certificates=[ends_in(300)]), tmp_path, write_csv
    )
    assert "ertificate" not in rendered.html + rendered.text
