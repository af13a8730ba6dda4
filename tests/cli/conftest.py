"""A running sandbox, and the command line over a configuration folder of one fresh tenant in it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.configured import Configured
from tests.servers import warm

ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count()
_MOST_TENANTS = 100


@dataclass
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Standard output as JSON, one object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last_words(self) -> str:
        """The sentence for the operator: the last line on standard error."""
        return self.err.strip().splitlines()[-1]


@dataclass
class Line:
    """The command line as an operator has it."""

    config: Configured
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        return self.config.tenants[0]

    @property
    def file(self) -> Path:
        """The tenant's configuration file."""
        return self.config.folder / "tenants" / f"{self.tenant}.toml"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TRAILKEEPER_CONFIG": str(self.config.folder),
            **self.environment,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "trailkeeper.cli", *words],
            cwd=self.config.folder.parent,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> Said:
        done = warm.run(words, self.config.folder.parent, self._environment, 240)
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def run_fresh(self, *words: str) -> Said:
        """The same with an interpreter of its own, for what hangs on how that starts."""
        process = self.start(*words)
        out, err = process.communicate(timeout=240)
        assert "Traceback" not in err, err
        return Said(process.returncode, out, err)

    def collect(self, *words: str, start: str = "", end: str = "") -> Said:
        """Collect the two days that `seeded` fills, unless told otherwise."""
        first, last = DAYS
        return self.run(
            "collect", "--tenant", self.tenant, "--from", start or first, "--to", end or last,
            *words,
        )  # fmt: skip

    def replace(self, old: str, new: str, path: Path | None = None) -> None:
        """Edit a configuration file, the tenant's unless another is named."""
        path = path or self.file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


_TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = tuple(f"{_TODAY - timedelta(days=days):%Y-%m-%d}" for days in (10, 8))
"""two days long settled, as `--from` and `--to`"""
RECORDS = 307  # no round number: such an answer is looked at twice


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the whole run, with an empty tenant for every test."""
    names = [f"tenant{number}" for number in range(_MOST_TENANTS)]
    with Sandbox(tmp_path_factory.mktemp("sandbox"), tenants=names) as running:
        yield running


@pytest.fixture
def line(box: Sandbox, tmp_path: Path) -> Iterator[Line]:
    """The command line over a fresh tenant without records."""
    configured = Configured(tmp_path / "trailkeeper.d", box, [f"tenant{next(_NUMBERS)}"])
    configured.write()
    yield Line(configured)
    box.control.clear_faults()
    box.control.set_clock(events_offset=0, identity_offset=0)


@pytest.fixture
def seeded(line: Line, box: Sandbox) -> Line:
    """The same with `RECORDS` records in the first of the two days."""
    box.control.crowd(line.tenant, f"{DAYS[0]}T08:00:00Z", RECORDS, seconds=30_000)
    return line
