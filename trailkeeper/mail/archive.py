"""Files of a report: each written whole or not at all, and the month's CSV as a zip.

The outbox refers to these files, so they are durable (fsync, rename, fsync of the folder) before
the renderer returns: a power cut must not leave a queued mail whose attachment is empty.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from trailkeeper.errors import Unavailable

_Result = TypeVar("_Result")

_READ_AT_ONCE = 1 << 20
_ZIP_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)  # the format knows no earlier time


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip that holds one CSV file."""

    path: Path
    records: int
    size: int
    """bytes of the zip"""
    sha256: str
    """hex digest of the zip"""


def zip_csv(
    folder: Path, name: str, written_at: datetime, write_csv: Callable[[BinaryIO], int]
) -> Archive:
    """Stream what `write_csv` writes into `folder/name.csv.zip`; it returns the number of records.

    The entry's time is `written_at`, so that the same records give the same bytes. Raises
    `Unavailable` when the folder cannot be written.
    """
    path = folder / f"{name}.csv.zip"
    records = place(path, lambda file: _zip(file, f"{name}.csv", written_at, write_csv))
    return Archive(path, records, path.stat().st_size, _sha256(path))


def _zip(
    file: BinaryIO, entry: str, written_at: datetime, write_csv: Callable[[BinaryIO], int]
) -> int:
    stamp = max(written_at.astimezone(UTC), _ZIP_EPOCH).timetuple()[:6]
    header = zipfile.ZipInfo(entry, date_time=stamp)
    header.compress_type = zipfile.ZIP_DEFLATED
    header.create_system = 3  # Unix wherever it runs, so that the permissions below count
    header.external_attr = 0o100600 << 16
    # zip64 from the start: the size of the CSV is not known before it is written
    with zipfile.ZipFile(file, "w") as bundle, bundle.open(header, "w", force_zip64=True) as out:
        out.write(codecs.BOM_UTF8)  # without it Excel reads the text in the machine's code page
        return write_csv(cast(BinaryIO, out))


def place(path: Path, write: Callable[[BinaryIO], _Result]) -> _Result:
    """Let `write` fill `path` through a partial file beside it; nothing is left when it fails.

    Raises `Unavailable` when the disk refuses.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            result = _written(partial, write)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(
            f"the report file {path} cannot be written: {(error.strerror or str(error)).lower()}",
            "Free space under the data folder, or make it writable; the report is made again.",
        ) from error
    return result


def _written(partial: Path, write: Callable[[BinaryIO], _Result]) -> _Result:
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        result = write(file)
        file.flush()
        os.fsync(file.fileno())
    return result


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()
