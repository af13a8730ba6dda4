"""Findings that belong together: one account, a way in, and what was done with it, within a day."""

from __future__ import annotations

import pytest

from trailkeeper.model.review.chains import Chain, chains
from trailkeeper.model.review.control import Control, Notable, Reviewed, State

HOUR = 3_600_000_000
ANNA = "anna@contoso.example"


def event(hour: float, actor: str = ANNA) -> Notable:
    return Notable(f"{hour}", int(hour * HOUR), "x", actor, "", "", "")


def review(**found: list[Notable]) -> list[Reviewed]:
    return [
        Reviewed(control, State.FOUND, 1, 0, State.NOTHING, tuple(found.get(control.name, [])))
        for control in Control
    ]


def test_a_way_in_and_two_uses_within_a_day_are_a_chain() -> None:
    """Spelling tells nobody apart, others' findings count for others, the controls come in the
    report's order, and it begins with its first event."""
    found = review(
        SIGN_INS=[event(30), event(31, "bob@contoso.example")],
        MAIL_FORWARDING=[event(33, ANNA.upper()), event(900)],
        FILES=[event(53)],
        ACCOUNTS=[event(30)],
    )
    expected = (Control.MAIL_FORWARDING, Control.SIGN_INS, Control.FILES)
    assert chains(found) == [Chain(ANNA, 30 * HOUR, expected)]


@pytest.mark.parametrize(
    "found",
    [
        {"SIGN_INS": [event(1)], "FILES": [event(2)]},
        {"SIGN_INS": [event(1)], "FILES": [event(2)], "MAIL_FORWARDING": [event(26)]},
        {"ROLES": [event(1)], "FILES": [event(2)], "MAIL_FORWARDING": [event(3)]},
        {"SIGN_INS": [event(1)], "FILES": [event(2)], "ROLES": [event(2, "bob@contoso.example")]},
        {},
    ],
)
def test_what_may_be_chance_is_none(found: dict[str, list[Notable]]) -> None:
    """Two controls, more than a day, no way in, or two accounts."""
    assert chains(review(**found)) == []


def test_the_longest_chain_comes_first() -> None:
    """Of most controls; of equal ones the earlier."""
    names = ("SIGN_INS", "FILES", "MAIL_FORWARDING")
    found = {
        name: [event(5, "late@x.example"), event(1), event(9, "most@x.example")] for name in names
    }
    found["APPLICATIONS"] = [event(9, "most@x.example")]
    assert [chain.actor for chain in chains(review(**found))] == [
        "most@x.example",
        ANNA,
        "late@x.example",
    ]
