"""docs/logs.md against the code: every event has its row, every row its event."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}
_ROW = re.compile(
    r"\| `(?P<name>\w+)` \| (?P<levels>[a-z, ]+) \| (?P<says>.+?) \| (?P<fields>.*)\|"
)


@dataclass
class Event:
    """One event: the levels and fields that it is logged with."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a method of `log` or `_log`, with the file and line where it stands."""
    for package in ("trailkeeper", "worker", "beat", "wire"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and _logs(node.func):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _logs(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in ("log", "_log")
    )


@cache
def logged() -> dict[str, Event]:
    """Each event that the code logs. Read once: parsing all of it takes a second."""
    found: dict[str, Event] = defaultdict(Event)
    for _, call in calls():
        assert isinstance(call.func, ast.Attribute)
        name = call.args[0]
        if isinstance(name, ast.Constant):
            found[name.value].levels.add(LEVELS[call.func.attr])
            found[name.value].fields |= {word.arg for word in call.keywords if word.arg}
    return dict(found)


@cache
def documented() -> dict[str, Event]:
    rows = _ROW.finditer((ROOT / "docs" / "logs.md").read_text("utf-8"))
    return {
        row["name"]: Event(
            {level.strip() for level in row["levels"].split(",")},
            set(re.findall(r"`(\w+)`", row["fields"])),
        )
        for row in rows
    }


def test_event_names_are_constants() -> None:
    """A name put together at run time could be neither searched for nor documented."""
    loose = [
        where
        for where, call in calls()
        if len(call.args) != 1
        or not isinstance(call.args[0], ast.Constant)
        or not re.fullmatch(r"[a-z]+(_[a-z]+)+", str(call.args[0].value))
    ]
    assert loose == []


def test_every_event_is_documented_and_every_row_is_logged() -> None:
    """The table names exactly the events that the code logs."""
    assert sorted(documented()) == sorted(logged())


@pytest.mark.parametrize("name", sorted(logged()))
def test_a_row_tells_the_levels_and_fields(name: str) -> None:
    """The row of an event names the levels it is logged at and every field of its own."""
    row, event = documented()[name], logged()[name]
    assert row.levels == event.levels
    assert event.fields <= row.fields


def test_rows_are_in_order() -> None:
    """Sorted by name, so that a row is found and a conflict between branches is small."""
    names = list(documented())
    assert names == sorted(names)
