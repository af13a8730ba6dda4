"""The night at Litware: what the demo plants is what the review finds, and tells first."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from tests.mail.reports import WINDOW, figures, month_report, write_csv
from tests.steps.test_review import settings
from tests.store.lake_words import TENANT, World
from trailkeeper.cli import demo_story
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.model.report import Month
from trailkeeper.model.review.control import Control
from trailkeeper.rules.loading import shipped
from trailkeeper.settings import Settings
from trailkeeper.steps.review import ReviewStep

__all__ = ["settings"]
DOMAIN = "litware.onmicrosoft.com"


def test_a_stranger_sees_whose_mailbox_was_taken(tmp_path: Path, settings: Settings) -> None:
    """Guesses, spray, device code, forwarding, consent and mass download are found, once each; the
    account stands before everything else in page and text."""
    world = World(tmp_path)
    world.store(*demo_story.lines(WINDOW.start, "tenant", DOMAIN))
    step = ReviewStep(world.lake, lambda: [each.rule for each in shipped()])
    review = step(settings.tenants[TENANT], Month(2026, 10), [], [], WINDOW.end)
    found = {each.control: [n.detail for n in each.notable] for each in review if each.count}
    assert {control: len(details) for control, details in found.items()} == {
        Control.SIGN_INS: 3,
        Control.MAIL_FORWARDING: 1,
        Control.APPLICATIONS: 1,
        Control.FILES: 1,
    }
    assert found[Control.FILES] == ["143 files downloaded within a day from 198.51.100.0/24"]
    assert "only mail with the words invoice;payment, and deletes it" in str(found)
    report = replace(month_report(figures()), review=review)
    rendered = ReportRenderer().render(report, tmp_path / "r", write_csv)
    for text in (rendered.html, rendered.text):
        assert text.index("Look here first") < text.index(f"mira.holm@{DOMAIN}")
        assert text.index(f"mira.holm@{DOMAIN}") < text.index("Use of emergency accounts")


def test_the_same_month_has_the_same_night() -> None:
    """Records are the same each time, each Id once, all within the night."""
    lines = demo_story.lines(WINDOW.start, "tenant", DOMAIN)
    assert lines == demo_story.lines(WINDOW.start.astimezone(UTC), "tenant", DOMAIN)
    records = [json.loads(line) for line in lines]
    assert len({record["Id"] for record in records}) == len(records)
    assert {record["CreationTime"][:10] for record in records} == {"2026-10-11"}
