"""What goes where: results to standard output, progress and remarks to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from trailkeeper.model.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.text import Text

_PLAIN_EVERY_SECONDS = 2.0


def line(text: str = "") -> None:
    """One line of the result. What a terminal would obey is shown as an escape, here and below."""
    sys.stdout.write(f"{visible(text)}\n")


def json_line(value: object) -> None:
    line(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    """One remark for the person at the terminal, or for the log of whoever runs us."""
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of columns wide enough for their longest word, so that nothing is ever cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def counted(number: int, word: str) -> str:
    """`1 segment`, `2 segments`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def console() -> Console:
    """Standard output with colours where it is a terminal; never wraps a line by itself."""
    from rich.console import Console

    class Harmless(Console):
        """A console that shows what a terminal would obey."""

        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*map(_harmless, objects), **options)

    return Harmless(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False, markup=False)


def _harmless(shown: object) -> object:
    """A text, or rich's text with its colours, as `visible` shows it."""
    from rich.text import Text

    if isinstance(shown, str):
        return visible(shown)
    if isinstance(shown, Text) and visible(shown.plain) != shown.plain:
        return Text.assemble(*((visible(part.plain), part.style) for part in _styled(shown)))
    return shown


def _styled(text: Text) -> Sequence[Text]:
    """The pieces of `text` between which its style changes."""
    edges = sorted({0, len(text), *(at for span in text.spans for at in (span.start, span.end))})
    pieces = text.divide(edges)
    for piece in pieces:
        piece.style = piece.spans[0].style if piece.spans else piece.style
    return list(pieces)


class Shown(Protocol):
    """Progress as somebody watches it."""

    def __call__(self, done: int, total: int, text: str) -> None: ...


@contextmanager
def progress(title: str) -> Iterator[Shown]:
    """A live bar on a terminal, a plain line now and then elsewhere; both on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        yield _Bar(bar, bar.add_task(title, total=None, text=""))


class _Bar:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def __call__(self, done: int, total: int, text: str) -> None:
        self._bar.update(self._task, completed=done, total=total or None, text=visible(text))


class _Lines:
    """Says what changed, not more often than every few seconds, and always the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._said = ""
        self._said_at = float("-inf")

    def __call__(self, done: int, total: int, text: str) -> None:
        is_due = time.monotonic() - self._said_at >= _PLAIN_EVERY_SECONDS
        if text != self._said and (is_due or (total and done == total)):
            self._said, self._said_at = text, time.monotonic()
            note(f"{self._title}: {text}")
