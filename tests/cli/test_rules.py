"""`trailkeeper rules check`: shipped rules and the operator's own, on their own examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Line
from tests.rules.test_shipped_rules import RULE


def _own(line: Line, text: str) -> Path:
    folder = line.config.folder / "rules"
    folder.mkdir()
    (folder / "mine.yml").write_text(text)
    return folder / "mine.yml"


def test_all_rules_are_tried(line: Line) -> None:
    """One object a rule; the operator's own are among them, and nothing is wrong."""
    path = _own(line, RULE)
    said = line.run("rules", "check", "--json")
    assert said.code == 0, said.err
    assert said.objects[-1]["file"] == str(path)
    assert len(said.objects) > 40
    assert all(each["problems"] == [] for each in said.objects)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Operation: Send}", "Operation: Sent}", "its example 1 of finds is not found"),
        ("Operation: SendAs}", "Operation: send.}", "its example 1 of passes is found"),
        ("    finds:\n    - {Id: '1', Operation: Send}\n", "", "names no record that it finds"),
    ],
)
def test_a_rule_that_misses_its_example_is_told(line: Line, old: str, new: str, words: str) -> None:
    """The rule, its file and the example are named; the exit code is that of a wrong file."""
    assert old in RULE
    _own(line, RULE.replace(old, new))
    said = line.run("rules", "check")
    assert said.code == 2
    assert words in said.out
    assert "mine.yml: A word in a subject" in said.out


def test_a_file_that_is_no_rule_is_one_sentence(line: Line) -> None:
    """What cannot be read at all ends with file and remedy."""
    _own(line, "title: nothing else")
    said = line.run("rules", "check")
    assert said.code == 2
    assert "mine.yml" in said.last_words
