"""The review as a reader meets it, and as report.json has it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.mail.reports import HOSTILE, coverage, figures, local, month_report, stretch, write_csv
from tests.mail.test_mail_render import GMAIL_CLIPS_AT, _Page
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.mail.report.review_words import words_in
from trailkeeper.model.report import Brand, MonthReport, Rendered
from trailkeeper.model.review.control import Control, Notable, Reviewed, State

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def notable(number: int = 0, **more: Any) -> Notable:
    given = {
        "id": f"id{number}",
        "at": int(local(3, 10, 11).timestamp()) * 1_000_000 + number,
        "operation": "New-InboxRule",
        "actor": "anna@contoso.example",
        "target": "bob@contoso.example",
        "detail": "forwards to x@evil.example",
        "client_ip": "203.0.113.7",
    }
    return Notable(**{**given, **more})


def review(**found: list[Notable]) -> tuple[Reviewed, ...]:
    """Every control; those of `found` with their events, partner access unknown."""
    return tuple(
        Reviewed(
            control,
            State.FOUND
            if events
            else State.UNKNOWN
            if control is Control.PARTNER_ACCESS
            else State.NOTHING,
            len(events),
            2,
            State.FOUND,
            tuple(events),
        )
        for control in Control
        for events in [found.get(control.name.lower(), [])]
    )


def report(**found: list[Notable]) -> MonthReport:
    return replace(month_report(figures()), review=review(**found))


def render(report: MonthReport, folder: Path) -> Rendered:
    return ReportRenderer().render(report, folder, write_csv)


def test_the_overview_follows_the_verdict(tmp_path: Path) -> None:
    """One line a control with outcome, count and the month before; then the events of what was
    found, in the tenant's zone, with who, what, on what and from where."""
    rendered = render(report(mail_forwarding=[notable()]), tmp_path)
    for text in (_Page(rendered.html).text, " ".join(rendered.text.split())):
        places = [text.index(word) for word in ("Complete:", "Reviewed for you", "Totals")]
        assert places == sorted(places)
        for words in (
            "Mail that is forwarded or hidden",
            "Please look",
            "Nothing, proven",
            "Not proven",
            "3 Oct 2026 10:11 CEST",
            "203.0.113.7",
            "anna@contoso.example: forwards to x@evil.example",
            "bob@contoso.example · New-InboxRule · id0",
        ):
            assert words in text, words
    for control in Control:
        assert words_in("en").controls[control] in rendered.html.replace("&#39;", "'")


def test_what_is_not_proven_shows_no_number(tmp_path: Path) -> None:
    """A nought would be a claim."""
    text = render(report(), tmp_path).text
    assert "?  Work of partners' technicians: Not proven" in " ".join(text.split("       "))
    assert "nobody can say that nothing happened" in " ".join(text.split())


def test_json_is_what_the_contract_promises(tmp_path: Path) -> None:
    """Control, state, count, previous, and the events with exact texts."""
    hostile = [notable(n, detail=text) for n, text in enumerate(HOSTILE)]
    render(report(mail_forwarding=hostile), tmp_path)
    stated = json.loads((tmp_path / "report.json").read_text())["review"]
    assert [each["control"] for each in stated] == [control.value for control in Control]
    forward = stated[4]
    assert (forward["state"], forward["count"], forward["previous"]) == ("found", len(HOSTILE), 2)
    assert [each["detail"] for each in forward["notable"]] == list(HOSTILE)
    assert forward["notable"][0] | {"detail": ""} == {
        "id": "id0",
        "at": "2026-10-03T08:11:00Z",
        "operation": "New-InboxRule",
        "actor": "anna@contoso.example",
        "target": "bob@contoso.example",
        "detail": "",
        "client_ip": "203.0.113.7",
        "rule": "",
        "records": 1,
    }


