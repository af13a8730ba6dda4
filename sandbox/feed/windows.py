"""startTime and endTime: they mean contentCreated, never event time (reference B 1.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.clock import MICROSECOND, instant, parse_instant
from sandbox.feed.refusals import FeedRefused
from sandbox.feed.switches import FeedSwitches

DAY = 86_400 * MICROSECOND
# The three documented forms; a fraction and a Z are what Elastic's client sends, and it works.
_FORM = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?Z?)?")


@dataclass(frozen=True)
class Window:
    """[start, end) in microseconds since 1970, and the texts that a NextPageUri repeats."""

    start: int
    end: int
    start_text: str
    end_text: str


def window_of(query: Mapping[str, str], switches: FeedSwitches, now: int) -> Window:
    """What the caller asked for, or AF20002, AF20030, AF20055."""
    texts = query.get("startTime", ""), query.get("endTime", "")
    if bool(texts[0]) != bool(texts[1]):
        raise FeedRefused("AF20030")
    if not texts[0]:
        return _window(now - DAY, now)
    start, end = _read("startTime", texts[0]), _read("endTime", texts[1])
    if end <= start or start < now - int(switches.lookback_hours * 3600 * MICROSECOND):
        raise FeedRefused(switches.window_code)
    if end - start > DAY:
        if switches.wide_windows == "refuse":
            raise FeedRefused(switches.window_code)
        end = start + DAY
    return Window(start, end, *texts)


def _window(start: int, end: int) -> Window:
    shown = (instant(each).strftime("%Y-%m-%dT%H:%M:%S") for each in (start, end))
    return Window(start, end, *shown)


def _read(name: str, text: str) -> int:
    if not _FORM.fullmatch(text):
        raise FeedRefused("AF20002", name=name, expected="datetime")
    try:
        return parse_instant(text)
    except ValueError as error:
        raise FeedRefused("AF20002", name=name, expected="datetime") from error
