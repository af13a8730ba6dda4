"""Real records of public origin, from landing to export, to the byte."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.store.lake_words import ROOT, World, counted
from trailkeeper.model.canonical import canonical

SHARED = Path(os.environ.get("TRAILKEEPER_SHARED") or ROOT.parent / "shared")
FILES = sorted(SHARED.glob("data/*.ndjson.gz"))

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real records in {SHARED / 'data'}")


@pytest.fixture(params=FILES, ids=lambda path: path.name.split(".")[0])
def texts(request: pytest.FixtureRequest) -> list[str]:
    path: Path = request.param
    return gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]


def test_real_records_come_back_to_the_byte(tmp_path: Path, texts: list[str]) -> None:
    """Stored twice from two pages, each record of every file is exported once and unchanged."""
    world = World(tmp_path)
    half = len(texts) // 2
    assert world.store(*texts[: half + 1]) == counted(half + 1, half + 1)
    assert world.store(*texts) == counted(len(texts), len(texts) - half - 1)
    assert sorted(world.lines()) == sorted(texts)


def test_real_records_in_canonical_spelling_are_duplicates(
    tmp_path: Path, texts: list[str]
) -> None:
    """The same records in other bytes add nothing."""
    world = World(tmp_path)
    world.store(*texts)
    assert world.store(*map(canonical, texts)) == counted(len(texts), 0)
    assert sorted(world.lines()) == sorted(texts)
