"""Landing files: complete or absent, and readable for ever."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import polars as pl
import pytest

from tests.store.lake_words import T0, TENANT, columns, record, run
from trailkeeper.errors import DamagedLanding, Unavailable
from trailkeeper.model.record import COLUMNS, RecordColumns
from trailkeeper.model.segment import Lease
from trailkeeper.store.landing import FileLanding, batches

LEASE = Lease(7, "worker", 3, T0)

STRANGE = [
    record("ünï-😀", Operation="", UserId=None, RecordType=2**40),
    '{"Id":"a","CreationTime":"2026-10-01T00:00:00","x":"\\ud800 \\u0000 \\/"}',
    '{"Id":"A","CreationTime":"2026-10-01T00:00:00","n":1e400,"n":-0.0,"n":' + "9" * 5000 + "}",
    record("big", Text="x" * 2_000_000),
    record("early", "1969-12-31T23:59:59"),
    record(None, None),
]


def land(landing: FileLanding, *pages: RecordColumns) -> str | None:
    with landing.open(LEASE, TENANT) as writer:
        for page in pages:
            writer.add(page)
        return writer.seal()


def rows(landing: FileLanding, file: str | None) -> pl.DataFrame:
    assert file
    return pl.concat([pl.DataFrame(batch) for batch in batches(landing.path(TENANT, file))])


def test_every_column_comes_back_as_it_was_added(tmp_path: Path) -> None:
    """Strange texts, nulls, empty strings and big records survive to the byte."""
    landing = FileLanding(tmp_path)
    page = columns(*STRANGE)
    frame = rows(landing, land(landing, page, page))
    assert tuple(frame.columns) == COLUMNS
    for name in COLUMNS:
        assert frame[name].to_list() == 2 * getattr(page, name)


def test_small_pieces_are_gathered_in_their_order(tmp_path: Path) -> None:
    """Fifty blobs of thirty records and a page behind them are two batches; nothing is turned."""
    landing = FileLanding(tmp_path)
    names = [[f"{blob}-{number}" for number in range(30)] for blob in range(50)]
    big = [f"big-{number}" for number in range(1500)]
    pages = [columns(*map(record, ids)) for ids in [*names, big]]
    file = land(landing, *pages)
    assert file
    assert rows(landing, file)["id"].to_list() == [*chain(*names), *big]
    assert len(list(batches(landing.path(TENANT, file)))) == 2
    assert [len(page) for page in pages] == [30] * 50 + [1500]  # the caller's stay as they were


def test_a_header_that_arrow_cannot_say_gives_way(tmp_path: Path) -> None:
    """Half a surrogate pair is escaped and an overlong integer left out; the text stays."""
    landing = FileLanding(tmp_path)
    page = columns(record("a\ud800", RecordType=10**30), record("b", RecordType=1))
    frame = rows(landing, land(landing, page))
    assert frame["id"].to_list() == ["a\\ud800", "b"]
    assert frame["record_type"].to_list() == [None, 1]
    assert frame["raw"].to_list() == page.raw


def test_nothing_added_leaves_no_file(tmp_path: Path) -> None:
    """An attempt without records seals to None and creates nothing, empty pages included."""
    assert land(FileLanding(tmp_path), columns()) is None
    assert list(tmp_path.rglob("*")) == []


def test_orphans_are_sealed_and_partial_files_of_a_certain_age(tmp_path: Path) -> None:
    """Sealed and partial files are listed once they are old enough, and can be removed by name."""
    landing = FileLanding(tmp_path)
    sealed = land(landing, columns(record("a")))
    assert sealed
    partial = landing.path(TENANT, sealed).with_name(f".{sealed}.partial")
    partial.write_bytes(b"cut")
    for path, age in ((landing.path(TENANT, sealed), 1_000), (partial, 2_000)):
        os.utime(path, (age, age))
    assert list(landing.orphans(datetime.fromtimestamp(1_000, UTC))) == []
    assert list(landing.orphans(datetime.fromtimestamp(1_001, UTC))) == [(TENANT, sealed)]
    both = set(landing.orphans(datetime.fromtimestamp(2_001, UTC)))
    assert both == {(TENANT, sealed), (TENANT, partial.name)}
    for tenant, file in [*both, *both]:
        landing.remove(tenant, file)
    assert list(landing.orphans(datetime.now(UTC) + timedelta(days=1))) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A flipped bit and a cut in mid-page are errors with a remedy, not fewer rows."""
    landing = FileLanding(tmp_path)
    file = land(landing, columns(*(record(f"{i}", n=hash(f"{i}")) for i in range(5000))))
    assert file
    path = landing.path(TENANT, file)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedLanding, match=r"damaged\. Check the disk") as caught:
            list(batches(path))
        assert caught.value.file == file


