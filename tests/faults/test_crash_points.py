"""The crash points: each durable step has one, and an armed one ends the process right there."""

from __future__ import annotations

import ast
import multiprocessing
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.ledger_words import T0, new, plan, take, window
from tests.faults.conductor.faults import ELSEWHERE, POINTS
from trailkeeper.process.crash_points import arm, durable
from trailkeeper.store.ledger import open_ledger

ROOT = Path(__file__).parents[2]


def _names_in_code() -> Iterator[str]:
    for path in (ROOT / "trailkeeper").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "durable":
                (word,) = node.args
                assert isinstance(word, ast.Constant), path
                yield word.value


def test_the_points_are_the_documented_ones() -> None:
    """Code, document and fault suite name the same points, and no two steps share a name."""
    names = sorted(_names_in_code())
    text = (ROOT / "docs" / "decisions" / "faults.md").read_text("utf-8")
    assert names == sorted(set(names))
    assert names == sorted(re.findall(r"^\| `([a-z._]+)` \|", text, re.M))
    assert names == sorted([*POINTS, *ELSEWHERE])


def _pass_twice(spelled: str, trace: Path) -> None:
    arm(spelled)
    with trace.open("ab", buffering=0) as file:
        for _ in range(2):
            with durable("landing.rename"):
                file.write(b"x")


@pytest.mark.parametrize(
    ("spelled", "steps"),
    [
        ("landing.rename:before:1", 0),
        ("landing.rename:after:1", 1),
        ("landing.rename:before:2", 1),
        ("landing.rename:after:2:kill", 2),
    ],
)
def test_it_ends_on_its_side_of_the_step(spelled: str, steps: int, tmp_path: Path) -> None:
    """SIGKILL before or after the n-th pass: the step itself is not made, or wholly made."""
    trace = tmp_path / "trace"
    forked = multiprocessing.get_context("fork").Process(target=_pass_twice, args=(spelled, trace))
    forked.start()
    forked.join()
    assert forked.exitcode == -signal.SIGKILL
    assert len(trace.read_bytes()) == steps


@pytest.mark.parametrize("spelled", ["landing.rename:before:3", "another:after:1", ""])
def test_what_is_not_reached_changes_nothing(spelled: str, tmp_path: Path) -> None:
    """A point that is not passed so often, another one, or none: the process goes on."""
    _pass_twice(spelled, tmp_path / "trace")
    arm("")
    assert (tmp_path / "trace").read_bytes() == b"xx"


@pytest.mark.parametrize("spelled", ["landing.rename", "landing.rename:during:1", "x:after:1:burn"])
def test_a_misspelt_point_is_refused(spelled: str) -> None:
    """An experiment that would never happen is no experiment."""
    with pytest.raises(ValueError, match=r"crash point|Deed"):
        arm(spelled)


def _share(url: str, side: str) -> None:
    ledger = open_ledger(url)
    leased = take(ledger)
    arm(f"segment.share:{side}:1")
    ledger.share(leased.lease, window(0, 2), [new(2, length=2)], T0)


@pytest.mark.parametrize(
    ("side", "stands"), [("before", [(0, 4)]), ("after", [(0, 2), (2, 4)])], ids=["before", "after"]
)
def test_a_killed_share_is_whole_or_not_made(
    side: str, stands: list[tuple[int, int]], tmp_path: Path
) -> None:
    """Whoever is killed over a segment that it shares leaves each hour in exactly one segment."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = open_ledger(url)
    plan(ledger, new(0, length=4))
    ledger.close()
    forked = multiprocessing.get_context("fork").Process(target=_share, args=(url, side))
    forked.start()
    forked.join()
    assert forked.exitcode == -signal.SIGKILL
    again = open_ledger(url)
    found = again.unfinished("contoso", window(0, 9))
    assert sorted((segment.window for segment in found), key=str) == [
        window(*each) for each in stands
    ]
    again.close()
