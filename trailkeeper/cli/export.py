"""`trailkeeper export`: the stored records, each exactly once, in order."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from trailkeeper.cli import output
from trailkeeper.cli.options import (
    FROM_HELP,
    ConfigOption,
    TenantOption,
    VerboseOption,
    opened,
)
from trailkeeper.model.text import visible

if TYPE_CHECKING:
    from trailkeeper.model.window import Window
    from trailkeeper.ports.lake import Lake


_WORTH_SAYING = 10_000_000
"""bytes; less is written faster than it is read"""


class Form(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


_StartOption = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help=f"{FROM_HELP} Default: all.", show_default=False),
]
_EndOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="First instant no longer wanted. Default: all.",
        show_default=False,
    ),
]
_PathOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="File to write, whole or not at all. Default: standard output.",
        show_default=False,
    ),
]


def export(
    tenant: TenantOption,
    form: Annotated[Form, typer.Option("--format", help="What to write.")] = Form.JSONL,
    start: _StartOption = None,
    end: _EndOption = None,
    path: _PathOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Write the stored records of one tenant: by time, then Id, each exactly once.

    jsonl is one record a line, the text as it was received; csv and parquet carry the columns and
    the text. The same state gives the same bytes. A reader that goes early (`| head`) ends it
    quietly, with 141 as every program: not all was written.

    Examples:

      trailkeeper export --tenant contoso --format jsonl | head

      trailkeeper export --tenant contoso --from 2026-10-01 --to 2026-11-01 -o october.jsonl

      trailkeeper export --tenant contoso --format parquet -o contoso.parquet
    """
    from trailkeeper.cli.ranges import stored_range
    from trailkeeper.errors import UsageError
    from trailkeeper.model.window import Window

    asked = stored_range(start, end)
    window = Window(*asked) if asked else None
    if form is Form.PARQUET and path is None:
        raise UsageError("parquet cannot be streamed", "Name the file with -o PATH.")
    with opened(config, verbose) as world:
        name = world.tenant(tenant).name
        records = _write(world.lake, name, window, form, path)
    where = f" to {path}" if path else ""
    output.note(f"exported {output.counted(records, 'record')} of {tenant}{where}.")


def _write(lake: Lake, tenant: str, window: Window | None, form: Form, path: Path | None) -> int:
    if path is None:
        return _streamed(lake, tenant, window, form, sys.stdout.buffer)
    with _replacing(path) as partial:
        if form is Form.PARQUET:
            return lake.export_parquet(tenant, window, partial)
        with partial.open("wb") as file:
            records = _streamed(lake, tenant, window, form, file)
            file.flush()
            os.fsync(file.fileno())
        return records


def _streamed(lake: Lake, tenant: str, window: Window | None, form: Form, out: BinaryIO) -> int:
    """Raises `BrokenPipeError` when the reader has gone, whatever the lake made of it."""
    write = lake.export_csv if form is Form.CSV else lake.export_jsonl
    with _watched(tenant, out) as watched:
        try:
            return write(tenant, window, cast(BinaryIO, watched))
        except Exception:
            if watched.broken:
                raise watched.broken from None
            raise


@contextmanager
def _watched(tenant: str, out: BinaryIO) -> Iterator[_Watched]:
    """Progress only where it does not run into the records on the same terminal."""
    if out.isatty():
        yield _Watched(_Terminal(out), lambda *_: None)
        return
    with output.progress(f"export {tenant}") as shown:
        yield _Watched(out, shown)


class _Terminal:
    """Shows what a terminal would obey as JSON's escapes: the records stay the same values."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, piece: bytes) -> int:
        self._out.write(visible(piece.decode("utf-8", "replace")).encode())
        return len(piece)

    def flush(self) -> None:
        self._out.flush()


class _Watched:
    """Passes bytes on, counts them, and remembers that the reader has gone."""

    def __init__(self, out: BinaryIO | _Terminal, shown: output.Shown | Any) -> None:
        self._out = out
        self._shown = shown
        self._bytes = 0
        self.broken: BrokenPipeError | None = None

    def write(self, piece: bytes) -> int:
        try:
            written = self._out.write(piece)
        except BrokenPipeError as error:
            self.broken = error
            raise
        self._bytes += len(piece)
        if self._bytes >= _WORTH_SAYING:
            self._shown(0, 0, f"{self._bytes / 1e6:,.0f} MB")
        return written

    def flush(self) -> None:
        self._out.flush()


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A partial file beside `path` that takes its place when it is whole.

    Raises `UsageError` when nothing can be written there.
    """
    from trailkeeper.errors import UsageError

    path = path.resolve()  # a link's target is replaced, not the link
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(
            f"{path} is a device or a pipe", "Leave out -o and send standard output there."
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(
            f"{path} cannot be written: it {'is a folder' if path.is_dir() else 'has no folder'}",
            "Name a file in a folder that exists.",
        )
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if partial.exists() or error.filename is None:
            raise
        why = (error.strerror or "error").lower()
        raise UsageError(f"{path} cannot be written: {why}", "Choose another place.") from None
    finally:
        partial.unlink(missing_ok=True)
