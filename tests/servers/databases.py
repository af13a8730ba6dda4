"""Fixtures: a fresh, migrated database on each of the two kinds that a ledger can live in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import Postgres, find_binaries, postgres_server
from trailkeeper.store.database import open_database
from trailkeeper.store.ledger import SqlLedger, open_ledger


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run. Python's packages bring none; where there is none, the same
    tests run on SQLite alone, and CI installs it."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed on this machine")
    with postgres_server(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """A migrated database to copy from: cheaper than migrating for every test."""
    name = postgres.new_database()
    open_database(postgres.url(name)).dispose()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy from."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    open_database(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, migrated database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.new_database(request.getfixturevalue("postgres_template")))


@pytest.fixture
def ledger(sqlite_template: Path, tmp_path: Path) -> Iterator[SqlLedger]:
    """A ledger on a fresh file, for what does not hang on the kind of database."""
    path = tmp_path / "ledger.db"
    shutil.copy(sqlite_template, path)
    opened = open_ledger(f"sqlite:///{path}")
    yield opened
    opened.close()
