"""The command line: `trailkeeper …`. A command's module is loaded when the command is called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from trailkeeper.cli.exits import guarded

COMMANDS = {
    "demo": "Show the whole service at work, without Microsoft and without a network.",
    "up": "Run the whole service here: Redis unless one is configured, the workers, and beat.",
    "collect": "Pull a range of one tenant's audit log and merge it into the lake, here.",
    "coverage": "What is proven collected, what is suspect, what is missing.",
    "report": "Render one tenant's month into a folder; with --send, mail it.",
    "export": "Write the stored records: each once, in order.",
    "tenants": "The fleet: list, check, pause, resume, remove.",
    "rules": "The rules of the monthly review: check them on their own examples.",
    "certificate": "Key pairs for app registrations: create, show, list.",
    "doctor": "Look at every part this installation rests on.",
}
"""every command, with its line in the overview; a module of the same name holds a function `NAME`,
or a Typer `app` for a group"""


class _Lazy(TyperGroup):
    """Loads a command when it is called: the overview and one command need not know the others."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            return TyperCommand(cmd_name, short_help=COMMANDS[cmd_name])
        return load(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def load(name: str) -> Any:
    """The command's click object, its module imported."""
    module = import_module(f"trailkeeper.cli.{name}")
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, rich_markup_mode=None)
        group.command(name)(getattr(module, name))
    return _examples_kept(typer.main.get_command(group))


def _examples_kept(command: Any) -> Any:
    """Indented paragraphs are shown line by line: an example that is wrapped cannot be copied."""
    if command.help:
        parts = command.help.split("\n\n")
        command.help = "\n\n".join(f"\b\n{p}" if p.startswith("  ") else p for p in parts)
    for inner in getattr(command, "commands", {}).values():
        _examples_kept(inner)
    return command


def _version(asked: bool) -> None:
    if asked:
        from trailkeeper import __version__

        sys.stdout.write(f"trailkeeper {__version__}\n")
        raise typer.Exit


def _root(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="DIR",
            help="Configuration folder, for any command.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps and reports the Microsoft 365 unified audit log of every tenant.

    Exit codes: 0 done and complete, 2 wrong usage or configuration, 10 coverage is incomplete (the
    gaps are printed), 20 a person is needed (the remedy is printed), 1 anything else.
    """
    if config is not None:
        from trailkeeper.settings import name_folder

        name_folder(config)


def _app() -> Callable[..., object]:
    app = typer.Typer(
        cls=_Lazy,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": 100},
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def main() -> int:
    """The console script. Returns the exit code."""
    import atexit
    import gc

    from trailkeeper.privacy import close_umask
    from trailkeeper.process.memory import forbid_core_files

    close_umask()  # records and reports are for this user alone, wherever they are written
    forbid_core_files()
    gc.set_threshold(50_000)  # the default collects 200 times while imports only ever add objects
    atexit.register(gc.freeze)  # no last look for cycles: a sixth of a second for nothing
    return guarded(lambda: _app()(prog_name="trailkeeper", standalone_mode=False))
