"""A running sandbox, a running Redis, and tenants enrolled in the one for tests of the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.microsoft.identity import Enrolled, enrol
from tests.servers.databases import ledger, sqlite_template
from tests.servers.redis import RedisServer, redis_server

__all__ = ["ledger", "sqlite_template"]

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the whole run; every test makes its own tenants in it."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), tenants=()) as running:
        yield running


@pytest.fixture
def enrolled(box: Sandbox, tmp_path: Path) -> Iterator[Enrolled]:
    """A fresh tenant whose registered certificate lies as app.pfx in the configuration folder."""
    yield enrol(box, tmp_path, f"tenant{next(_NUMBERS)}")
    box.control.clear_faults()
    box.control.set_clock(events_offset=0, identity_offset=0)


@pytest.fixture
def fresh_name() -> Callable[[], str]:
    return lambda: f"tenant{next(_NUMBERS)}"


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One Redis for the run; a test that stops a server starts its own."""
    with redis_server() as server:
        yield server
