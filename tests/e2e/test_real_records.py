"""Records that nobody on this project wrote, through the whole line and out again."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.configured import Configured
from tests.days import recent
from tests.e2e.running import exported, is_proven, service, trailkeeper, until
from tests.servers.redis import RedisServer

START, END = recent("2026-10-01T00:00:00Z"), recent("2026-11-01T00:00:00Z")


def _files(shared: Path) -> list[Path]:
    found = sorted(shared.glob("*.ndjson.gz"))
    assert len(found) >= 7, f"{shared} holds fewer files than it should"
    return found


def _tenant(path: Path) -> str:
    return path.name.split(".")[0].replace("_", "-").lower()[:40]


def _truth(box: Sandbox, tenant: str) -> Counter[str]:
    """The texts that the sandbox serves, each once."""
    return Counter(record["AuditData"] for record in box.control.records(tenant))


@pytest.fixture
def box(tmp_path: Path, shared: Path) -> Sandbox:
    """A tenant for every file, its records moved into October 2026."""
    files = _files(shared)
    box = Sandbox(
        tmp_path / "box",
        tenants=tuple(map(_tenant, files)),
        records=tuple(f"{_tenant(path)}={path}" for path in files),
        start=START,
        end=END,
    )
    with box:
        yield box


def _lines(path: Path) -> int:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return sum(1 for line in lines if line.strip())


def test_collect_returns_every_real_record_once(box: Sandbox, tmp_path: Path, shared: Path) -> None:
    """`collect` and `export` give back each file's records, byte for byte and once each."""
    tenants = [_tenant(path) for path in _files(shared)]
    folder = Configured(tmp_path / "conf", box, tenants).write()
    for path, tenant in zip(_files(shared), tenants, strict=True):
        trailkeeper(folder, "collect", "--tenant", tenant, "--from", START, "--to", END)
        found = exported(folder, tenant, tmp_path / f"{tenant}.jsonl")
        assert sum(found.values()) == _lines(path)
        assert found == _truth(box, tenant)


def test_beat_and_workers_return_every_real_record_once(
    box: Sandbox, tmp_path: Path, shared: Path, redis: RedisServer
) -> None:
    """The same through beat, Redis and workers: nothing is asked by hand."""
    tenants = [_tenant(path) for path in _files(shared)]
    folder = Configured(
        tmp_path / "conf", box, tenants, tenant={"since": recent("2026-10-01")}, recipients=()
    ).write()
    with service(folder, redis, tmp_path) as running:
        for tenant in tenants:
            until(
                lambda tenant=tenant: is_proven(folder, tenant, START, END),
                f"October of {tenant} collected; see {running.log.read_text()[-3000:]}",
            )
    for tenant in tenants:
        found = exported(folder, tenant, tmp_path / f"{tenant}.jsonl")
        assert found == _truth(box, tenant)
