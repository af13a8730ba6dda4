"""How one tenant's audit search behaves: found out by walks, kept in the ledger, proven weekly.

The service's answers mean different things in different tenants and years
(identity-and-exchange.md, section 4.4, D3 to D6). Habits save calls; a window is never closed
because of them alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from trailkeeper.model.search.answer.doubt import Doubts, Rechecks
from trailkeeper.model.search.answer.rows import Choice, SearchAnswer, SearchLimits
from trailkeeper.model.search.emptiness.credibility import Credibility
from trailkeeper.model.search.emptiness.sentinel import Sentinel, Sentinels

PROVEN_FOR = timedelta(days=7)
_MOST_HINTS = 50
_STORED_AS = {"rechecks": "looks", "sentinels": "witnesses"}
"""names in the ledger, where versions that run beside this one read them too"""


class CountMeaning(StrEnum):
    """What ResultCount was seen to be."""

    UNKNOWN = "unknown"
    TOTAL = "total"
    """rows of the whole query"""
    PAGE = "page"
    """rows of this answer (D4)"""
    ZERO = "zero"
    """always 0 (D3)"""


@dataclass(frozen=True, slots=True)
class SearchHabits:
    """What was found out since `probed_at`; unknown things are at their cautious value."""

    probed_at: datetime | None = None
    result_count: CountMeaning = CountMeaning.UNKNOWN
    """what it was in the last answer that told"""
    counts: bool = False
    """it was more than 0 at least once in the last walk that told (`Doubts.counted`)"""
    says_more: bool = False
    """rows carry moreRecordsAvailable"""
    largest_answer: int = 0
    """most rows that one call without a session is known to return (`Doubts.verified`)"""
    order: Choice | None = None
    """how full answers were found to choose their rows"""
    rechecks: tuple[tuple[str, int, int], ...] = ()
    """hints, and how many rechecks brought nothing and more (`Doubts.rechecks`)"""
    gives: int = 0
    """what one answer was caught giving at most; 0: as much as is asked for"""
    heard: tuple[float, ...] = ()
    """which windows came with rows and which hid them (`Credibility.heard`); empty while this
    service was never caught hiding any"""
    hides_from: float = 0.0
    """length in seconds from which on rows are hidden (`Credibility.by_length`); 0: unknown"""
    sentinels: tuple[Sentinel, ...] = ()
    """rows that are known to exist; they are no habit, and are not found out anew"""

    def fresh(self, now: datetime) -> SearchHabits:
        """What still counts at `now`: after `PROVEN_FOR` the habits are found out anew."""
        if self.probed_at is not None and now - self.probed_at < PROVEN_FOR:
            return self
        return SearchHabits(sentinels=self.sentinels)

    def seen(self, answer: SearchAnswer, cap: int) -> SearchHabits:
        """What this answer teaches."""
        return replace(
            self,
            result_count=_meaning(answer, cap) or self.result_count,
            says_more=self.says_more or answer.more_available is not None,
        )

    def doubts(self, limits: SearchLimits) -> Doubts:
        """What a walk of this tenant begins with."""
        counts = self.counts or self.result_count in (CountMeaning.TOTAL, CountMeaning.PAGE)
        return Doubts(limits, _rechecks(self.rechecks), self.largest_answer, counts, self.gives)

    def doubting(self, doubts: Doubts) -> SearchHabits:
        """What a walk's doubts have come to."""
        gives = doubts.cap if doubts.cap < doubts.limits.cap else 0
        return replace(
            self,
            rechecks=_kept_rechecks(doubts.rechecks),
            largest_answer=doubts.verified,
            gives=gives,
            counts=self.counts if doubts.counted is None else doubts.counted,
        )

    def credibility(self) -> Credibility:
        """What a walk of this tenant begins with."""
        return Credibility(
            Sentinels(self.sentinels),
            list(self.heard),
            timedelta(seconds=self.hides_from) if self.hides_from else None,
            unknown=self.probed_at is None,
        )

    def believing(self, credibility: Credibility) -> SearchHabits:
        """What a walk's empty answers have come to."""
        heard = tuple(credibility.heard) if credibility.lies else ()
        hides_from = credibility.by_length.total_seconds() if credibility.by_length else 0.0
        known = credibility.sentinels.kept()
        return replace(self, heard=heard, hides_from=hides_from, sentinels=known)

    def beside(self, others: SearchHabits) -> SearchHabits:
        """With the rows that walks at the same time came to know."""
        known = Sentinels([*others.sentinels, *self.sentinels])
        return replace(self, sentinels=known.kept())

    def onto(self, noted: SearchHabits, before: SearchHabits) -> SearchHabits:
        """What became of `before` in this walk, applied to what is `noted` by now.

        A walk that found nothing out takes nothing back of what another one did; rechecks and
        lies of both count.
        """
        changed = {
            each.name: mine
            for each in fields(self)
            if (mine := getattr(self, each.name)) != getattr(before, each.name)
        }
        rechecked = _rechecks(self.rechecks) - _rechecks(before.rechecks)
        changed["rechecks"] = _kept_rechecks(_rechecks(noted.rechecks) + rechecked)
        together = Credibility(heard=list(noted.heard))
        for seconds in (Counter(self.heard) - Counter(before.heard)).elements():
            together.hear(seconds)
        changed["heard"] = tuple(together.heard)
        changed["probed_at"] = noted.probed_at or self.probed_at
        return replace(noted, **changed)

    @property
    def hides_rows(self) -> str:
        """Whether an empty answer was ever caught hiding rows."""
        if self.probed_at is None:
            return CountMeaning.UNKNOWN.value
        return "yes" if any(seconds < 0 for seconds in self.heard) else "no"

    def changed(self, before: SearchHabits) -> dict[str, tuple[object, object]]:
        """What is known on both sides and differs: name to (before, now)."""
        pairs = {
            "result_count": (before.result_count.value, self.result_count.value),
            "order": (before.order and str(before.order), self.order and str(self.order)),
            "says_more": (before.says_more, self.says_more),
            "gives": (before.gives, self.gives),
            "hides_rows": (before.hides_rows, self.hides_rows),
        }
        return {
            name: pair
            for name, pair in pairs.items()
            if pair[0] != pair[1] and pair[0] not in (CountMeaning.UNKNOWN.value, None, False)
        }

    def to_text(self) -> str:
        kept = asdict(self)
        kept["probed_at"] = self.probed_at and self.probed_at.isoformat()
        kept["order"] = str(self.order or "")
        kept["sentinels"] = [[s.second.isoformat(), s.key] for s in self.sentinels]
        return json.dumps(
            {_STORED_AS.get(name, name): value for name, value in kept.items()}, sort_keys=True
        )

    @classmethod
    def from_text(cls, text: str) -> SearchHabits:
        """What `to_text` wrote; anything else counts as nothing known."""
        try:
            kept = json.loads(text)
            kept["probed_at"] = datetime.fromisoformat(kept["probed_at"]).astimezone(UTC)
            kept["result_count"] = CountMeaning(kept["result_count"])
            kept["order"] = Choice.from_text(kept["order"])
            kept["rechecks"] = tuple(
                (str(hint), int(a), int(b)) for hint, a, b in kept.pop("looks")
            )
            kept["heard"] = tuple(map(float, kept.get("heard", ())))
            kept["sentinels"] = tuple(
                Sentinel(datetime.fromisoformat(second).astimezone(UTC), key)
                for second, key in kept.pop("witnesses", ())
            )
            return cls(**kept)
        except (ValueError, TypeError, KeyError):
            return cls()


def _rechecks(kept: Collection[tuple[str, int, int]]) -> Rechecks:
    unfounded = {(hint, False): number for hint, number, _ in kept}
    return Counter(unfounded | {(hint, True): number for hint, _, number in kept})


def _kept_rechecks(rechecks: Rechecks) -> tuple[tuple[str, int, int], ...]:
    """Those of the hints that were met most: a service may word each warning anew."""
    met = Counter[str]()
    for (hint, _), number in rechecks.items():
        met[hint] += number
    often = sorted(hint for hint, _ in met.most_common(_MOST_HINTS))
    return tuple((hint, rechecks[hint, False], rechecks[hint, True]) for hint in often)


def _meaning(answer: SearchAnswer, cap: int) -> CountMeaning | None:
    """Only a full answer tells a total from a page's count; zero shows at once."""
    if not answer.rows or answer.result_count is None:
        return None
    if answer.result_count == 0:
        return CountMeaning.ZERO
    if answer.result_count > answer.rows:
        return CountMeaning.TOTAL
    return CountMeaning.PAGE if answer.rows >= cap else None
