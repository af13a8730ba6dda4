"""Exit codes, and the one place where an error becomes a sentence for the operator."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import typer

from trailkeeper.errors import ConfigurationError, NeedsPerson, TrailkeeperError, UsageError
from trailkeeper.model.text import visible


class Exit(IntEnum):
    """The contract's exit codes."""

    DONE = 0
    """done and complete"""
    OTHER = 1
    USAGE = 2
    """wrong usage or configuration"""
    INCOMPLETE = 10
    """done, but coverage is incomplete; the gaps were printed"""
    PERSON = 20
    """a person is needed; the remedy was printed"""
    INTERRUPTED = 130
    READER_GONE = 141
    """what a shell calls the end by SIGPIPE: no error, and not "done", for not all was written"""


def guarded(command: Callable[[], object]) -> int:
    """Run `command` and turn whatever comes out of it into an exit code and at most one sentence.

    A command returns its exit code, or None for done.
    """
    try:
        code = command()
        sys.stdout.flush()
        if code == Exit.INTERRUPTED:  # typer's own word for Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else Exit.DONE
    except TrailkeeperError as error:
        _say(str(error))
        return exit_code(error)
    except typer.Exit as error:
        return error.exit_code
    except typer.Abort:
        _say("nothing was done.")
        return Exit.OTHER
    except KeyboardInterrupt:
        _say("stopped. Nothing is lost: the same command goes on from here.")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return Exit.READER_GONE
    except SystemExit as error:  # typer's own answer to a closed pipe, with 1
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _drop_output()
        return Exit.READER_GONE
    except Exception as error:
        return _unexpected(error)


def each_on_its_own(command: Callable[[], int]) -> int:
    """One of several tenants: what is wrong in its own file is said, and the others go on."""
    try:
        return command()
    except ConfigurationError as error:
        _say(str(error))
        return exit_code(error)


def exit_code(error: TrailkeeperError) -> Exit:
    if isinstance(error, (ConfigurationError, UsageError)):
        return Exit.USAGE
    return Exit.PERSON if isinstance(error, NeedsPerson) else Exit.OTHER


def _unexpected(error: Exception) -> int:
    """What typer says of wrong words, what the disk says, and what nobody has thought of."""
    if isinstance(error, typer.TyperException):
        _refuse(error.format_message())
        return Exit.USAGE
    if _debugging():
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename} " if error.filename else ""
        _say(f"{where}cannot be used: {error.strerror.lower()}. Check the path and the disk.")
    else:
        _say(
            f"unexpected {type(error).__name__} in {_place(error)}. Nothing is lost; run it again "
            "with TRAILKEEPER_DEBUG=1 and report the traceback."
        )
    return Exit.OTHER


def _refuse(words: str) -> None:
    if "\n" in words:  # the whole help, for a group without a command
        sys.stderr.write(f"{words}\n")
    else:
        _say(f"{words.rstrip('.')}. Add --help to see what the command takes.")


def _debugging() -> bool:
    from trailkeeper.settings import debugging

    return debugging()


def _place(error: Exception) -> str:
    """File and line: the message itself may quote what it should not."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "the program"


def _say(text: str) -> None:
    sys.stderr.write(f"trailkeeper: {visible(' '.join(text.split()))}\n")


def _drop_output() -> None:
    """Whoever read our output has gone (`| head`): the last flush at exit must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
