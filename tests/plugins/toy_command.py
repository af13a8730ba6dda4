"""The smallest command: `trailkeeper toy`."""

from __future__ import annotations

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import JsonOption


def toy(as_json: JsonOption = False) -> int:
    """Play.

    Example:

      trailkeeper toy --json
    """
    if as_json:
        output.json_line({"played": True})
    else:
        output.line("played")
    return Exit.DONE
