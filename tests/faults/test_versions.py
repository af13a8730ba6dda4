"""A new version takes over what an older one was killed over: ledger, landing files and lake."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
import time
from datetime import UTC
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.faults.conductor.plan import plan_of
from tests.faults.conductor.stage import Stage
from trailkeeper.model.window import iso

pytestmark = pytest.mark.nightly

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "trailkeeper" / "store" / "migrations" / "versions"


def _git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this checkout has no history with an older version in it")
    return done.stdout


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it was before the newest migration came."""
    newest = max(MIGRATIONS.glob("0*.py"))
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(newest)).decode().strip()
    if not added:
        pytest.skip("the newest migration is not committed yet")
    folder = tmp_path_factory.mktemp("older")
    archive = io.BytesIO(_git("archive", f"{added}~1", "trailkeeper"))
    with tarfile.open(fileobj=archive) as tar:
        tar.extractall(folder, filter="data")
    assert not (folder / newest.relative_to(ROOT)).exists()
    return folder


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_an_older_version_is_taken_over(seed: int, older: Path, tmp_path: Path) -> None:
    """It collects the month's first half and is killed over it; the new one upgrades the ledger,
    goes on under faults of its own, and nothing is lost or stored twice."""
    dice = random.Random(seed)
    with Sandbox(tmp_path / "box", tenants=(), rate=0.0) as box:
        stage = Stage(tmp_path, box)
        start = iso(stage.month.window(UTC).start)
        middle = f"{stage.month}-{dice.randint(10, 20)}T00:00:00Z"

        def collect(configuration: Path) -> None:
            (configuration.parent / "data" / "ledger.db").unlink()
            command = [sys.executable, "-m", "trailkeeper.cli", "--config", str(configuration)]
            command += ["collect", "--tenant", plan.tenant, "--from", start, "--to", middle]
            environment = {**os.environ, "PYTHONPATH": str(older)}
            with (configuration.parent / "older.log").open("wb") as log:
                running = subprocess.Popen(
                    command, cwd=older, env=environment, stdout=log, stderr=log
                )
                landing = configuration.parent / "data" / "landing"
                while running.poll() is None and not list(landing.rglob("*.zst")):
                    time.sleep(0.01)
                time.sleep(dice.uniform(0, 1))
                running.kill()
                running.wait()
            assert list(landing.rglob("*.zst")), (configuration.parent / "older.log").read_text()

        plan = plan_of(seed)
        verdict = stage.play(plan, before=collect)
    verdict.trouble = [each for each in verdict.trouble if not each.startswith("nobody was killed")]
    assert verdict.failures() == [], verdict
