"""Landing files: what one attempt received, durable before anybody is told.

One attempt is one file: an Arrow IPC stream (a batch a page; small pages are gathered to a thousand
records) in zstd frames with checksums. A file that carries its final name is complete for ever; a
partial one begins with a dot. Pulling workers run this module, so it imports neither polars nor
deltalake.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import nanoarrow as na
import zstandard
from nanoarrow import ipc

from trailkeeper.errors import DamagedLanding, Unavailable
from trailkeeper.model.record import RecordColumns
from trailkeeper.model.segment import Lease
from trailkeeper.process.crash_points import durable
from trailkeeper.store.columns import Batch, batch, raw_size
from trailkeeper.store.disk import disk_errors, make_folder, one_name, sync, unavailable

SUFFIX = ".arrows.zst"
SET_ASIDE = ".damaged"
COMPRESSION_LEVEL = 1
"""a page of 5,000 records costs about 6 ms; level 3 costs 4 ms more and gains nothing"""
_BATCH_RECORDS = 1_000
_BATCH_SIZE = 1 << 20
"""records, and characters of their text, after which what was gathered is written"""


class FileLanding:
    """Landing files of all tenants, one folder a tenant, under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, lease: Lease, tenant: str) -> AbstractContextManager[FileLandingWriter]:
        """A writer for one attempt; on leaving without `seal` the partial file is removed.

        The name holds segment and epoch for whoever looks into the folder, and chance for the case
        that a ledger was restored from a backup and hands out the same numbers again.
        """
        name = f"{lease.segment_id:010d}-{lease.epoch:04d}-{secrets.token_hex(4)}{SUFFIX}"
        return FileLandingWriter(self.path(tenant, name))

    def path(self, tenant: str, file: str) -> Path:
        return self._root / one_name(tenant) / one_name(file)

    def remove(self, tenant: str, file: str) -> None:
        """Delete the file; nothing happens when it is gone already. Raises `Unavailable`."""
        path = self.path(tenant, file)
        with durable("reap.remove"), disk_errors(path):
            path.unlink(missing_ok=True)

    def set_aside(self, tenant: str, file: str) -> None:
        """Rename a damaged file: what it still holds is for a person, and no orphan. One that was
        deleted is nobody's."""
        path = self.path(tenant, file)
        with disk_errors(path), suppress(FileNotFoundError):  # it may be gone altogether
            with durable("landing.set_aside"):
                path.rename(path.with_name(file + SET_ASIDE))
            sync(path.parent)

    def files(self, tenant: str) -> list[str]:
        """Every file of the tenant: sealed, partial or set aside."""
        return sorted(path.name for path in self._root.glob(f"{one_name(tenant)}/*{SUFFIX}*"))

    def orphans(self, older_than: datetime) -> Iterator[tuple[str, str]]:
        """(tenant, file) of every sealed or partial file last written before `older_than`."""
        for path in sorted(self._root.glob(f"*/*{SUFFIX}*")):
            if path.name.endswith(SET_ASIDE):
                continue
            with suppress(FileNotFoundError):  # somebody else removed it meanwhile
                written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                if written_at < older_than:
                    yield path.parent.name, path.name