def test_hostile_texts_of_records_change_no_markup(tmp_path: Path) -> None:
    """Every text of an event passes the same gates: the elements stay as they are."""
    names = ("actor", "target", "detail", "operation", "client_ip", "id")
    plain = [notable(n) for n in range(len(HOSTILE))]
    events = [notable(n, **dict.fromkeys(names, text)) for n, text in enumerate(HOSTILE)]
    harmless = _Page(render(report(sign_ins=plain), tmp_path / "a").html)
    rendered = render(report(sign_ins=events), tmp_path / "b")
    elements = [tag for tag, _ in _Page(rendered.html).elements if tag not in ("br", "span")]
    assert elements == [tag for tag, _ in harmless.elements if tag not in ("br", "span")]
    assert not {"script", "a", "b"} & set(elements)
    assert "http://" not in rendered.html.lower() + rendered.text.lower()
    assert "Bcc: everyone@evil.example" not in rendered.text.splitlines()


@pytest.mark.parametrize("each", [3, 1_000])
@pytest.mark.parametrize(("pieces", "rows"), [(25, 0), (0, 1)])
def test_a_mail_stays_below_what_gmail_clips(
    tmp_path: Path, each: int, pieces: int, rows: int
) -> None:
    """Long texts in all controls, and a month in pieces or not: few rows of each or none, and the
    number of the rest; report.json has them all."""
    events = [notable(n, detail="&" * 4_000, target='"' * 999) for n in range(each)]
    found = {control.name.lower(): events for control in Control}
    gaps = [stretch(local(3 + n, 5), local(2, 1) - local(2), "&" * 999) for n in range(pieces)]
    whole = replace(report(**found), coverage=(coverage(gaps=gaps),))
    rendered = render(whole, tmp_path)
    assert len(rendered.html.encode()) < GMAIL_CLIPS_AT
    assert rendered.html.count(f"{each - rows:,}" + (" more" if rows else "; ")) == len(Control)
    stated = json.loads((tmp_path / "report.json").read_text())["review"]
    assert {len(control["notable"]) for control in stated} == {each}


def test_one_control_has_at_most_twenty_five_rows(tmp_path: Path) -> None:
    """Alone it may have so many; the next one is only counted."""
    rendered = render(report(files=[notable(n) for n in range(26)]), tmp_path)
    assert rendered.html.count("forwards to x@evil.example") == 25
    assert "and 1 more;" in rendered.text


def test_a_customer_who_reads_german(tmp_path: Path) -> None:
    """The review is in their words, with dates as they write them."""
    rendered = render(replace(report(roles=[notable()]), language="de"), tmp_path)
    for text in (rendered.html, rendered.text):
        assert "Für Sie geprüft" in text
        assert "Erteilte Administratorrollen" in text
        assert "03.10.2026 10:11 CEST" in text
    assert _Page(rendered.html).named("html")[0]["lang"] == "de"


def test_customer_and_provider_are_named(tmp_path: Path) -> None:
    """The customer by the name that people know, the provider with signature, colour and logo;
    the logo travels with the mail and lies beside report.html."""
    (tmp_path / "made.png").write_bytes(PNG)
    brand = Brand("Northwind <b>", "#0b5cad", tmp_path / "made.png")
    named = replace(report(), name="Contoso Ltd", brand=brand)
    rendered = render(named, tmp_path / "r")
    assert "— Contoso Ltd —" in rendered.subject
    assert "Contoso Ltd, October 2026" in rendered.text
    assert "Northwind &lt;b&gt;" in rendered.html
    assert "border-top:4px solid #0b5cad" in rendered.html
    assert "cid:logo.png@trailkeeper" in rendered.html
    assert [image.media_type for image in rendered.images] == ["image/png", "image/png"]
    assert Path(rendered.images[1].path).read_bytes() == PNG
    assert 'src="logo.png"' in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize("content", [b"<svg>", b"", PNG + b"\0" * 100_000, None])
def test_a_logo_that_cannot_be_used_keeps_no_report_back(
    tmp_path: Path, content: bytes | None
) -> None:
    """The report goes out without it."""
    logo = tmp_path / "made.png"
    if content is not None:
        logo.write_bytes(content)
    rendered = render(replace(report(), brand=Brand(logo=logo)), tmp_path / "r")
    assert len(rendered.images) == 1
    assert "logo" not in rendered.html
