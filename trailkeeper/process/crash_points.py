"""Named points around every durable step, at which a test can end or stop this process.

For tests only. `TRAILKEEPER_CRASH_AT=landing.rename:after:2` kills the process with SIGKILL right
after it has renamed its second landing file: as a power cut would, nothing runs after it. What is
not armed costs two comparisons. The points are listed in docs/decisions/faults.md.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

_SPELLED = re.compile(r"(?P<name>[a-z._]+):(?P<side>before|after):(?P<nth>\d+)(?::(?P<deed>\w+))?")


class Deed(StrEnum):
    KILL = "kill"
    """SIGKILL: nothing of ours runs any more"""
    STOP = "stop"
    """SIGSTOP: stands still, past its lease if nobody continues it in time"""


@dataclass(slots=True)
class _Armed:
    name: str
    side: str
    left: int
    """passes until it happens"""
    deed: Deed

    def passed(self, name: str, side: str) -> None:
        if (name, side) != (self.name, self.side):
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL if self.deed is Deed.KILL else signal.SIGSTOP)


_armed: _Armed | None = None


def arm(spelled: str) -> None:
    """`name:before|after:nth[:kill|stop]`; empty disarms. Raises `ValueError` for anything else."""
    global _armed
    found = _SPELLED.fullmatch(spelled)
    if spelled and not found:
        raise ValueError(f"{spelled!r} names no crash point")
    _armed = found and _Armed(
        found["name"], found["side"], int(found["nth"]), Deed(found["deed"] or "kill")
    )


class durable:  # noqa: N801 - reads as a word: `with durable("landing.rename"):`
    """Around one step that outlives the process. The name is one of docs/decisions/faults.md."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        if _armed is not None:
            _armed.passed(self._name, "before")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if _armed is not None and kind is None:
            _armed.passed(self._name, "after")
