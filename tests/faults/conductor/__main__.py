"""`python -m tests.faults.conductor --seeds 1000`: play many runs and write the summary."""

# ruff: noqa: T201 - a command prints
from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import chain
from pathlib import Path

from sandbox import Sandbox
from tests.faults.conductor.plan import plan_of
from tests.faults.conductor.service import play_service
from tests.faults.conductor.stage import Stage
from tests.faults.conductor.summary import summary, write
from tests.faults.conductor.verdict import Verdict
from tests.servers import leash


def main() -> int:
    given = _given()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="trailkeeper-conductor-"))
    folder.mkdir(parents=True, exist_ok=True)
    leash.pytest_configure()  # what is started ends with us, also when we are killed
    verdicts: list[Verdict] = []
    begun = time.monotonic()
    for verdict in chain(_steps(given, folder), _services(given, folder)):
        verdicts.append(verdict)
        for failure in verdict.failures():
            print(f"{verdict.tier} {verdict.seed}: {failure}; {verdict.played}", flush=True)
        if given.output:
            write(summary(verdicts, time.monotonic() - begun), given.output)
        if len(verdicts) % 20 == 0:
            print(f"{len(verdicts)} runs, {time.monotonic() - begun:.0f} s", flush=True)
    found = summary(verdicts, time.monotonic() - begun)
    print(json.dumps(found, indent=1))
    return int(bool(found["failed"]))


def _steps(given: argparse.Namespace, folder: Path) -> Iterator[Verdict]:
    with (
        Sandbox(folder / "box", tenants=(), rate=0.0) as box,
        ThreadPoolExecutor(given.at_once) as pool,
    ):
        stage = Stage(folder, box)
        seeds = range(given.first, given.first + given.seeds)
        runs = {pool.submit(stage.play, plan_of(seed)): seed for seed in seeds}
        for run in as_completed(runs):
            error = run.exception()
            yield _broken("steps", runs[run], error) if error else run.result()


def _services(given: argparse.Namespace, folder: Path) -> Iterator[Verdict]:
    for seed in range(given.first, given.first + given.services):
        target = folder / f"service-{seed}"
        target.mkdir()
        try:
            yield from play_service(seed, target)
        except (AssertionError, OSError) as error:
            yield _broken("service", seed, error)


def _broken(tier: str, seed: int, error: BaseException) -> Verdict:
    return Verdict(seed, tier, trouble=[f"{type(error).__name__}: {error}"])


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conductor")
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--services", type=int, default=0, help="runs of the service tier")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="kept, with the data of failed runs")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
