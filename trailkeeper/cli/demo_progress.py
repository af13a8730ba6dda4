"""What the demo shows while it works: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_PLAIN_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """One tenant, as the ledger and the mailbox say."""

    tenant: str
    windows: int
    """planned so far"""
    done: int
    records: int
    """in the lake"""
    proven: float
    """0 to 1: share of the asked time that is proven collected"""
    mailed: bool

    @property
    def percent(self) -> str:
        """Never rounded up: 100 % is said only of what is complete."""
        return f"{int(self.proven * 100)} %"

    @property
    def words(self) -> str:
        if self.mailed:
            return "report mailed"
        if not self.windows:
            return "waiting for the first tick"
        return "collecting" if self.done < self.windows else "writing the report"


class Progress:
    """Shows the newest statuses; `live` is None where nobody watches."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._shown: tuple[Status, ...] = ()
        self._shown_at = 0.0

    def show(self, statuses: Sequence[Status]) -> None:
        if self._live is not None:
            self._live.update(_table(statuses))
            return
        mailed = [s.mailed for s in statuses] != [s.mailed for s in self._shown]
        waited = time.monotonic() - self._shown_at >= _PLAIN_EVERY_SECONDS
        if not (mailed or waited):
            return
        for status in statuses:
            if status not in self._shown:
                self._console.print(_line(status))
        self._shown, self._shown_at = tuple(statuses), time.monotonic()


@contextmanager
def progress(console: Console) -> Iterator[Progress]:
    if not console.is_terminal:
        yield Progress(console, None)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield Progress(console, live)


def _table(statuses: Sequence[Status]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("tenant", "windows", "", "records", "proven", ""):
        table.add_column(heading, justify="right" if heading in ("records", "proven") else "left")
    for status in statuses:
        table.add_row(
            status.tenant,
            f"{status.done}/{status.windows}" if status.windows else "–",
            ProgressBar(total=max(status.windows, 1), completed=status.done, width=28),
            f"{status.records:,}",
            status.percent,
            Text(f"✓ {status.words}", "green")
            if status.mailed
            else Text(f"{status.words} …", "dim"),
        )
    return table


def _state(status: Status) -> Text:
    if status.mailed:
        return Text(f"✓ {status.words}", "green")
    return Text(f"{status.words} …", "dim")


def _line(status: Status) -> str:
    if not status.windows:
        return f"  {status.tenant:10} {status.words}"
    return (
        f"  {status.tenant:10} {status.done} of {status.windows} windows, "
        f"{status.records:,} records, {status.percent} proven, {status.words}"
    )
