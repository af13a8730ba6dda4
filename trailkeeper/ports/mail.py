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
    def send(self, delivery: Delivery) -> str:
        """Hand over one message; the server's reply. Raises `Transient`, `DeliveryRefused`."""
        ...

    def check(self) -> str:
        """One line about the server. Raises `Unavailable` with the remedy."""
        ...
