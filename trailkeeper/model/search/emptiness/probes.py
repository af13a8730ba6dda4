"""Which other questions about a time that came back empty could bring rows that were hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from trailkeeper.model.search.answer.rows import SECOND
from trailkeeper.model.segment import Finding
from trailkeeper.model.window import Window


def usual_probes(window: Window, busy_hour: int) -> list[Window]:
    """What to ask when nothing speaks against the emptiness of `window`, and no row is known.

    Its halves, and hours when work usually happens: the narrow questions catch a service that
    answers nothing to large ones, be they large by their length or by what they hold.
    """
    halves = window.halves()
    if len(halves) < 2:
        return [window]
    if window.duration > _LONG and (hours := busy_hours(window, busy_hour)):
        return [*halves, *hours[:_PROBES], *_closer(hours[0])]
    start = (window.start + window.duration * 15 / 32).replace(microsecond=0)
    middle = Window(start, start + max(SECOND, window.duration / 16), window.axis)
    return [*halves, *filter(None, [middle.intersect(window)])]


def first_probes(window: Window, busy_hour: int) -> list[Window]:
    """What to ask beyond `usual_probes` when no row of this tenant was ever seen.

    Pieces that cover all of `window`, and all hours of a working day: one row is enough to learn
    from, wherever and however it is hidden.
    """
    if window.duration < _PIECES * SECOND:
        return []
    cuts = (window.start + window.duration * n / _PIECES for n in range(1, _PIECES))
    probes = list(window.split(*(cut.replace(microsecond=0) for cut in cuts)))
    if window.duration > _PIECES * _PROBE:
        for hour in busy_hours(window, busy_hour)[:1]:
            midnight = hour.start.replace(hour=0, minute=0)
            probes += Window(midnight, midnight + timedelta(days=1), window.axis).pieces(_PROBE)
    return [probe for each in probes if (probe := each.intersect(window))]


def stretched(window: Window, count: int) -> Iterator[Window]:
    """Questions that hold `window` and a little more after or before it, each other: none is
    answered from a memory, and rows of the margin are sentinels."""
    for n in range(1, count + 1):
        margin = max(n * SECOND, window.duration * n / 32)
        start, end = (
            (window.start, window.end + margin) if n % 2 else (window.start - margin, window.end)
        )
        yield Window(start.replace(microsecond=0), end.replace(microsecond=0), window.axis)


def in_two(window: Window, count: int) -> Iterator[tuple[Window, ...]]:
    """Pairs of questions that hold `window` and nothing beside it, cut at another place each."""
    for n in range(1, count + 1):
        cut = window.start + window.duration * n / (count + 1)
        yield window.split(cut.replace(microsecond=0))


def _closer(probe: Window) -> Iterator[Window]:
    """Ever shorter questions about the middle of `probe`, down to a second or two."""
    length = probe.duration / 5
    while length >= SECOND:
        start = (probe.start + (probe.duration - length) / 2).replace(microsecond=0)
        yield Window(start, start + length, probe.axis)
        length /= 5


def busy_hours(window: Window, busy_hour: int) -> list[Window]:
    """The hours in `window` at which work usually happens, weekdays and the middle first."""
    day = window.start.replace(hour=busy_hour, minute=5, second=0, microsecond=0)
    hours = []
    while day < window.end:
        probe = Window(day, day + _PROBE, window.axis).intersect(window)
        if probe:
            hours.append(probe)
        day += timedelta(days=1)
    middle = window.start + window.duration / 2
    return sorted(hours, key=lambda w: (w.start.weekday() > 4, abs(w.start - middle)))


def sparse_stretch(findings: Iterable[Finding], length: timedelta, most: int) -> Window | None:
    """`length` of the time that `findings` prove on end, with at most `most` rows, but some.

    Counted by whole findings, so that no row is missed.
    """
    run: list[Finding] = []
    for finding in sorted(findings, key=lambda f: f.window):
        if run and run[-1].window.end != finding.window.start:
            run = []
        run.append(finding)
        while len(run) > 1 and finding.window.end - run[1].window.start >= length:
            del run[0]
        start, rows = run[0].window.start, sum(_rows(f) for f in run)
        if finding.window.end - start >= length and 0 < rows <= most:
            return Window(start, start + length, finding.window.axis)
    return None


def _rows(finding: Finding) -> int:
    rows = finding.evidence.get("rows", 0)
    return rows if isinstance(rows, int) else 0


_LONG = timedelta(hours=2)
_PROBES = 4
_PIECES = 16
_PROBE = timedelta(minutes=50)
"""less than an hour, so that a service which fails from an hour on answers it"""
