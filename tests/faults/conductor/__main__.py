"""`python -m tests.faults.conductor --seeds 1000`: play many runs and write the summary."""

# ruff: noqa: T201 - a command prints
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sandbox import Sandbox
from tests.faults.conductor.plan import plan_of
from tests.faults.conductor.stage import Stage
from tests.faults.conductor.summary import summary, write
from tests.faults.conductor.verdict import Verdict


def main() -> int:
    given = _given()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="trailkeeper-conductor-"))
    folder.mkdir(parents=True, exist_ok=True)
    verdicts: list[Verdict] = []
    begun = time.monotonic()
    with (
        Sandbox(folder / "box", tenants=(), rate=0.0) as box,
        ThreadPoolExecutor(given.at_once) as pool,
    ):
        stage = Stage(folder, box)
        seeds = range(given.first, given.first + given.seeds)
        runs = {pool.submit(stage.play, plan_of(seed)): seed for seed in seeds}
        for run in as_completed(runs):
            verdict = run.result() if not run.exception() else _broken(runs[run], run.exception())
            verdicts.append(verdict)
            for failure in verdict.failures():
                print(f"seed {verdict.seed}: {failure}; {verdict.played}", flush=True)
            if len(verdicts) % 20 == 0:
                print(f"{len(verdicts)} runs, {time.monotonic() - begun:.0f} s", flush=True)
                if given.output:
                    write(summary(verdicts, time.monotonic() - begun), given.output)
    found = summary(verdicts, time.monotonic() - begun)
    if given.output:
        write(found, given.output)
    print(found)
    return int(bool(found["failed"]))


def _broken(seed: int, error: BaseException | None) -> Verdict:
    return Verdict(seed, "steps", trouble=[f"{type(error).__name__}: {error}"])


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conductor")
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="kept, with the data of failed runs")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
