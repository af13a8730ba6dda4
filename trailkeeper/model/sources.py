"""What is true of each source: one entry a source, and nobody else asks which one it is.

A step asks the rules of a stream's source how it is planned, cut, enqueued, repaired and matched.
A new source is its folder in `microsoft/`, an entry here, and its adapter in `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from trailkeeper.model.feed import rules as feed
from trailkeeper.model.feed.rules import FeedCadence
from trailkeeper.model.measures.density import Density
from trailkeeper.model.measures.lateness import Lateness
from trailkeeper.model.planning import Cadence, Watermark, plan_range, plan_stream
from trailkeeper.model.segment import Finding, NewSegment
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window


@dataclass(frozen=True, slots=True)
class Known:
    """What planning may know of a stream beside its watermark."""

    search: Cadence = field(default_factory=Cadence)
    """how sources are followed that are asked by occurrence"""
    feed: FeedCadence = field(default_factory=FeedCadence)
    """how sources are followed that are asked by availability"""
    density: Density = field(default_factory=Density)
    """how many records the tenant's week holds, as learned"""
    lateness: Lateness = field(default_factory=Lateness)
    """how late the stream's records arrive, as learned"""


Plan = Callable[[Stream, datetime, Known, datetime, Watermark | None], Iterable[NewSegment]]
"""(stream, wanted from, known, now, watermark) → the segments to add"""
Cut = Callable[[Stream, Window, Known], list[NewSegment]]
"""(stream, window, known) → the segments of an operator's request"""
Repair = Callable[[Sequence[Finding], Sequence[Stream], datetime], list[NewSegment]]
"""(findings, the tenant's streams, now) → searches elsewhere for what this source lost"""


def _no_repair(
    findings: Sequence[Finding], streams: Sequence[Stream], now: datetime
) -> list[NewSegment]:
    return []


@dataclass(frozen=True, slots=True)
class SourceRules:
    """The rules of one source. The defaults are those of a plain search by occurrence."""

    title: str
    """as a report names the source"""
    plan: Plan
    cut: Cut
    proves_alone: bool = True
    """complete, it proves a month of occurrences by itself"""
    oldest: Callable[[datetime], datetime] | None = None
    """now → the oldest instant the provider still answers for; None: it refuses nothing for age"""
    beyond_oldest: str = ""
    """why older time is lost"""
    polled: bool = False
    """fresh windows are polls: enqueued at their own turn, one a tenant, soon done"""
    backlog_at_once: int = 4
    """segments of a backlog that are enqueued when one of them is done"""
    large_bytes: int | None = None
    """a pull that landed this much and left a rest had enough: the rest is due at once"""
    relies_on_earlier: bool = False
    """a later look proves its window by what an earlier one fetched: without that, it proves
    nothing"""
    repair: Repair = _no_repair
    matched: bool = True
    """its records are matched by Id with those of the tenant's other matched sources"""
    left_out: Callable[[bool], tuple[int, ...]] = lambda dlp: ()
    """whether DLP records are asked for → the record types that this source is not asked for"""
    learns_density: bool = False
    """its windows are cut by how many records the tenant's week holds, as it learned"""
    learns_lateness: bool = False
    """it is read again for late records, and learns how late they come"""
    measures_delay: bool = False
    """it names when content became available, so that the ingestion delay has two halves"""
    own_processes: bool = False
    """a pull parses more than it waits: `collect` gives it processes instead of threads"""


def rules_of(source: Source) -> SourceRules:
    """Raises `KeyError` for a source that this version has no rules for."""
    return _RULES[source]


def known_rules() -> Mapping[Source, SourceRules]:
    """The rules of every source that can be read."""
    return _RULES


def register(source: Source, rules: SourceRules) -> None:
    """Add the rules of one source."""
    _RULES[source] = rules


def title_of(source: Source) -> str:
    """As a report names the source; its bare name where this version cannot read it."""
    return _RULES[source].title if source in _RULES else source.value


def _plan_search(
    stream: Stream, begin: datetime, known: Known, now: datetime, watermark: Watermark | None
) -> Iterator[NewSegment]:
    cadence = replace(known.search, rounds=known.lateness.ages(known.search.reread_after))
    return plan_stream(stream, begin, cadence, known.density, now, watermark)


def _cut_search(stream: Stream, window: Window, known: Known) -> list[NewSegment]:
    return plan_range(stream, window, known.search, known.density)


def _plan_feed(
    stream: Stream, begin: datetime, known: Known, now: datetime, watermark: Watermark | None
) -> Iterator[NewSegment]:
    return feed.plan_feed(stream, begin, known.feed, now, watermark)


def _cut_feed(stream: Stream, window: Window, known: Known) -> list[NewSegment]:
    return feed.plan_feed_range(stream, window)


def _repair_feed(
    findings: Sequence[Finding], streams: Iterable[Stream], now: datetime
) -> list[NewSegment]:
    return feed.repairs(feed.lost_hours(findings), streams, now)


_RULES: dict[Source, SourceRules] = {
    Source.EXCHANGE: SourceRules(
        title="Exchange audit search",
        plan=_plan_search,
        cut=_cut_search,
        learns_density=True,
        learns_lateness=True,
        own_processes=True,
    ),
    Source.ACTIVITY: SourceRules(
        title="Management Activity feed",
        plan=_plan_feed,
        cut=_cut_feed,
        proves_alone=False,
        oldest=feed.horizon,
        beyond_oldest=feed.SEVEN_DAYS_ONLY,
        polled=True,
        backlog_at_once=1,
        large_bytes=1 << 20,
        relies_on_earlier=True,
        repair=_repair_feed,
        left_out=lambda dlp: () if dlp else feed.DLP_RECORD_TYPES,
        measures_delay=True,
    ),
}
