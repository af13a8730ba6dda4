"""What one tenant's empty answers are worth: what it told, what it hid, and which rows must show.

The counterpart of `trailkeeper.model.search.answer.doubt` for answers without rows (D10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta

from trailkeeper.model.search.answer.rows import SearchAnswer
from trailkeeper.model.search.emptiness.sentinel import Sentinels
from trailkeeper.model.segment import Finding, Verdict
from trailkeeper.model.window import Window

PROBES = "probes"
"""key of a finding's evidence: how many questions came back without a row of its time"""
SENTINEL_ROWS = "sentinel_rows"
"""key of a finding's evidence: rows, a known one among them, that came with none of its time"""
USUAL_PROBES = 2
"""probes of a window of a service that was never caught lying"""
MOST_PROBES = 8
"""empty answers about one window, at most; a lie told more often needs another way"""
HEARD = 50
"""answers that are remembered as told, and as many as hidden"""


@dataclass
class Credibility:
    """`sentinels`, `heard` and `by_length` outlive the walk."""

    sentinels: Sentinels = field(default_factory=Sentinels)
    heard: list[float] = field(default_factory=list)
    """lengths in seconds of windows that came with rows; negative: came empty and were not"""
    by_length: timedelta | None = None
    """from this length on rows were seen to be hidden for no other reason"""
    troubled: bool = False
    """this service told a lie of another kind in this walk: nothing is believed at second sight"""
    unknown: bool = True
    """nothing is known of this service from earlier walks"""
    most: int = 0
    """rows of the largest answer of this walk that no doubt was due of"""
    silent: bool = False
    """in this walk it answered no row at all, not even a known one by itself"""
    caught: int = 0
    """lies of this walk, remembered or not"""
    crowds: list[Window] = field(default_factory=list)
    """the narrowest windows that had more rows in this walk than an answer holds"""

    def notice(self, answer: SearchAnswer, doubt: str) -> None:
        """Learn from any answer; one of which `doubt` is due tells no truth."""
        if answer.unclean():
            self.troubled = True
        elif answer.rows and not doubt:
            self.hear(answer.asked.duration.total_seconds())
            self.most = max(self.most, answer.rows)
        self.sentinels.notice(answer)

    def crowded(self, window: Window) -> None:
        """`window` had more rows than an answer holds, and so has all that covers it."""
        if not self.in_crowd(window):
            self.crowds = [each for each in self.crowds if not each.covers(window)]
            self.crowds = [*self.crowds, window][-_CROWDS:]

    def in_crowd(self, question: Window) -> bool:
        """Whether the answer to `question` would not hold all its rows."""
        return any(question.covers(each) for each in self.crowds)

    def hid(self, window: Window) -> None:
        """`window` came back empty, and rows of it are known."""
        self.caught += 1
        self.hear(-window.duration.total_seconds())

    @property
    def lies(self) -> list[float]:
        """Lengths of the windows whose rows were hidden, in seconds."""
        return [-seconds for seconds in self.heard if seconds < 0]

    @property
    def liar(self) -> bool:
        """Whether this service was caught lying, about rows it hid or otherwise."""
        return self.troubled or bool(self.lies)

    @property
    def blank(self) -> bool:
        """Whether no row of this tenant was ever seen, and no walk ended without one."""
        return self.unknown and not self.heard and not self.sentinels

    def probes_wanted(self, window: Window, *, walled: bool = False) -> int:
        """How many empty answers about `window` are believed where there is no sentinel.

        `walled`: there would be one, but for more rows than an answer holds in between.
        """
        if not self.lies and not walled:
            return MOST_PROBES if self.blank else USUAL_PROBES + self.troubled
        lies, truths = self._experience(window, slack=0.1)
        odds = (lies + 1) / (lies + truths + 2)
        probes = max(USUAL_PROBES + 1, math.ceil(math.log(_DOUBT) / math.log(odds)))
        return probes if self.lies else min(probes, MOST_PROBES)

    def too_little_for(self, finding: Finding) -> bool:
        """Whether it was called empty on fewer probes than are wanted by now."""
        return (
            finding.verdict is Verdict.EMPTY_CONFIRMED
            and SENTINEL_ROWS not in finding.evidence
            and self.probes_wanted(finding.window) > int(str(finding.evidence[PROBES]))
        )

    def hopeless(self, window: Window) -> bool:
        """Whether this service was only ever seen to hide the rows of windows as long."""
        lies, truths = self._experience(window)
        return lies > 1 and not truths

    def told(self) -> timedelta:
        """The longest window that came with rows among those shorter than any that hid them."""
        shortest = min(self.lies, default=math.inf)
        return timedelta(seconds=max((s for s in self.heard if 0 < s < shortest), default=0))

    def _experience(self, window: Window, slack: float = 0.0) -> tuple[int, int]:
        """Lies about windows no longer than this one, and truths about windows no shorter.

        With `slack` all lies that length does not explain, since a longer window came with rows.
        """
        length = window.duration.total_seconds()
        longest = max([length * (1 + slack), *self.heard]) if slack else length
        lies = sum(seconds <= longest for seconds in self.lies)
        truths = sum(seconds >= length * (1 - slack) for seconds in self.heard)
        return lies, truths

    def hear(self, seconds: float) -> None:
        """The longest truths and the shortest lies say most, and are remembered."""
        self.heard.append(seconds)
        if len(self.heard) - len(self.lies) > HEARD:
            self.heard.remove(min(s for s in self.heard if s > 0))
        if len(self.lies) > HEARD:
            self.heard.remove(-max(self.lies))


_CROWDS = 32
"""windows with more rows than an answer holds that are remembered: the last ones"""
_DOUBT = 1e-4
"""the chance of being lied to all the same that is taken where there is no sentinel"""
