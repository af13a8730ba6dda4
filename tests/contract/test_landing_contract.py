"""What every landing promises: an attempt's file is there as a whole, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.store.lake_words import T0, TENANT, columns, record
from trailkeeper.errors import Bug
from trailkeeper.model.record import RecordColumns
from trailkeeper.model.segment import Lease
from trailkeeper.ports.landing import Landing
from trailkeeper.store.landing import FileLanding

LEASE = Lease(7, "worker", 3, T0)
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    """The only one there is: tests of steps use it too, so no imitation has to agree with it."""
    return FileLanding(tmp_path / "landing")


def land(landing: Landing, *pages: RecordColumns) -> str | None:
    with landing.open(LEASE, TENANT) as writer:
        for page in pages:
            writer.add(page)
        return writer.seal()


def test_the_writer_counts_rows_and_bytes(landing: Landing) -> None:
    """`received` counts rows, `size` the UTF-8 bytes of the texts."""
    texts = [record("ünï-😀"), record("big", Text="x" * 2_000_000), record(None, None)]
    page = columns(*texts)
    with landing.open(LEASE, TENANT) as writer:
        writer.add(page)
        writer.add(page)
        assert writer.received == 2 * len(texts)
        assert writer.size == 2 * sum(len(text.encode()) for text in texts)


def test_a_sealed_file_is_there_and_can_be_removed_twice(landing: Landing) -> None:
    """Its name leads to it, it is listed for its own tenant only, and removing what is gone is no
    error."""
    file = land(landing, columns(record("a")))
    assert file
    assert landing.path(TENANT, file).is_file()
    assert (landing.files(TENANT), landing.files("fabrikam")) == ([file], [])
    landing.remove(TENANT, file)
    landing.remove(TENANT, file)
    assert landing.files(TENANT) == []


def test_nothing_added_leaves_no_file(landing: Landing) -> None:
    """An attempt without records seals to None and leaves nothing, empty pages included."""
    assert land(landing, columns()) is None
    assert landing.files(TENANT) == []


def test_leaving_without_seal_removes_the_partial_file(landing: Landing) -> None:
    """An error on the way leaves neither a sealed nor a partial file."""

    def fail_on_the_way() -> None:
        with landing.open(LEASE, TENANT) as writer:
            writer.add(columns(record("a")))
            raise KeyError

    with pytest.raises(KeyError):
        fail_on_the_way()
    assert list(landing.orphans(LATER)) == []
    assert landing.files(TENANT) == []


def test_two_attempts_never_share_a_name(landing: Landing) -> None:
    """Even the same lease opened twice writes two files."""
    assert land(landing, columns(record("a"))) != land(landing, columns(record("b")))


def test_orphans_are_told_with_their_tenant_once_they_are_old_enough(landing: Landing) -> None:
    """A file of this minute may still be told to the ledger; one of long ago was not."""
    file = land(landing, columns(record("a")))
    assert list(landing.orphans(datetime.now(UTC) - timedelta(hours=1))) == []
    assert list(landing.orphans(LATER)) == [(TENANT, file)]


def test_orphans_of_a_landing_that_was_never_used(landing: Landing) -> None:
    """A missing folder holds no orphans."""
    assert list(landing.orphans(LATER)) == []


@pytest.mark.parametrize("name", ["..", "a/b", "", "/etc/passwd"])
def test_a_name_that_climbs_is_refused(landing: Landing, name: str) -> None:
    """Neither a file's name nor a tenant's leads out of the tenant's folder."""
    with pytest.raises(Bug):
        landing.path(TENANT, name)
    with pytest.raises(Bug):
        landing.path(name, "file")


def test_a_file_set_aside_is_kept_and_is_no_orphan(landing: Landing) -> None:
    """Whoever cleans up leaves it to a person; whoever removes the tenant finds it."""
    file = land(landing, columns(record("a")))
    assert file
    landing.set_aside(TENANT, file)
    assert list(landing.orphans(LATER)) == []
    assert landing.files(TENANT) == [f"{file}.damaged"]
    assert landing.files("fabrikam") == []
