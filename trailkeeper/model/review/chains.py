"""Findings of several controls that belong together: one account, within a day.

What responders to compromised mailboxes look for: a way in, and what was done with it
(report-and-detections.md, section 5).
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trailkeeper.model.review.control import Control, Notable, Reviewed

_WAYS_IN = frozenset({Control.SIGN_INS, Control.SIGN_IN_SECURITY})
_USES = frozenset(
    {
        Control.MAIL_FORWARDING,
        Control.MAILBOX_RIGHTS,
        Control.APPLICATIONS,
        Control.ROLES,
        Control.FILES,
    }
)
_AT_LEAST = 3
"""controls: two meet by chance"""
_DAY = 86_400_000_000
"""microseconds"""


@dataclass(frozen=True, slots=True)
class Chain:
    actor: str
    begin: int
    """microseconds since 1970-01-01 UTC"""
    controls: tuple[Control, ...]
    """in the report's order"""


def chains(review: Iterable[Reviewed]) -> list[Chain]:
    """One for each account at most, those of most controls first."""
    by_actor: dict[str, list[tuple[Notable, Control]]] = defaultdict(list)
    for each in review:
        if each.control in _WAYS_IN | _USES:
            for notable in each.notable:
                by_actor[notable.actor.lower()].append((notable, each.control))
    found = [chain for events in by_actor.values() if (chain := _chain(events))]
    return sorted(found, key=lambda chain: (-len(chain.controls), chain.begin, chain.actor))


def _chain(events: Sequence[tuple[Notable, Control]]) -> Chain | None:
    """The day of most controls of one account; None where it tells nothing."""
    ordered = sorted(events, key=lambda event: event[0].at)
    within: deque[tuple[Notable, Control]] = deque()
    counts: Counter[Control] = Counter()
    best: tuple[Notable, frozenset[Control]] = (ordered[0][0], frozenset())
    for notable, control in ordered:
        within.append((notable, control))
        counts[control] += 1
        while notable.at - within[0][0].at > _DAY:
            counts[within.popleft()[1]] -= 1
        if len(+counts) > len(best[1]):
            best = within[0][0], frozenset(+counts)
    first, controls = best
    if len(controls) < _AT_LEAST or not controls & _WAYS_IN:
        return None
    return Chain(first.actor, first.at, tuple(c for c in Control if c in controls))
