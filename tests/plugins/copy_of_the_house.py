"""A copy of the product in which a recipe is followed to the letter, and what it touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TREES = ("trailkeeper", "worker", "beat", "wire", "docs")


@dataclass(frozen=True, slots=True)
class Touched:
    added: list[str]
    changed: list[str]

    def __str__(self) -> str:
        return f"{len(self.added)} new, {len(self.changed)} changed"


class Copy:
    """The product below `folder`; Python started here imports it instead of the checkout's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for tree in _TREES:
            shutil.copytree(ROOT / tree, folder / tree)

    def add(self, path: str, text: str = "") -> None:
        """A file of its own."""
        assert not (self.folder / path).exists(), path
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_text(text, "utf-8")

    def insert(self, path: str, after: str, lines: str) -> None:
        """`lines` below the only line that holds `after`."""
        text = (self.folder / path).read_text("utf-8")
        found = [line for line in text.splitlines() if after in line]
        assert len(found) == 1, f"{path}: {after!r} is in {len(found)} lines"
        (self.folder / path).write_text(text.replace(found[0], f"{found[0]}\n{lines}"), "utf-8")

    def touched(self) -> Touched:
        now, before = set(_files(self.folder)), set(_files(ROOT))
        same = {each for each in now & before if self._bytes(each) == (ROOT / each).read_bytes()}
        return Touched(sorted(now - before), sorted(now & before - same))

    def _bytes(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def python(self, *words: str, ends: int = 0, **environment: str) -> str:
        """What the copy says, on either channel."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == ends, said
        return said


def _files(folder: Path) -> Iterator[str]:
    for tree in _TREES:
        for path in (folder / tree).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(folder))


def promised(heading: str) -> str:
    """What a recipe of CONTRIBUTING.md says that following it touches."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipe = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^Files: (.+)\.$", recipe, re.M)[0]
