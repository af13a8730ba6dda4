"""[collection]: how often, how late and how long; contradictions are refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import model_validator

from trailkeeper.model.feed.rules import FeedCadence
from trailkeeper.model.planning import Cadence
from trailkeeper.model.sources import Known
from trailkeeper.settings.fields import Duration, Section

_OLDEST_RELIST = timedelta(days=6, hours=21)
"""an hour closes, waits for its tick and is listed: two hours and more inside the horizon"""


def _ascends(ages: tuple[timedelta, ...]) -> bool:
    return list(ages) == sorted(set(ages))


class CollectionSettings(Section):
    """See `trailkeeper.model.planning.Cadence` for what each duration trades."""

    interval: Duration = timedelta(minutes=30)
    safety_lag: Duration = timedelta(minutes=5)
    segment_length: Duration = timedelta(days=31)
    reread_after: tuple[Duration, ...] = Cadence().reread_after
    feed_interval: Duration = FeedCadence().interval
    """how often the Activity feed is asked; see `trailkeeper.model.feed.rules.FeedCadence`"""
    feed_safety_lag: Duration = FeedCadence().safety_lag
    feed_relist_after: tuple[Duration, ...] = FeedCadence().relist_after
    """ages at which the feed's closed hours are listed again for late blobs"""
    settle: Duration = timedelta(hours=24)
    """how long late records are expected; younger time is complete but provisional, and a month
    is not reported before it has settled"""
    report_grace: Duration = timedelta(days=5)
    """longest wait for a month's missing parts before it is reported with its gaps named"""

    @model_validator(mode="after")
    def _durations_agree(self) -> Self:
        minute, day = timedelta(minutes=1), timedelta(days=1)
        rules = (
            (_ascends(self.reread_after), "reread_after must ascend, for example ['6h', '24h']"),
            (_ascends(self.feed_relist_after), "feed_relist_after must ascend, as ['3h', '24h']"),
            (
                not self.reread_after or self.reread_after[-1] <= 180 * day,
                "reread_after must not pass 180d: the audit search forgets after that",
            ),
            (
                not self.feed_relist_after or self.feed_relist_after[-1] <= _OLDEST_RELIST,
                "feed_relist_after must not pass 165h: the feed forgets after 7d",
            ),
            (
                minute <= self.interval <= day,
                "interval must be from 1m, beat's tick, to 24h: a day is asked for as a whole",
            ),
            (minute <= self.feed_interval <= day, "feed_interval must be from 1m to 24h"),
            (self.safety_lag <= day, "safety_lag must not pass 24h: newer time is never asked for"),
            (self.feed_safety_lag <= day, "feed_safety_lag must not pass 24h"),
            (
                self.interval <= self.segment_length <= 366 * day,
                "segment_length must be from interval to 366d",
            ),
            (
                self.settle <= self.report_grace <= 366 * day,
                "report_grace must be from settle to 366d",
            ),
        )
        for holds, text in rules:
            if not holds:
                raise ValueError(text)
        return self

    def known(self, slots: int) -> Known:
        """What planning knows of any stream; `slots`: `searches_per_tenant` of the service."""
        return Known(search=self.cadence(slots), feed=self.feed_cadence())

    def feed_cadence(self) -> FeedCadence:
        return FeedCadence(
            interval=self.feed_interval,
            safety_lag=self.feed_safety_lag,
            relist_after=self.feed_relist_after,
        )

    def cadence(self, slots: int) -> Cadence:
        """`slots`: `searches_per_tenant` of the service."""
        return Cadence(
            interval=self.interval,
            safety_lag=self.safety_lag,
            segment_length=self.segment_length,
            reread_after=self.reread_after,
            slots=slots,
        )
