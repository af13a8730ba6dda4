"""Options that several commands share, and the world that a command works in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trailkeeper.bootstrap import World
    from trailkeeper.settings import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="DIR",
        help="Configuration folder. Default: TRAILKEEPER_CONFIG, ./trailkeeper.d, "
        "/etc/trailkeeper.",
        show_default=False,
    ),
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        help="Log more to standard error; twice for every detail.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="JSON on standard output, one object a line.")
]
TenantOption = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="The tenant's configured name.")
]
FROM_HELP = "First instant, ISO 8601; a bare date is midnight UTC."
EndOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="First instant no longer wanted. Default: now.",
        show_default=False,
    ),
]

_LEVELS = ("critical", "info", "debug")  # a command says in its own words what went wrong


def read_settings(config: Path | None, verbose: int) -> Settings:
    """Set up logs and read the configuration. Raises `ConfigurationError`."""
    from trailkeeper import logs
    from trailkeeper.cli import output
    from trailkeeper.settings import find_folder, load, overlooked

    logs.configure(_LEVELS[min(verbose, 2)])
    folder = find_folder(config)
    for text in overlooked(folder):
        output.note(f"warning: {text}")
    return load(folder)


@contextmanager
def opened(config: Path | None, verbose: int) -> Iterator[World]:
    """The world of this command, closed at its end. Raises `ConfigurationError`."""
    settings = read_settings(config, verbose)
    from trailkeeper.bootstrap import World

    world = World(settings)
    try:
        yield world
    finally:
        world.close()