def test_a_disk_that_cannot_be_read_is_no_damage() -> None:
    """The kernel refuses the first page of a process's memory: what is refused may be whole."""
    with pytest.raises(Unavailable, match="cannot be read: ") as caught:
        list(batches(Path("/proc/self/mem")))
    assert not isinstance(caught.value, DamagedLanding)


def test_a_deleted_file_is_told_from_a_disk_that_is_away(tmp_path: Path) -> None:
    """With its folder there a file was deleted, which is damage; without, nothing is given up."""
    with pytest.raises(DamagedLanding, match="deleted") as caught:
        list(batches(tmp_path / TENANT / "gone.x"))
    assert caught.value.file == "gone.x"
    with pytest.raises(Unavailable, match=r"gone\.x cannot be read: no such file") as away:
        list(batches(tmp_path / "landing" / TENANT / "gone.x"))
    assert not isinstance(away.value, DamagedLanding)


def test_a_file_in_the_way_is_told_with_a_remedy(tmp_path: Path) -> None:
    """A folder that cannot be created is `Unavailable`, and says what to do."""
    (tmp_path / "landing").write_text("in the way")
    with pytest.raises(Unavailable, match=r"cannot be written: .* move it away"):
        land(FileLanding(tmp_path / "landing"), columns(record("a")))


def test_a_disk_that_refuses_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    """A write refused in mid-page (a file size limit stands in for a full disk) is cleaned up."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from tests.store.lake_words import T0, TENANT, columns, record
        from trailkeeper.errors import Unavailable
        from trailkeeper.model.segment import Lease
        from trailkeeper.store.landing import FileLanding
        import random
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        page = columns(*(record(random.randbytes(2_000).hex()) for _ in range(500)))
        try:
            with FileLanding(Path(sys.argv[1])).open(Lease(1, "o", 1, T0), TENANT) as writer:
                writer.add(page)
                writer.seal()
        except Unavailable as error:
            print(error.code, error)
    """
    told = run(script, str(tmp_path))
    assert told.stdout.startswith("EFBIG "), told.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_disk_refused_once_is_never_sealed(tmp_path: Path) -> None:
    """There is room again a moment later, yet the file lacks what was refused: it is given up, with
    everything that was to be called landed."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from tests.store.lake_words import T0, TENANT, columns, record
        from trailkeeper.errors import Unavailable
        from trailkeeper.model.segment import Lease
        from trailkeeper.store.landing import FileLanding
        import random
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        page = columns(*(record(random.randbytes(2_000).hex()) for _ in range(50)))
        with FileLanding(Path(sys.argv[1])).open(Lease(1, "o", 1, T0), TENANT) as writer:
            for number in range(100):
                try:
                    writer.add(page)
                except Unavailable as error:
                    print(error.code)
                    break
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            for call in (lambda: writer.add(page), writer.seal):
                for _ in range(40):
                    try:
                        call()
                    except Unavailable as error:
                        print(error)
                        break
    """
    told = run(script, str(tmp_path))
    code, *refused = told.stdout.splitlines()
    assert code == "EFBIG", told.stderr
    assert len(refused) == 2
    assert all("could not be written to its end" in line for line in refused)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_killed_attempt_leaves_only_a_partial_file(tmp_path: Path) -> None:
    """After kill -9 in mid-attempt no file carries a final name."""
    script = """
        import os, signal, sys
        from pathlib import Path
        from tests.store.lake_words import T0, TENANT, columns, record
        from trailkeeper.model.segment import Lease
        from trailkeeper.store.landing import FileLanding
        with FileLanding(Path(sys.argv[1])).open(Lease(1, "o", 1, T0), TENANT) as writer:
            writer.add(columns(*(record(str(number)) for number in range(1000))))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script, str(tmp_path)).returncode == -9
    (left,) = FileLanding(tmp_path).orphans(datetime.now(UTC) + timedelta(days=1))
    assert left[1].startswith(".")
    assert left[1].endswith(".partial")


def test_pulling_workers_load_no_table_library() -> None:
    """Importing the landing loads neither polars nor deltalake nor pyarrow nor SQLAlchemy."""
    script = """
        import sys
        import trailkeeper.store.landing
        print(sorted({"polars", "deltalake", "pyarrow", "sqlalchemy"} & set(sys.modules)))
    """
    told = run(script)
    assert told.stdout.strip() == "[]", told.stderr
