"""Whatever is killed, stopped, cut off, refused or moved: each record once, each month mailed.

A failing run is played again with `python -m tests.faults.conductor --first SEED --seeds 1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.faults.conductor.faults import POINTS, SIDES, Act, Kind
from tests.faults.conductor.plan import Plan, plan_of
from tests.faults.conductor.service import play_service
from tests.faults.conductor.stage import Stage
from tests.faults.conductor.verdict import Verdict, compare

SEEDS = range(1, 26)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("conductor")
    with Sandbox(folder / "box", tenants=(), rate=0.0) as box:
        yield Stage(folder, box)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_keeps_every_promise(stage: Stage, seed: int) -> None:
    """Each record of the month exported exactly once; proven, or its gap named; mailed once, and
    twice only where an acceptance was lost and told. The run's own kills did happen."""
    verdict = stage.play(plan_of(seed))
    assert verdict.failures() == [], verdict


@pytest.mark.parametrize("point", ["outbox.take:after", "outbox.finish:before"])
def test_a_sender_stands_still_past_its_lease(stage: Stage, point: str) -> None:
    """Before the message it gives way, and one mail is sent; after it there are two, and the log
    says why."""
    number = 90_001 + len(point)
    days = plan_of(1).days
    verdict = stage.play(Plan(number, 20, days, 31, (Act(Kind.STOP, f"{point}:1:stop"),)))
    assert verdict.failures() == [], verdict
    assert verdict.hits == [point]
    assert verdict.mailed_twice == (point == "outbox.finish:before")
    assert verdict.told >= 1


def test_these_seeds_pass_every_point() -> None:
    """Each crash point is killed at before and after its step, each kind of fault is played."""
    plans = [plan_of(seed) for seed in SEEDS]
    wanted = {f"{name}:{side}" for name in POINTS for side in SIDES}
    assert {point for plan in plans for point in plan.must_hit} == wanted
    assert {act.kind for plan in plans for act in plan.acts} == set(Kind)


def test_a_seed_is_a_run() -> None:
    """The same seed plans the same run, another one another."""
    assert plan_of(7) == plan_of(7)
    assert plan_of(7) != plan_of(8)


def test_the_verdict_is_not_blind(tmp_path: Path) -> None:
    """A lost record, a doubled one, an altered one and a month that is mailed twice are seen."""
    export = tmp_path / "export.jsonl"
    export.write_text('{"Id":"1"}\n{"Id":"1"}\n{"Id":"3 "}\n', "utf-8")
    verdict = Verdict(1, "steps", mails=2, months=1, complete=True)
    compare(verdict, ['{"Id":"1"}', '{"Id":"2"}', '{"Id":"3"}'], export)
    assert (verdict.lost, verdict.doubled, verdict.foreign) == (2, 1, 1)
    assert len(verdict.failures()) == 3  # not allowed to, and not told
    good = Verdict(1, "steps", mails=1, months=1, complete=True)
    compare(good, ['{"Id":"1"}', '{"Id":"1"}', '{"Id":"3 "}'], export)
    assert good.failures() == []


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_whole_service_keeps_every_promise(seed: int, tmp_path: Path) -> None:
    """The same of Celery, beat and Redis, which are killed, stopped, emptied, cut off and flooded
    with doubled messages."""
    for verdict in play_service(seed, tmp_path):
        assert verdict.failures() == [], verdict
