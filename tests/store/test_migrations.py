"""Opening a database: made, migrated, found up to date, or refused with a reason and a remedy."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from tests.contract.ledger_words import CONTOSO, T0, new, plan
from tests.servers.postgres import Postgres, find_binaries, postgres_server
from trailkeeper.errors import ConfigurationError, TrailkeeperError, Unavailable
from trailkeeper.model.feed.blob import BlobState
from trailkeeper.model.measures.density import density_key
from trailkeeper.model.measures.lateness import arrival_topic, lateness_key
from trailkeeper.model.report import ReportState
from trailkeeper.model.segment import Purpose, SegmentState
from trailkeeper.steps.slots import concurrency_key
from trailkeeper.store import schema
from trailkeeper.store.database import MIGRATIONS, open_database
from trailkeeper.store.engines import writing
from trailkeeper.store.ledger import open_ledger


def refused(url: str, kind: type[TrailkeeperError], *, create: bool = True) -> TrailkeeperError:
    """The error that opening `url` ends in; it always comes with a remedy."""
    with pytest.raises(kind) as caught:
        open_database(url, create=create)
    assert caught.value.remedy
    return caught.value


class TestSchema:
    def test_migrations_make_the_tables_of_the_code(self, database_url: str) -> None:
        """What the migrations leave is what `schema` describes, on both databases."""
        engine = open_database(database_url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, schema.metadata) == []
        engine.dispose()

    def test_partial_indexes_too(self, tmp_path: Path) -> None:
        """Index conditions, which the comparison above does not read, are the same text."""
        migrated = open_database(f"sqlite:///{tmp_path}/migrated.db")
        described = create_engine(f"sqlite:///{tmp_path}/described.db")
        schema.metadata.create_all(described)
        assert _indexes(migrated) == _indexes(described)
        assert len(_indexes(migrated)) == 16

    def test_the_newest_revision_is_the_codes(self) -> None:
        """`schema.REVISION` names the head of the migrations, and there is one head."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]

    def test_states_in_indexes_are_the_models(self) -> None:
        """The words in index conditions are words of the model."""
        known = {str(w) for kind in (SegmentState, Purpose, ReportState, BlobState) for w in kind}
        for table in schema.metadata.tables.values():
            for index in table.indexes:
                condition = str(index.dialect_options["sqlite"]["where"])
                assert set(re.findall(r"'(\w+)'", condition)) <= known

    def test_undone_and_made_again(self, database_url: str) -> None:
        """The first migration can be taken back to an empty database."""
        engine = open_database(database_url)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
            command.upgrade(config, "head")
        assert plan(open_ledger(database_url, create=False), new(0)) == 1
        engine.dispose()

    def test_what_was_merged_before_sightings_were_kept_is_not_matched(
        self, database_url: str
    ) -> None:
        """A tenant from before the third migration is matched from the day after it on."""
        ledger = open_ledger(database_url)
        plan(ledger, new(0))
        engine = open_database(database_url)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        before = datetime.now(UTC).date()
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            for _ in range(2):  # it can be taken back and made again
                command.downgrade(config, "0002")
                command.upgrade(config, "head")
        noted = ledger.all_noted("sightings_forgotten/")
        assert list(noted) == ["sightings_forgotten/contoso"]
        day, at = noted["sightings_forgotten/contoso"]
        assert before < date.fromisoformat(day) <= at.date() + timedelta(days=1)
        engine.dispose()

    def test_what_was_learned_is_kept_by_stream(self, database_url: str) -> None:
        """What 0003 had learned of a tenant's search is found under its stream afterwards, and a
        note of another topic is left alone."""
        ledger = open_ledger(database_url)
        engine = open_database(database_url)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        now = datetime(2026, 10, 1, tzinfo=UTC)
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0003")
        for key in ("density/contoso", "lateness/contoso", "search_habits/contoso"):
            ledger.note(key, key, now)
        ledger.note("pace/contoso/exchange", "limit", now)
        ledger.measure("contoso", "arrival", now.date(), "spread", now)
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        assert ledger.noted(density_key(CONTOSO)) == ("density/contoso", now)
        assert ledger.noted(lateness_key(CONTOSO)) == ("lateness/contoso", now)
        assert ledger.noted("search_habits/contoso") == ("search_habits/contoso", now)
        assert ledger.noted("density/contoso") is None
        assert ledger.noted(concurrency_key(CONTOSO)) == ("limit", now)
        kept = ledger.measures("contoso", arrival_topic(CONTOSO), now.date(), now.date())
        assert kept == {now.date(): "spread"}
        engine.dispose()


def _indexes(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        )
        return {row.name: " ".join(row.sql.split()) for row in rows}


