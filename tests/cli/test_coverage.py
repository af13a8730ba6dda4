"""`trailkeeper coverage`: what is proven, for people and for programs."""

from __future__ import annotations

from tests.cli.conftest import DAYS, Line
from tests.days import recent


def test_nothing_asked_is_nothing_proven(line: Line) -> None:
    """Before the first collection coverage is incomplete and says how to begin."""
    said = line.run("coverage")
    assert said.code == 10
    assert said.out == ""
    assert f"trailkeeper collect --tenant {line.tenant}" in said.err


def test_what_was_collected_is_complete_and_the_rest_a_gap(seeded: Line) -> None:
    """Over the collected range all is well; a wider range shows what was never asked for."""
    seeded.collect()
    whole = seeded.run("coverage")
    assert whole.code == 0
    assert whole.out.startswith(f"{seeded.tenant} exchange  100 %  {DAYS[0]} .. {DAYS[1]}")
    wider = seeded.run(
        "coverage", "--tenant", seeded.tenant, "--from", recent("2026-09-01"), "--json"
    )
    assert wider.code == 10
    (stated,) = wider.objects
    assert [gap["reason"] for gap in stated["gaps"]] == ["not collected yet"] * 2
    assert stated["complete_seconds"] == 2 * 86400


def test_an_almost_complete_range_is_never_called_a_hundred_percent(seeded: Line) -> None:
    """A second that is missing keeps the figure below 100."""
    seeded.collect()
    said = seeded.run(
        "coverage", "--tenant", seeded.tenant, "--from", DAYS[0], "--to", f"{DAYS[1]}T00:00:01Z"
    )
    assert said.code == 10
    assert " 99.9 % " in said.out
    assert "gap" in said.out


def test_an_end_needs_a_beginning(line: Line) -> None:
    """--to alone is refused."""
    said = line.run("coverage", "--to", "2026-10-01")
    assert said.code == 2
    assert "--from" in said.last_words


def test_a_mistyped_year_leaves_no_mark_on_the_next_coverage(seeded: Line) -> None:
    """A range beyond retention is lost and says that nothing is to be undone; coverage of what
    could be had is complete again, and says how to see the rest."""
    lost = seeded.collect(start="2020-01-01", end="2020-02-01")
    assert lost.code == 10
    assert "lost" in lost.out
    assert "mistyped" in lost.err
    assert seeded.collect().code == 0
    whole = seeded.run("coverage")
    assert whole.code == 0, whole.out
    assert f"{DAYS[0]} .. {DAYS[1]}" in whole.out
    assert f"trailkeeper coverage --tenant {seeded.tenant} --from 2020-01-01" in whole.err
    named = seeded.run("coverage", "--from", "2020-01-01", "--json")
    assert named.code == 10
    assert named.objects[0]["gaps"][0]["lost"] is True
