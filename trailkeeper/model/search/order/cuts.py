"""Where a full answer that was taken in no order is cut: where its rows lie."""

from __future__ import annotations

from collections import Counter

from trailkeeper.model.search.answer.rows import SECOND, UNTIMED, SearchAnswer, from_micros, micros
from trailkeeper.model.window import Window


def cut_by_rows(window: Window, answer: SearchAnswer, cap: int) -> tuple[Window, ...]:
    """Pieces that hold about equally many of the rows seen; plain halves when that cuts nothing.

    A full answer without order is a sample: cut where its rows lie, into as many pieces as the
    hinted total needs, at least two and at most sixteen. A crowded second becomes a piece by
    itself, and one that has most of the rows takes both its neighbours out of the others' reach:
    each question that touches it brings nothing but its rows.
    """
    hinted = (answer.result_count or 0) / (0.8 * cap)
    count = max(2, min(16, int(hinted) + 1))
    seconds = _seconds_within(window, answer)
    cuts = {seconds[len(seconds) * n // count] for n in range(1, count)} if seconds else set[int]()
    held = Counter(seconds)
    cuts |= {cut + 1 for cut in cuts if 2 * count * held[cut] >= len(seconds)}
    cuts |= {cut + n for cut in cuts if 2 * held[cut] > len(seconds) for n in (-1, 2)}
    pieces = window.split(*(from_micros(cut * 1_000_000) for cut in sorted(cuts)))
    return pieces if len(pieces) > 1 else window.halves()


def _seconds_within(window: Window, answer: SearchAnswer) -> list[int]:
    """The rows' seconds since 1970, ascending.

    Questions reach a second back, and some services include the end: a row just outside is brought
    by the first or the last second of `window`, and counts for that.
    """
    first, last = micros(window.start) // 1_000_000, micros(window.end - SECOND) // 1_000_000
    return sorted(min(max(t // 1_000_000, first), last) for t in answer.times if t != UNTIMED)
