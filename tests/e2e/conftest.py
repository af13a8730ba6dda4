"""Real servers for the end-to-end tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.redis import RedisServer, redis_server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real records; they may not ship with the project, so it can be absent."""
    beside = Path(__file__).parents[3] / "shared"
    folder = Path(os.environ.get("TRAILKEEPER_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real records here: {folder} is absent (set TRAILKEEPER_SHARED)")
    return folder
