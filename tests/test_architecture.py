"""docs/architecture.md says what the tree holds, and walks only where there is a way."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/architecture.md").read_text("utf-8")
WALKS = [
    [line.split()[0] for line in block.splitlines() if line.strip()]
    for block in re.findall(r"```walk\n(.*?)```", TEXT, re.DOTALL)
]


def _tracked() -> set[str]:
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


def _drawn() -> tuple[set[str], set[str]]:
    """The top-level folders of the drawn tree, and what it shows of the core."""
    block = re.search(r"```\npyproject.toml.*?```", TEXT, re.DOTALL)
    assert block
    lines = block.group(0).splitlines()[1:-1]
    tops = {line.split()[0].rstrip("/") for line in lines[2:] if line and line[0] != " "}
    core = {line.split()[0].rstrip("/") for line in lines if line.startswith("  ")}
    return tops, core


def test_the_drawn_tree_is_the_tree() -> None:
    """Every top-level folder and every room of the core is drawn, and nothing that is not there."""
    tops, core = _drawn()
    tracked = _tracked()
    folders = {name.split("/")[0] for name in tracked if "/" in name and not name.startswith(".")}
    rooms = {name.split("/")[1] for name in tracked if name.startswith("trailkeeper/")}
    assert tops == folders
    assert core == rooms - {"__init__.py", "py.typed"}


def test_there_are_three_walks() -> None:
    """A page, a window and a month: the three ways through the service that the page tells."""
    assert len(WALKS) == 3


@pytest.mark.parametrize("walk", WALKS, ids=["page", "window", "month"])
def test_a_walk_visits_each_file_once(walk: list[str]) -> None:
    """Every file of a walk is there, and nobody is visited twice."""
    assert len(walk) > 5
    assert set(walk) <= _tracked()
    assert len(set(walk)) == len(walk)


def test_rooms_stay_few() -> None:
    """A newcomer finds a file from the tree alone: at most so many rooms on a level."""
    for folder, most in (("trailkeeper/model", 20), ("trailkeeper/microsoft", 10)):
        depth = folder.count("/") + 1
        rooms = {
            name.split("/")[depth]
            for name in _tracked()
            if (name.startswith(f"{folder}/") and not name.endswith(("__init__.py", ".csv")))
            or (name.count("/") > depth and name.startswith(f"{folder}/"))
        }
        assert len(rooms) <= most, sorted(rooms)
