"""A data folder that cannot be written, a snapshot or a backup, can be looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import DAYS, RECORDS, ROOT, Line

_MOUNTED = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


@pytest.fixture
def looked_at(seeded: Line) -> Line:
    assert seeded.collect().code == 0
    return seeded


def look(line: Line, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command over the folder mounted read-only; nobody but root needs the mount."""
    command = [sys.executable, "-m", "trailkeeper.cli", *words]
    data = line.config.data
    if os.geteuid() == 0:
        command = ["unshare", "-rm", "sh", "-c", _MOUNTED, "sh", str(data), *command]
        return _run(line, command)
    subprocess.run(["chmod", "-R", "a-w", str(data)], check=True)
    try:
        return _run(line, command)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(data)], check=True)


def _run(line: Line, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    folder = {"TRAILKEEPER_CONFIG": str(line.config.folder)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **folder, **line.environment},
    )


def test_what_only_reads_works(looked_at: Line, tmp_path: Path) -> None:
    """coverage, export, tenants list, and a report into another folder."""
    tenant = looked_at.tenant
    said = look(looked_at, "export", "--tenant", tenant)
    assert (said.returncode, len(said.stdout.splitlines())) == (0, RECORDS), said.stderr
    said = look(looked_at, "coverage", "--tenant", tenant, "--from", DAYS[0], "--to", DAYS[1])
    assert said.returncode == 0, said.stderr
    assert look(looked_at, "tenants", "list").returncode == 0
    words = ("report", "--tenant", tenant, "--month", DAYS[0][:7])
    said = look(looked_at, *words, "-o", str(tmp_path / "report"))
    assert (tmp_path / "report" / "report.html").is_file(), said.stderr


def test_what_writes_says_what_to_do(looked_at: Line) -> None:
    """A report without a folder of its own, and a collection: one sentence with the remedy."""
    tenant = looked_at.tenant
    said = look(looked_at, "report", "--tenant", tenant, "--month", DAYS[0][:7])
    assert said.returncode == 2
    assert "-o DIR" in said.stderr
    said = look(looked_at, "tenants", "pause", tenant)
    assert said.returncode == 1
    assert "write permission" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_ledger_that_was_left_with_its_log_is_not_half_read(looked_at: Line) -> None:
    """Without its index the log cannot be read: that is told, and no older state shown."""
    ledger = looked_at.config.data / "ledger.db"
    shutil.copy(ledger, f"{ledger}-wal")
    said = look(looked_at, "coverage", "--tenant", looked_at.tenant)
    Path(f"{ledger}-wal").unlink()
    assert said.returncode == 1
    assert "-wal" in said.stderr
