"""The RecordType enum of Search-UnifiedAuditLog, with its lie.

The cmdlet accepts a *prefix* of a member's name without complaint and then searches for some
member that begins so (reference 3.4), so a misspelt type answers 200 with the wrong rows.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources


@cache
def names() -> dict[int, str]:
    """Number to name, from the table beside this file."""
    text = resources.files(__package__).joinpath("record_types.csv").read_text("utf-8")
    return {int(row["value"]): row["name"] for row in csv.DictReader(text.splitlines())}


@cache
def _numbers() -> dict[str, int]:
    return {name.lower(): number for number, name in names().items()}


def name_of(number: int | None) -> str:
    """The row's RecordType text; a number the table lacks is shown as the number."""
    if number is None:
        return ""
    return names().get(number, str(number))


def resolve(text: str) -> int | None:
    """The member that the service picks for `text`, or None when it refuses.

    Exact name (any case), then number, then, and this is the lie, the first member that the
    text is a prefix of.
    """
    wanted = text.strip().lower()
    if wanted in _numbers():
        return _numbers()[wanted]
    if wanted.lstrip("-").isdigit():
        return int(wanted)
    return next((n for name, n in _numbers().items() if wanted and name.startswith(wanted)), None)


def members() -> str:
    """The list that the refusal text recites."""
    return ", ".join(names().values())
