"""`trailkeeper demo`: the whole service at work on a Microsoft 365 in a box."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trailkeeper.cli.exits import Exit


def demo(
    folder: Annotated[
        Path,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="An empty folder, or one to make. Default: the current one.",
            show_default=False,
        ),
    ] = Path("."),
) -> int:
    """Show the whole service at work, without Microsoft and without a network.

    In an empty folder: starts a sandbox that plays Microsoft 365 for three tenants, an embedded
    Redis, beat and the workers; makes certificates; collects last month; mails three reports into
    a mailbox folder; says where everything lies, and stops. Takes a minute or two.

    Examples:

      trailkeeper demo --folder ./demo

      mkdir demo && cd demo && trailkeeper demo
    """
    from trailkeeper.cli.demo_play import play

    return Exit.DONE if play(folder) else Exit.INTERRUPTED
