"""The figures of many runs, as benchmarks/conductor.json keeps them."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.conductor.faults import POINTS, SIDES
from tests.faults.conductor.verdict import Verdict


def summary(verdicts: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    hits = Counter(hit for verdict in verdicts for hit in verdict.hits if hit != ":")
    acts = Counter(played.partition(" ")[0] for v in verdicts for played in v.played)
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
        "commit": _commit(),
        "runs": dict(Counter(verdict.tier for verdict in verdicts)),
        "seeds": _span([verdict.seed for verdict in verdicts if verdict.tier == "steps"]),
        "seconds": round(seconds),
        "records": sum(verdict.records for verdict in verdicts),
        "killed": sum(verdict.kills for verdict in verdicts),
        "acts": dict(sorted(acts.items())),
        "lost": sum(verdict.lost for verdict in verdicts),
        "doubled": sum(verdict.doubled for verdict in verdicts),
        "foreign": sum(verdict.foreign for verdict in verdicts),
        "gaps_named": sum(bool(verdict.gaps) for verdict in verdicts),
        "mailed": sum(verdict.mails > 0 for verdict in verdicts),
        "mailed_twice": sum(verdict.mailed_twice for verdict in verdicts),
        "told_of_lost_acceptances": sum(verdict.told for verdict in verdicts),
        "points_hit": {point: hits[point] for point in _points()},
        "failed": {f"{v.tier} {v.seed}": v.failures() for v in verdicts if v.failures()},
    }


def _points() -> list[str]:
    return [f"{name}:{side}" for name in POINTS for side in SIDES]


def missed(found: dict[str, Any]) -> list[str]:
    """Points, with their side, at which nobody was killed."""
    return [point for point, times in found["points_hit"].items() if not times]


def write(found: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _span(seeds: list[int]) -> str:
    return f"{min(seeds)}-{max(seeds)}" if seeds else ""


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
