"""A certificate that is about to end, for who owns the app registration."""

from __future__ import annotations

from trailkeeper.mail.expiry import expiry_json, expiry_sentences
from trailkeeper.mail.report.blocks import Banner, Section
from trailkeeper.mail.report.facts import Facts


def section(facts: Facts) -> Section:
    sentences = tuple(expiry_sentences(facts.report))
    return Section(
        blocks=(Banner("warn", "Certificate", sentences),) if sentences else (),
        json={"certificates": expiry_json(facts.report)},
    )
