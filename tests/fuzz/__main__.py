"""`python -m tests.fuzz [--seconds N] [--executions N] [--summary FILE] [TARGET…]`: fuzz and count.

Each target is fuzzed in a process of its own, guided by what of our code an input reaches
(atheris). What is found stays as a file in the folder that is named, and the exit code is 1. The
counts are added to those that the summary holds, after each target.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
_LONGEST_INPUT = 4096
_UNIT_SECONDS = 10
"""an input that takes so long is a finding"""
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)|^#(\d+)\s", re.M)

_ROW = re.compile(r"^\| ([a-z-]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", re.M)


@dataclass(frozen=True)
class Fuzzed:
    """What came of one target."""

    name: str
    executions: int
    seconds: float
    finding: str
    """the last words of the run when an input was refused or took too long, else nothing"""


def fuzz(name: str, seconds: int, executions: int, folder: Path) -> Fuzzed:
    """Fuzz one target until the time is over or it was called so often."""
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = [
        *(sys.executable, "-m", "tests.fuzz.one", name, corpus),
        *(f"-max_total_time={seconds}", f"-runs={executions}", f"-max_len={_LONGEST_INPUT}"),
        *(f"-timeout={_UNIT_SECONDS}", f"-artifact_prefix={folder}/{name}-", "-rss_limit_mb=2048"),
        "-print_final_stats=1",
    ]
    began = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode("utf-8", "replace")
    counts = [int(total or seen) for total, seen in _EXECUTED.findall(said)]
    finding = "" if done.returncode == 0 else said[-3000:]
    return Fuzzed(name, max(counts, default=0), time.monotonic() - began, finding)


def counted(page: str) -> dict[str, tuple[int, int, int]]:
    """Target → executions, seconds and findings, as a summary holds them."""
    rows = _ROW.findall(page)
    return {name: tuple(int(n.replace(",", "")) for n in numbers) for name, *numbers in rows}  # type: ignore[misc]


def added(before: dict[str, tuple[int, int, int]], new: Fuzzed) -> dict[str, tuple[int, int, int]]:
    """The counts with one more run of a target."""
    executions, seconds, found = before.get(new.name, (0, 0, 0))
    sums = (executions + new.executions, seconds + round(new.seconds), found + bool(new.finding))
    return {**before, new.name: sums}


def summary(counts: dict[str, tuple[int, int, int]]) -> Iterator[str]:
    """The page that is kept: what was called how often, over all runs."""
    yield "# Fuzzing: what was called how often"
    yield ""
    yield "Each run of `make fuzz` adds its counts. The targets: `tests/fuzz/targets.py`."
    yield ""
    yield f"Last run: {datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, atheris."
    yield ""
    yield "| target | executions | seconds | findings |"
    yield "|---|---:|---:|---:|"
    sums = [sum(column) for column in zip(*counts.values(), strict=True)]
    for name, (executions, seconds, found) in [*counts.items(), ("**all**", sums)]:
        yield f"| {name} | {executions:,} | {seconds:,} | {found} |"


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz")
    asked.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    asked.add_argument("--seconds", type=int, default=60, help="for each target")
    asked.add_argument("--executions", type=int, default=-1, help="of each target, at most")
    asked.add_argument("--folder", type=Path, help="where inputs and findings are kept")
    asked.add_argument("--summary", type=Path, help="a page to which the counts are added")
    words = asked.parse_args()
    if importlib.util.find_spec("atheris") is None:
        asked.error(
            "atheris is not installed: it has a wheel for Linux on x86-64, Python 3.11-3.13"
        )
    folder = (words.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))).absolute()
    kept = words.summary.read_text("utf-8") if words.summary and words.summary.exists() else ""
    counts, findings = counted(kept), 0
    for name in words.targets:
        result = fuzz(name, words.seconds, words.executions, folder)
        counts, findings = added(counts, result), findings + bool(result.finding)
        sys.stdout.write(f"{name}: {result.executions:,} in {result.seconds:.0f} s\n")
        if result.finding:
            sys.stdout.write(f"{result.finding}\nthe input lies in {folder}\n")
        sys.stdout.flush()
        if words.summary:
            words.summary.write_text("\n".join(summary(counts)) + "\n", encoding="utf-8")
    return 1 if findings else 0


if __name__ == "__main__":
    os.nice(10)
    sys.exit(main())
