"""What goes wrong below the lake is told in one sentence, with what to do next."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError

from tests.store.lake_words import TENANT, World, record
from trailkeeper.errors import Bug, LeaseLost, TrailkeeperError, Transient, Unavailable
from trailkeeper.store.lake import DeltaLake
from trailkeeper.store.lake_faults import lake_errors
from trailkeeper.store.lake_table import Tables


class PanicException(BaseException):
    """As pyo3 makes one in each of its libraries."""


def raised(error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught, lake_errors("merging contoso"):  # noqa: PT011 - any
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CommitFailedError("Failed to commit transaction: 0"), Transient),
        (DeltaError("Generic error"), Unavailable),
        (SchemaMismatchError("column x"), Unavailable),
        (OSError(5, "Input/output error"), Unavailable),
        (pl.exceptions.ComputeError("cannot read"), Unavailable),
        (PanicException("index out of bounds"), Bug),
    ],
)
def test_every_kind_becomes_ours(error: BaseException, kind: type[TrailkeeperError]) -> None:
    """Each library error has one class of ours, a remedy, and no chain to the original."""
    told = raised(error)
    assert type(told) is kind
    assert isinstance(told, TrailkeeperError)
    assert told.remedy
    assert told.__suppress_context__


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), LeaseLost("x"), KeyError(1)])
def test_what_is_not_the_lakes_passes(error: BaseException) -> None:
    """Interrupts, exits, our own errors and programming errors go through untouched."""
    assert raised(error) is error


def test_a_signature_in_an_address_is_not_repeated() -> None:
    """A shared-access signature in a storage error never reaches the operator's screen."""
    told = raised(DeltaError("GET https://x.example/c?sv=1&sig=canary failed: forbidden"))
    assert "canary" not in str(told)
    assert "read and write access" in str(told)


@pytest.mark.parametrize(
    "trace",
    [
        "\n\nStack backtrace:\n   0: std::backtrace\n   1: __libc_start_main",
        "\nBacktrace: disabled",
        "\n   0: 0x7f8a - std::backtrace_rs::trace\n             at /rustc/lib.rs:5",
    ],
)
def test_a_librarys_own_frames_are_not_told(trace: str) -> None:
    """An operator cannot read a native backtrace; the sentence before it stays."""
    told = str(raised(DeltaError(f"cannot open x: Permission denied (os error 13){trace}")))
    assert "Permission denied (os error 13). Give" in told
    assert "std::" not in told
    assert "acktrace" not in told


def test_a_real_panic_is_a_bug() -> None:
    """The panic of a real library is recognised by its name."""
    panic = pl.exceptions.PanicException("boom")
    assert isinstance(raised(panic), Bug)


def test_a_lake_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """`check` and `merge` on a path where a file stands: `Unavailable` with the remedy."""
    (tmp_path / "lake").write_text("in the way")
    world = World(tmp_path)
    with pytest.raises(Unavailable, match="move it away"):
        world.lake.check()
    with pytest.raises(Unavailable):
        world.store(record("a"))


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    """A missing data file is `Unavailable`, and names the tenant."""
    world = World(tmp_path)
    world.store(record("a"))
    for path in (tmp_path / "lake").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(Unavailable, match=TENANT):
        world.lines()


def test_an_object_store_out_of_reach_is_told() -> None:
    """`check` on a store that refuses the connection is `Unavailable`, soon."""
    options = {
        "endpoint": "http://127.0.0.1:9",
        "allow_http": "true",
        "access_key_id": "x",
        "secret_access_key": "canary",
        "region": "eu",
        "max_retries": "0",
    }
    with pytest.raises(Unavailable) as caught:
        DeltaLake("s3://bucket/lake", options).check()
    assert "canary" not in str(caught.value)


def test_a_first_merge_between_two_looks_is_no_lost_lake(tmp_path: Path) -> None:
    """The lake is looked at, the first merge ends, the ledger is asked: nothing is gone."""

    def merges_first(tenant: str) -> bool:
        Tables(str(tmp_path)).find_or_create(tenant)
        return True

    assert Tables(str(tmp_path), expected=merges_first).find("contoso") is not None
    with pytest.raises(Unavailable, match="not in the lake"):
        Tables(str(tmp_path), expected=lambda tenant: True).find("fabrikam")
