"""Newer time first: what it holds shows whether older time is empty."""

from __future__ import annotations

from dataclasses import dataclass

from trailkeeper.errors import NotFinished
from trailkeeper.model.search.answer.rows import SearchAnswer
from trailkeeper.model.search.conclusions import Conclusions
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.worklist import Worklist
from trailkeeper.model.turn import Turn

NEWER_SECONDS = 60.0
"""between looks at older time that came back empty, while newer time is walked: a look is a call"""

_SHORT_WAITS, _SHORT_WAIT_SECONDS = 10, 0.5
"""for a newer walk that is soon done; then others have the process"""


@dataclass(frozen=True, slots=True)
class NewerFirst:
    """What a walk does that begins with an empty answer, of a tenant of whom no record is known."""

    port: SearchPort
    turn: Turn
    credibility: Credibility
    worklist: Worklist
    conclusions: Conclusions

    def wait(self, answer: SearchAnswer) -> None:
        """Without a known record an empty month costs dozens of probes, with one a single probe:
        whoever asks for newer time of this tenant may find some. Raises `NotFinished` while he
        does."""
        known = answer.rows or self.credibility.sentinels
        if known or self.worklist or self.conclusions.findings or not self.turn.newer_under_way():
            return
        raise NotFinished(
            "the newer time is asked first: its records show whether older time is empty",
            "It goes on by itself.",
            retry_after=NEWER_SECONDS if self._goes_on() else 0.0,
        )

    def _goes_on(self) -> bool:
        """Whether the newer walk is no short one."""
        for _ in range(_SHORT_WAITS):
            self.port.pause(_SHORT_WAIT_SECONDS)
            if not self.turn.newer_under_way():
                return False
        return True
