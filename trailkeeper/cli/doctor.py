"""`trailkeeper doctor`: every part this installation rests on, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import ConfigOption, JsonOption, VerboseOption, opened

if TYPE_CHECKING:
    from rich.console import Console

    from trailkeeper.cli.checks import Check

MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}


def doctor(
    as_json: JsonOption = False, config: ConfigOption = None, verbose: VerboseOption = 0
) -> int:
    """Look at configuration, Redis, ledger, lake, disk, permissions, mail, clock, certificates.

    One line each, with a remedy where something fails (✗) or deserves a look (?). Exits with 2
    when the configuration is broken or a tenant's name stands for another directory's records, 20
    when only certificates fail, 1 when anything else does.

    Examples:

      trailkeeper doctor

      trailkeeper doctor --config /etc/trailkeeper --json
    """
    from trailkeeper.cli.checks import RECORDS, check_all

    with opened(config, verbose) as world:
        screen = output.console()
        failed = set()
        for check in check_all(world):
            _print(screen, check, as_json)
            if check.passed is False:
                failed.add(check.name.partition(" ")[0])
    if not failed:
        return Exit.DONE
    if RECORDS in failed:
        return Exit.USAGE
    return Exit.PERSON if failed == {"certificate"} else Exit.OTHER


def _print(screen: Console, check: Check, as_json: bool) -> None:
    if as_json:
        status = {True: "ok", False: "failed", None: "warning"}[check.passed]
        output.json_line(
            {
                "check": check.name,
                "status": status,
                "detail": check.detail,
                "remedy": check.remedy,
            }
        )
        return
    mark(screen, check.passed, check.name, check.detail, check.remedy)


def mark(screen: Console, passed: bool | None, name: str, detail: str, remedy: str) -> None:
    """`✓ name: detail`, and the remedy on a line of its own."""
    sign, colour = MARKS[passed]
    screen.print(f"{sign} {name}", style=colour, end="")
    screen.print(f": {detail}" if detail else "")
    if remedy:
        screen.print(f"    {remedy}", style="dim" if passed else "")
