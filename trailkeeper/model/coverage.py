"""Coverage: what is proven of a range, derived from findings and never stored by hand.

Invariant: complete, suspect and gaps are disjoint and together fill the asked range exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from trailkeeper.model.feed.lag import ContentLag
from trailkeeper.model.measures.match import Match
from trailkeeper.model.segment import MISSING, Finding, MergeCounts, Verdict
from trailkeeper.model.sources import known_rules
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, iso, subtract, total, union

NOT_COLLECTED = "not collected yet"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the range that is not proven, and why."""

    window: Window
    reason: str
    lost: bool = False
    """the provider no longer has it"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is proven of one stream over `range`.

    `provisional` is the part of `complete` that was read too soon after it happened for late
    records to be ruled out; it counts as complete.
    """

    stream: Stream
    range: Window
    complete: tuple[Window, ...]
    provisional: tuple[Window, ...]
    suspect: tuple[Stretch, ...]
    gaps: tuple[Stretch, ...]
    counts: MergeCounts = field(default_factory=MergeCounts)
    lags: tuple[ContentLag, ...] = ()
    """how long the feed's records were on their way, where that was asked for"""
    match: Match | None = None
    """what matching with another source found, where that was asked for"""

    @property
    def is_complete(self) -> bool:
        return not self.suspect and not self.gaps

    @property
    def complete_time(self) -> timedelta:
        return total(self.complete)

    @property
    def provisional_from(self) -> datetime | None:
        return self.provisional[0].start if self.provisional else None

    def as_json(self) -> dict[str, object]:
        """The object that `coverage --json` prints (contract: Commands)."""
        return {
            "tenant": self.stream.tenant,
            "source": self.stream.source.value,
            "from": iso(self.range.start),
            "to": iso(self.range.end),
            "complete_seconds": int(self.complete_time.total_seconds()),
            "provisional_from": iso(self.provisional_from) if self.provisional_from else None,
            "suspect": [_stretch_json(s) for s in self.suspect],
            "gaps": [_stretch_json(s) for s in self.gaps],
            "records_received": self.counts.received,
            "records_stored": self.counts.stored,
            "duplicates": self.counts.duplicates,
            "conflicts": self.counts.conflicts,
            **({"lag": [lag.as_json() for lag in self.lags]} if self.lags else {}),
            **({"matched": self.match.as_json(self.stream.source)} if self.match else {}),
        }


def decisive(coverages: Sequence[Coverage]) -> tuple[Coverage, ...]:
    """The coverages that decide whether a month of occurrences is complete.

    A source that is asked by occurrence and is complete proves the month by itself: the search and
    the feed hold the same records (management-api-and-graph.md, section 3), and the feed, which
    remembers seven days, could never say so of a month that was over when it began. Without such a
    source every one has to be complete.
    """
    complete = tuple(c for c in coverages if c.is_complete)
    alone = any(_proves_alone(c.stream.source) for c in complete)
    return complete if alone else tuple(coverages)


def _proves_alone(source: Source) -> bool:
    rules = known_rules().get(source)
    return rules is not None and rules.proves_alone


def proves(coverages: Sequence[Coverage]) -> bool:
    """Whether together they prove a month of occurrences; nothing asked is nothing proven."""
    deciding = decisive(coverages)
    return bool(deciding) and all(c.is_complete for c in deciding)


def _stretch_json(stretch: Stretch) -> dict[str, object]:
    return {
        "from": iso(stretch.window.start),
        "to": iso(stretch.window.end),
        "reason": stretch.reason,
        "lost": stretch.lost,
    }


def derive(
    stream: Stream,
    asked: Window,
    findings: Sequence[Finding],
    *,
    settle: timedelta,
    outstanding: Iterable[Stretch] = (),
    counts: MergeCounts | None = None,
) -> Coverage:
    """Coverage of `asked` from the findings of merged segments.

    A window once proven stays proven: a later suspect look does not take back what was stored.
    `settle`: how long after an instant late records are still expected. `outstanding` names why a
    part is not collected (parked, failing, queued); it only words the gaps, it never closes them.
    """
    clipped = [(f, w) for f in findings if (w := f.window.intersect(asked)) is not None]
    complete = _proven(clipped)
    settled = union(
        part for f, _ in clipped if f.verdict.proven and (part := _settled(f, asked, settle))
    )
    suspect = _worded(
        subtract((w for f, w in clipped if f.verdict is Verdict.SUSPECT), complete),
        [Stretch(w, f.reason) for f, w in _newest_first(clipped) if f.verdict is Verdict.SUSPECT],
    )
    missing = subtract([asked], [*complete, *(s.window for s in suspect)])
    reasons = [
        Stretch(w, f.reason, lost=f.verdict is Verdict.LOST)
        for f, w in _newest_first(clipped)
        if f.verdict in (Verdict.GAP, Verdict.LOST)
    ]
    return Coverage(
        stream=stream,
        range=asked,
        complete=tuple(complete),
        provisional=tuple(subtract(complete, settled)),
        suspect=tuple(suspect),
        gaps=tuple(_worded(missing, [*reasons, *outstanding])),
        counts=counts or MergeCounts(),
    )


def _proven(clipped: Sequence[tuple[Finding, Window]]) -> list[Window]:
    """What is proven and not taken back: content that shows up later and cannot be had counts."""
    proven: list[Window] = []
    for finding, window in reversed(_newest_first(clipped)):
        if finding.verdict.proven:
            proven.append(window)
        elif MISSING in finding.evidence:
            proven = subtract(proven, [window]) if proven else proven
    return union(proven)


def _settled(finding: Finding, asked: Window, settle: timedelta) -> Window | None:
    """The part of a proven window that was read at least `settle` after it happened."""
    end = min(finding.window.end, (finding.observed_at - settle).replace(microsecond=0))
    if end <= finding.window.start:
        return None
    return Window(finding.window.start, end, finding.window.axis).intersect(asked)


def _newest_first(clipped: Iterable[tuple[Finding, Window]]) -> list[tuple[Finding, Window]]:
    return sorted(clipped, key=lambda pair: pair[0].observed_at, reverse=True)


def _worded(windows: Iterable[Window], reasons: Sequence[Stretch]) -> list[Stretch]:
    """Cut `windows` so that each piece has the first reason that covers it."""
    worded: list[Stretch] = []
    left = list(windows)
    for reason in reasons:
        for window in left:
            common = window.intersect(reason.window)
            if common is not None:
                worded.append(replace(reason, window=common))
        left = subtract(left, [reason.window]) if left else left
    worded.extend(Stretch(w, NOT_COLLECTED) for w in left)
    return _joined(sorted(worded, key=lambda s: s.window))


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Join neighbours that touch and have the same reason."""
    joined: list[Stretch] = []
    for stretch in stretches:
        last = joined[-1] if joined else None
        if last and replace(last, window=stretch.window) == stretch and _touch(last, stretch):
            whole = Window(last.window.start, stretch.window.end, last.window.axis)
            joined[-1] = replace(last, window=whole)
        else:
            joined.append(stretch)
    return joined


def _touch(one: Stretch, two: Stretch) -> bool:
    return one.window.end == two.window.start
