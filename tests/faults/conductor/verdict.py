"""What is left of a run, against what the sandbox holds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

from tests.faults.conductor.faults import Act, Kind

_ACCEPTED = ("mail.accept:after", "outbox.finish:before")
"""who ends or stops here leaves a message that the server has and the outbox does not know of"""
_UNDER_WAY = "mail.accept:before"
"""who stops here, past the lease, goes on to send what another one has sent meanwhile"""


def hides_acceptance(act: Act) -> bool:
    return act.point in _ACCEPTED or (act.kind is Kind.STOP and act.point == _UNDER_WAY)


@dataclass
class Verdict:
    seed: int
    tier: str
    records: int = 0
    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    """exported lines that the sandbox never held"""
    mails: int = 0
    months: int = 0
    """that were mailed: a long run comes to the next one's end, too"""
    told: int = 0
    """`acceptance_lost` lines of the log"""
    may_repeat: bool = False
    """a fault of this run hid an acceptance, or stopped a sender in mid-conversation"""
    complete: bool = False
    gaps: list[str] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    """crash points at which a process was killed or stopped, as name:side"""
    kills: int = 0
    played: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    """what went wrong with the run itself: a life that hung, or never ended its work"""

    @property
    def mailed_twice(self) -> int:
        return self.mails - self.months

    def failures(self) -> list[str]:
        """Empty when the run kept every promise."""
        found = list(self.trouble)
        if self.lost or self.doubled or self.foreign:
            found.append(f"{self.lost} lost, {self.doubled} doubled, {self.foreign} foreign")
        if not self.complete and not self.gaps:
            found.append("neither complete nor a named gap")
        if not self.mails:
            found.append("the month was not mailed")
        if self.mailed_twice and not self.may_repeat:
            found.append(f"{self.months} months in {self.mails} mails, and no acceptance was lost")
        if self.mailed_twice > self.told:
            found.append(f"{self.months} months in {self.mails} mails, told {self.told} times")
        return found


def compare(verdict: Verdict, truth: list[str], export: Path) -> None:
    """Each record exactly once: as texts, so that nothing may be altered either."""
    wanted = Counter(truth)
    text = export.read_text("utf-8") if export.exists() else ""
    held = Counter(line for line in text.split("\n") if line)
    verdict.records = wanted.total()
    verdict.lost = (wanted - held).total()
    extra = held - wanted
    verdict.doubled = sum(count for line, count in extra.items() if line in wanted)
    verdict.foreign = extra.total() - verdict.doubled


def told_of_losses(log: Path) -> int:
    return sum(b'"acceptance_lost"' in line for line in log.read_bytes().splitlines())


def proven(verdict: Verdict, result: Path) -> None:
    if result.exists():
        said = json.loads(result.read_text("utf-8"))
        verdict.complete, verdict.gaps = said["complete"], said["gaps"]


def addressed(path: Path) -> tuple[str, str]:
    """To whom a kept message went, and which tenant's month it reports."""
    with path.open("rb") as file:
        message = BytesParser(policy=default).parse(file, headersonly=True)
    return str(message["X-Sandbox-To"]), str(message["X-Trailkeeper-Report"])
