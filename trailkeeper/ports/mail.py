"""Reports on their way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from trailkeeper.model.report import Delivery, MonthReport, Rendered


class Renderer(Protocol):
    def render(
        self, report: MonthReport, folder: Path, write_csv: Callable[[BinaryIO], int]
    ) -> Rendered:
        """Write HTML, text, chart and zipped CSV into `folder`; the same report, the same bytes."""
        ...


class Mailer(Protocol):
    def send(self, delivery: Delivery, still_ours: Callable[[], None]) -> str:
        """Hand over one message; the server's reply. Raises `Transient`, `DeliveryRefused`.

        `still_ours` is called right before the message itself is sent, and raises what ends the
        try: a process that stood still meanwhile may have been taken for dead.
        """
        ...

    def check(self) -> str:
        """One line about the server. Raises `Unavailable` with the remedy."""
        ...