class TestOpening:
    def test_opening_again_keeps_everything(self, database_url: str) -> None:
        """A database that is up to date is opened as it is."""
        ledger = open_ledger(database_url)
        plan(ledger, new(0))
        ledger.close()
        assert open_ledger(database_url).streams("contoso") == [CONTOSO]

    def test_alembic_stays_out_of_most_processes(self, database_url: str) -> None:
        """A process that finds the database up to date does not load the migration library."""
        code = (
            "import sys; from trailkeeper.store.ledger import open_ledger;"
            f"open_ledger({database_url!r}); print('alembic' in sys.modules)"
        )
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert done.stdout.strip() == "False"

    def test_sqlite_is_safe_against_a_power_cut(self, tmp_path: Path) -> None:
        """Write-ahead log, every commit on disk, foreign keys checked."""
        engine = open_database(f"sqlite:///{tmp_path}/ledger.db")
        with engine.connect() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert pragmas == ["wal", 2, 1, 30_000]

    def test_a_forked_child_uses_its_own_connections(self, database_url: str) -> None:
        """A child that inherits an engine leaves the parent's connections alone."""
        ledger = open_ledger(database_url)
        ledger.note("parent", "before", T0)
        child = os.fork()
        if child == 0:
            ledger.note("child", "wrote", T0)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert ledger.noted("child") == ("wrote", T0)
        ledger.note("parent", "after", T0)
        assert ledger.noted("parent") == ("after", T0)

    def test_a_path_with_a_percent_sign(self, tmp_path: Path) -> None:
        """Nothing in a path is read as anything but a path."""
        assert open_ledger(f"sqlite:///{tmp_path}/100%25 %(here)s/l.db").streams("x") == []


class TestRefusing:
    def test_a_newer_database(self, database_url: str) -> None:
        """A database that a newer version wrote is left alone, and the remedy says upgrade."""
        engine = open_database(database_url)
        with writing(engine) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        engine.dispose()
        error = refused(database_url, ConfigurationError)
        assert "newer Trailkeeper" in str(error)
        assert "Upgrade" in error.remedy

    @pytest.mark.parametrize(
        "url", ["", "nonsense", "mysql://a:hunter2@b/c", "sqlite://", "sqlite:///:memory:"]
    )
    def test_a_url_that_holds_no_ledger(self, url: str) -> None:
        """Wrong URLs are a matter of configuration, and show no password."""
        assert "hunter2" not in str(refused(url, ConfigurationError))

    def test_absent_without_create(self, tmp_path: Path) -> None:
        """Without `create` nothing is made, not even an empty file."""
        path = tmp_path / "ledger.db"
        refused(f"sqlite:///{path}", Unavailable, create=False)
        assert not path.exists()

    def test_empty_without_create(self, postgres: Postgres) -> None:
        """Without `create` an empty PostgreSQL database is refused."""
        refused(postgres.url(postgres.new_database()), Unavailable, create=False)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        """A file where the folder should be: said with the folder's name."""
        (tmp_path / "file").touch()
        assert "file" in str(refused(f"sqlite:///{tmp_path}/file/l.db", Unavailable))

    def test_a_folder_where_the_file_should_be(self, tmp_path: Path) -> None:
        """What SQLite cannot open is said with its error name."""
        assert refused(f"sqlite:///{tmp_path}", Unavailable).code == "SQLITE_CANTOPEN"

    def test_not_a_database(self, tmp_path: Path) -> None:
        """A file of something else is left alone."""
        path = tmp_path / "ledger.db"
        path.write_text("shopping list\n" * 100)
        assert refused(f"sqlite:///{path}", Unavailable).code == "SQLITE_NOTADB"
        assert path.read_text().startswith("shopping list")

    def test_damaged(self, tmp_path: Path) -> None:
        """A page overwritten with noise ends in a sentence, not in a traceback of the driver."""
        path = tmp_path / "ledger.db"
        ledger = open_ledger(f"sqlite:///{path}")
        plan(ledger, *(new(hour) for hour in range(500)))
        ledger.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        with pytest.raises(Unavailable) as caught:
            open_ledger(f"sqlite:///{path}").due(T0, 9, 9)
        assert caught.value.remedy

    def test_locked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another process that never lets go of the file: said so, with the remedy."""
        monkeypatch.setattr("trailkeeper.store.engines.BUSY_SECONDS", 0.1)
        path = tmp_path / "ledger.db"
        ledger = open_ledger(f"sqlite:///{path}")
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked by another process"):
            ledger.note("a", "b", T0)
        assert ledger.noted("a") is None
        holder.close()
        ledger.note("a", "b", T0)

    def test_read_only(self, tmp_path: Path) -> None:
        """A file system that takes no writes is told from a missing file."""
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        with ledger._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(Unavailable, match="cannot be written"):
            ledger.note("a", "b", T0)

    def test_the_server_is_down(self) -> None:
        """PostgreSQL going away and coming up elsewhere: one sentence, no password."""
        binaries = find_binaries()
        if binaries is None:  # as tests.servers.databases.postgres
            pytest.skip("no PostgreSQL server is installed on this machine")
        with postgres_server(binaries) as server:
            url = server.url(server.new_database()).replace("@", ":hunter2@")
            ledger = open_ledger(url)
            server.stop()
            with pytest.raises(Unavailable) as caught:
                ledger.note("a", "b", T0)
        assert caught.value.remedy
        assert "hunter2" not in f"{caught.value} {refused(url, Unavailable)}"

    def test_no_such_database_or_user(self, postgres: Postgres) -> None:
        """What the server refuses is told apart: an unknown database, an unknown user."""
        missing = refused(postgres.url("nowhere"), Unavailable)
        assert "nowhere" in str(missing)
        stranger = postgres.url().replace("trailkeeper@", "stranger@")
        assert "stranger" in str(refused(stranger, Unavailable))