class FileLandingWriter:
    """One attempt's file. Memory: one batch, whatever the size of the attempt.

    Small pieces are gathered: a batch costs half a millisecond however few records it has, which is
    as much as reading a blob of the feed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file: BinaryIO | None = None
        self._received = 0
        self._size = 0
        self._gathered = RecordColumns()
        self._gathered_size = 0
        self._broken = False
        """a write failed: what is in the file ends somewhere within a batch"""

    @property
    def received(self) -> int:
        """Rows added so far."""
        return self._received

    @property
    def size(self) -> int:
        """Bytes of raw text added so far; of what is not written yet, its characters."""
        return self._size + self._gathered_size

    def add(self, records: RecordColumns) -> None:
        """Append records. Raises `Unavailable` when the disk refuses, and from then on."""
        if not records:
            return
        self._received += len(records)
        if not self._gathered and len(records) >= _BATCH_RECORDS:
            self._write(records)
            return
        self._gathered.extend(records)
        self._gathered_size += records.size
        if len(self._gathered) >= _BATCH_RECORDS or self._gathered_size >= _BATCH_SIZE:
            self._write_gathered()

    def seal(self) -> str | None:
        """Write, fsync, rename, fsync the folder; the file's name, or None without records.

        Raises `Unavailable` when the disk refuses, or did at any time before.
        """
        self._write_gathered()
        if self._broken:
            raise _half_written(self._path)
        if self._file is None:
            return None
        with disk_errors(self._path):
            self._pipe.keeping_errors(self._stream.close)
            self._file.flush()
            with durable("landing.fsync"):
                os.fsync(self._file.fileno())
            self._file.close()
            with durable("landing.rename"):
                self._partial.rename(self._path)
            with durable("landing.folder"):
                sync(self._path.parent)
        return self._path.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        with suppress(OSError):  # a full disk refuses the last flush too; `orphans` lists the rest
            self._file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _write_gathered(self) -> None:
        gathered, self._gathered, self._gathered_size = self._gathered, RecordColumns(), 0
        if gathered:
            self._write(gathered)

    def _write(self, records: RecordColumns) -> None:
        if self._broken:
            raise _half_written(self._path)
        page = batch(records)
        self._broken = True  # until the batch is there
        with disk_errors(self._path):
            if self._file is None:
                self._begin()
            with durable("landing.write"):
                self._pipe.keeping_errors(self._stream.write_array, page)
        self._broken = False
        self._size += raw_size(page)

    def _begin(self) -> None:
        make_folder(self._path.parent)
        self._file = self._partial.open("xb")
        self._pipe = _Pipe(self._file)
        self._stream: Any = ipc.StreamWriter.from_writable(self._pipe)


class _Pipe:
    """What nanoarrow writes into: compresses, and keeps the `OSError` that nanoarrow flattens to a
    sentence.

    A batch's columns come in one piece, which becomes a frame of its own: compressed as a whole it
    costs a sixth less than piecemeal through a window.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
        self._error: OSError | None = None

    def write(self, piece: memoryview) -> int:
        try:
            self._target.write(self._compressor.compress(piece))
        except OSError as error:
            self._error = error
            raise
        return len(piece)

    def keeping_errors(self, write: Callable[..., None], *arguments: object) -> None:
        try:
            write(*arguments)
        except RuntimeError:  # nanoarrow's own exception, whose name is not public
            raise self._error or OSError("nanoarrow cannot write") from None


def batches(path: Path) -> Iterator[Batch]:
    """The batches of a sealed file, one in memory at a time.

    Raises `DamagedLanding` for a file that is damaged or was deleted, and `Unavailable` when the
    disk refuses or is away; the caller compares the number of rows with the ledger's, which shows a
    file cut between two batches.
    """
    refused: list[OSError] = []
    try:
        with path.open("rb") as file:
            source = _Source(file, refused)
            reader = zstandard.ZstdDecompressor().stream_reader(
                source,  # type: ignore[arg-type]  # `read` is all that it calls
                read_across_frames=True,
            )
            yield from na.c_array_stream(ipc.InputStream.from_readable(reader))
    except FileNotFoundError as error:
        if path.parent.parent.is_dir():
            raise deleted(path) from None
        raise unavailable(path, "read", error) from None  # the whole folder: its disk is away
    except OSError as error:
        raise unavailable(path, "read", error) from None
    except (RuntimeError, zstandard.ZstdError):
        if refused:
            raise unavailable(path, "read", refused[0]) from None
        raise damaged(path) from None


@dataclass(frozen=True, slots=True)
class _Source:
    """Keeps the disk's refusals, which nanoarrow flattens: they say nothing of what was written."""

    file: BinaryIO
    refused: list[OSError]

    def read(self, size: int) -> bytes:
        try:
            return self.file.read(size)
        except OSError as error:
            self.refused.append(error)
            raise


def _half_written(path: Path) -> Unavailable:
    return Unavailable(
        f"the landing file {path} could not be written to its end",
        "Free space on the disk, or see its errors; what was being pulled is pulled again.",
    )


def damaged(path: Path) -> DamagedLanding:
    return DamagedLanding(
        f"the landing file {path} is damaged",
        "Check the disk: what it held is pulled again.",
        file=path.name,
    )


def deleted(path: Path) -> DamagedLanding:
    return DamagedLanding(
        f"the landing file {path} was deleted before its records were stored",
        "Keep clean-up jobs away from the data folder: what it held is pulled again.",
        file=path.name,
    )
