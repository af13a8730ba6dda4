"""docs/threat-model.md: what it claims is proven by tests that exist, and it stays short."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_TWO_PAGES = 1500
"""words"""


def test_every_named_test_exists() -> None:
    """Each test that the page names stands in the file that it names."""
    missing = [
        f"{path}::{name}"
        for path, name in _NAMED.findall(TEXT)
        if not (ROOT / path).is_file()
        or not re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.M)
    ]
    assert missing == []


def test_every_attack_names_its_proof() -> None:
    """Each row of a table of attacks names at least one test."""
    tables = re.findall(r"\| attack \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", TEXT)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(tables) >= 4
    assert [row for row in rows if not _NAMED.search(row)] == []


def test_it_is_two_pages() -> None:
    """A page that nobody reads protects nobody."""
    assert len(_NAMED.sub("", TEXT).split()) <= _TWO_PAGES
