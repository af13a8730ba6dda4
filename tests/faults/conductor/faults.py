"""What can go wrong in a run: the crash points, and every other fault, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

POINTS = (
    # in the order in which a month passes them
    "identity.claim",
    "plan.commit",
    "segment.lease",
    "segment.release",
    "landing.write",
    "landing.fsync",
    "landing.rename",
    "landing.folder",
    "segment.land",
    "merge.open",
    "segment.set_aside",
    "landing.set_aside",
    "lake.commit",
    "lake.fsync",
    "merge.close",
    "report.render",
    "outbox.enqueue",
    "outbox.take",
    "mail.accept",
    "outbox.finish",
    "reap.remove",
    "reap.forget",
    "lake.compact",
    "lake.vacuum",
)
"""every `durable(…)` of the product that a steps run passes"""
ELSEWHERE = ("segment.share",)
"""passed by a pull of many pages only: test_crash_points.py kills there"""
SIDES = ("before", "after")


class Kind(StrEnum):
    KILL = "kill"
    """SIGKILL at a crash point"""
    STOP = "stop"
    """SIGSTOP at a crash point; another process goes past its lease, then SIGCONT"""
    RIVALS = "rivals"
    """two processes at once, one of which is killed"""
    FSYNC = "fsync_fails"
    RENAME = "rename_fails"
    DISK_FULL = "disk_full"
    """no file may grow beyond some size: the kernel refuses every write of every library"""
    NETWORK = "network"
    """the sandbox cuts, delays or refuses"""
    MAIL_CUT = "mail_cut"
    """our proxy cuts the connection to the mail server"""
    CLOCK = "clock"
    """a life with a wrong clock that is put right afterwards"""
    DAMAGE = "damage"
    """a landing file is cut short or deleted before it is merged"""


@dataclass(frozen=True)
class Act:
    """One life of the service, and what ends or troubles it."""

    kind: Kind
    crash_at: str = ""
    """as TRAILKEEPER_CRASH_AT has it"""
    words: dict[str, Any] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """`name:side`"""
        return ":".join(self.crash_at.split(":")[:2])


NETWORK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("reset", {"calls": ["search"]}),
    ("reset", {"calls": ["token"]}),
    ("reset_mid_body", {"calls": ["search"]}),
    ("cut_body", {"calls": ["search"]}),
    ("server_error", {"calls": ["search"]}),
    ("throttled", {"calls": ["search"], "seconds": 1}),
    ("not_json", {"calls": ["search"]}),
    ("slow", {"calls": ["search"], "seconds": 0.3}),
    ("errors_in_200", {"calls": ["search"]}),
)
"""faults of the sandbox, which sets them for one tenant"""
