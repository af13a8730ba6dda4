"""`kill -9` of a merging worker, at many instants: the next one makes it whole."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.lake_words import DAY, ROOT, TENANT, World, columns, counted, record
from trailkeeper.model.segment import Merge

MERGER = """
import os, pickle, sys
from tests.store.lake_words import World
from pathlib import Path
world = World(Path(sys.argv[1]))
merges = pickle.loads(Path(sys.argv[2]).read_bytes())
import trailkeeper.store.lake_export
print("ready", flush=True)
sys.stdin.readline()
for merge in merges:
    world.fold(merge)
print("done", flush=True)
"""

DAYS = 12
RECORDS = 600


def page(number: int) -> list[str]:
    """Records over several days, a third of them known from the page before."""
    chance = random.Random(number)
    known = [] if not number else page(number - 1)[: RECORDS // 3]
    fresh = [
        record(f"{number}-{n}", f"2026-10-{chance.randrange(1, DAYS):02d}T0{n % 10}:00:00", N=n)
        for n in range(RECORDS - len(known))
    ]
    return [*fresh, *known]


class Merger:
    """A real process that waits for the word, merges, and can be killed."""

    def __init__(self, root: Path, merges: list[Merge]) -> None:
        path = root / "merges.pickle"
        path.write_bytes(pickle.dumps(merges))
        self.process = subprocess.Popen(
            [sys.executable, "-c", MERGER, str(root), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill_after(self, seconds: float) -> None:
        self.go()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 20))]
)
def test_a_killed_merge_is_made_whole_by_the_next_worker(tmp_path: Path, seed: int) -> None:
    """Killed at twelve random instants, in reading and in commit: the export is exact each time."""
    chance = random.Random(seed)
    world = World(tmp_path)
    everything: set[str] = set()
    for number in range(12):
        texts = page(number)
        merge = world.claim(world.land(columns(*texts[:300]), columns(*texts[300:])))
        Merger(tmp_path, [merge]).kill_after(chance.uniform(0.0, 0.12))
        fresh = len(set(texts) - everything)
        everything.update(texts)
        (counts,) = world.fold(merge).values()
        assert counts == counted(RECORDS, fresh)
        assert sorted(world.lines()) == sorted(everything)
    world.lake.compact(TENANT, DAY)
    assert sorted(world.lines()) == sorted(everything)


def test_two_workers_racing_store_each_record_once(tmp_path: Path) -> None:
    """Two live processes with the same merges: each merge commits once, whoever wins it."""
    world = World(tmp_path)
    merges = [world.claim(world.land(columns(*page(number)))) for number in range(6)]
    racers = [Merger(tmp_path, merges) for _ in range(2)]
    for racer in racers:
        racer.go()
    for racer in racers:
        racer.process.communicate()  # the loser of a commit ends with Transient, as it should
    for merge in merges:
        world.fold(merge)
    everything = {text for number in range(6) for text in page(number)}
    assert sorted(world.lines()) == sorted(everything)


def test_a_commit_that_is_found_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it may have been killed before the fsync: a merge is not closed over a commit
    that a power cut could still take."""
    world = World(tmp_path)
    merge = world.claim(world.land(columns(*page(0))))
    counts = world.fold(merge)
    synced: list[Path] = []
    monkeypatch.setattr("trailkeeper.store.lake.sync", synced.append)
    assert world.fold(merge) == counts
    names = {path.name for path in synced}
    written = {path.name for path in (tmp_path / "lake" / TENANT).rglob("*.parquet")}
    assert written <= names
    assert any(name.endswith("1.json") for name in names)
