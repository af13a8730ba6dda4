"""The frame around the commands: help, version, wrong words, unexpected errors."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, Line
from trailkeeper import __version__
from trailkeeper.cli import COMMANDS, load
from trailkeeper.cli.exits import Exit, guarded
from trailkeeper.errors import (
    Bug,
    ConfigurationError,
    DeliveryRefused,
    NeedsPerson,
    Throttled,
    Unavailable,
    UsageError,
)


def test_help_lists_every_command_without_loading_any(line: Line) -> None:
    """The overview names all commands; nothing heavy is imported for it."""
    said = line.run("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in said.out
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, trailkeeper.cli\n"
            "sys.argv = ['trailkeeper', '--help']\n"
            "trailkeeper.cli.main()\n"
            "heavy = {'polars', 'celery', 'matplotlib', 'sqlalchemy', 'pydantic', 'requests'}\n"
            "sys.exit(bool(heavy & set(sys.modules)))",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    assert loaded.returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples(name: str) -> None:
    """Each command, and each of a group, has a sentence of help and an example to copy."""
    command = load(name)
    inner = list(getattr(command, "commands", {}).values()) or [command]
    for each in inner:
        text = inspect.cleandoc(each.help or "")
        assert "Example" in text, each.name
        assert "  trailkeeper " in text, each.name


def test_the_version() -> None:
    """--version prints the package's version."""
    said = subprocess.run(
        [sys.executable, "-m", "trailkeeper.cli", "--version"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout == f"trailkeeper {__version__}\n"


def test_wrong_words_are_one_sentence(line: Line) -> None:
    """A mistyped command or option is refused in one line that says where to look."""
    for words in (("colect",), ("coverage", "--tenat", "x"), ("tenants", "pause")):
        said = line.run(*words)
        assert said.code == 2
        assert said.err.startswith("trailkeeper: ")
        assert len(said.err.splitlines()) == 1
        assert "--help" in said.err


def test_the_folder_may_be_named_before_or_after_the_command(line: Line) -> None:
    """--config works in both places, and wins over the environment."""
    line.environment["TRAILKEEPER_CONFIG"] = "/nowhere"
    folder = str(line.config.folder)
    assert line.run("tenants", "list", "--config", folder).code == 0
    assert line.run("--config", folder, "tenants", "list").code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("a", "b"), 2),
        (UsageError("a", "b"), 2),
        (NeedsPerson("a", "b"), 20),
        (Throttled("a", "b"), 1),
        (Unavailable("a", "b"), 1),
        (DeliveryRefused("a", "b"), 1),
        (Bug("a", "b"), 1),
    ],
)
def test_our_errors_become_one_sentence_and_a_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happened and what to do next, on one line of standard error."""

    def failing() -> None:
        raise error

    assert guarded(failing) == code
    assert capsys.readouterr() == ("", "trailkeeper: a. b\n")


def test_what_nobody_thought_of_shows_no_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is one line with its kind and place; its text, which may quote anything,
    comes only with TRAILKEEPER_DEBUG=1."""

    def failing() -> None:
        raise KeyError("hush")

    monkeypatch.delenv("TRAILKEEPER_DEBUG", raising=False)
    assert guarded(failing) == Exit.OTHER
    said = capsys.readouterr().err
    assert "unexpected KeyError in test_main.py" in said
    assert "hush" not in said
    monkeypatch.setenv("TRAILKEEPER_DEBUG", "1")
    assert guarded(failing) == Exit.OTHER
    assert "Traceback" in capsys.readouterr().err
