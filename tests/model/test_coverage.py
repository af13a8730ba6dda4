"""Coverage: what findings prove of a range, which sources decide, and how a gap is worded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.model.coverage import (
    NOT_COLLECTED,
    Coverage,
    Stretch,
    decisive,
    derive,
    proves,
)
from trailkeeper.model.segment import MISSING, Finding, MergeCounts, Verdict
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Axis, Window, subtract, union

T0 = datetime(2026, 10, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = T0 + timedelta(days=30)
SEARCH = Stream("contoso", Source.EXCHANGE)
FEED = Stream("contoso", Source.ACTIVITY)


def window(start: float, end: float, axis: Axis = Axis.OCCURRED) -> Window:
    """Hours after `T0`."""
    return Window(T0 + start * HOUR, T0 + end * HOUR, axis)


RANGE = window(0, 10)


def found(
    start: float, end: float, verdict: Verdict, reason: str = "", seen: datetime = LATER
) -> Finding:
    return Finding(window(start, end), verdict, seen, reason)


def derived(
    *findings: Finding, settle: timedelta = timedelta(), outstanding: tuple[Stretch, ...] = ()
) -> Coverage:
    return derive(SEARCH, RANGE, findings, settle=settle, outstanding=outstanding)


def coverage(stream: Stream, *, complete: bool) -> Coverage:
    gaps = () if complete else (Stretch(RANGE, "a gap"),)
    return Coverage(stream, RANGE, (RANGE,) if complete else (), (), (), gaps)


FULL_SEARCH, OPEN_SEARCH = coverage(SEARCH, complete=True), coverage(SEARCH, complete=False)
FULL_FEED, OPEN_FEED = coverage(FEED, complete=True), coverage(FEED, complete=False)


@pytest.mark.parametrize(
    ("given", "decide", "proven"),
    [
        ((), (), False),
        ((FULL_SEARCH,), (FULL_SEARCH,), True),
        ((FULL_SEARCH, OPEN_FEED), (FULL_SEARCH,), True),
        ((FULL_SEARCH, FULL_FEED), (FULL_SEARCH, FULL_FEED), True),
        ((OPEN_SEARCH,), (OPEN_SEARCH,), False),
        ((OPEN_SEARCH, FULL_FEED), (OPEN_SEARCH, FULL_FEED), False),
        ((OPEN_SEARCH, OPEN_FEED), (OPEN_SEARCH, OPEN_FEED), False),
        ((FULL_FEED,), (FULL_FEED,), True),
        ((OPEN_FEED,), (OPEN_FEED,), False),
    ],
)
def test_which_sources_decide_a_month(
    given: tuple[Coverage, ...], decide: tuple[Coverage, ...], proven: bool
) -> None:
    """The search, complete, proves a month alone; the feed, complete, does not close the gaps of a
    search that is not."""
    assert decisive(given) == decide
    assert proves(given) is proven


def test_a_source_of_another_version_proves_nothing_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rules are not known here: every source has to be complete."""
    monkeypatch.setattr("trailkeeper.model.coverage.known_rules", dict)
    assert not proves((FULL_SEARCH, OPEN_FEED))


def test_what_nobody_asked_is_a_gap() -> None:
    """With the reason that it was not collected, unless somebody knows a better one."""
    parked = Stretch(window(2, 20), "parked: consent is missing")
    waiting = Stretch(window(4, 12), "queued")
    result = derived(found(0, 2, Verdict.COMPLETE), outstanding=(parked, waiting))
    assert result.complete == (window(0, 2),)
    assert result.gaps == (Stretch(window(2, 10), parked.reason),)
    assert not result.is_complete
    assert derived().gaps == (Stretch(RANGE, NOT_COLLECTED),)


def test_what_is_proven_stays_proven() -> None:
    """A later suspect answer takes nothing back; what it adds is suspect, with its reason."""
    result = derived(
        found(0, 6, Verdict.COMPLETE, seen=LATER),
        found(6, 7, Verdict.EMPTY_CONFIRMED, seen=LATER),
        found(4, 10, Verdict.SUSPECT, "two answers differ", seen=LATER + HOUR),
    )
    assert result.complete == (window(0, 7),)
    assert result.suspect == (Stretch(window(7, 10), "two answers differ"),)
    assert result.gaps == ()
    assert not result.is_complete
    assert result.complete_time == 7 * HOUR


def test_content_that_cannot_be_had_takes_proof_back() -> None:
    """A blob that shows up later and is missing opens time that was complete, until it is read."""
    missing = Finding(window(2, 3), Verdict.GAP, LATER + HOUR, "1 blob missing", {MISSING: 1})
    proof = found(0, 10, Verdict.COMPLETE)
    assert derived(proof, missing).gaps == (Stretch(window(2, 3), "1 blob missing"),)
    assert derived(missing, proof).gaps == (Stretch(window(2, 3), "1 blob missing"),)
    again = found(2, 3, Verdict.COMPLETE, seen=LATER + 2 * HOUR)
    assert derived(proof, missing, again).is_complete
    assert derived(missing).gaps[1] == Stretch(window(2, 3), "1 blob missing")


def test_the_newest_reason_words_a_gap() -> None:
    """And time that is lost says so; neighbours of one reason are one stretch."""
    result = derived(
        found(0, 5, Verdict.GAP, "an old reason", seen=LATER),
        found(2, 4, Verdict.LOST, "too old", seen=LATER + HOUR),
        found(4, 6, Verdict.LOST, "too old", seen=LATER + HOUR),
        found(8, 10, Verdict.SUSPECT, "first", seen=LATER),
        found(9, 10, Verdict.SUSPECT, "second", seen=LATER + HOUR),
    )
    assert result.gaps == (
        Stretch(window(0, 2), "an old reason"),
        Stretch(window(2, 6), "too old", lost=True),
        Stretch(window(6, 8), NOT_COLLECTED),
    )
    assert result.suspect == (Stretch(window(8, 9), "first"), Stretch(window(9, 10), "second"))


def test_stretches_of_one_reason_that_do_not_touch_stay_apart() -> None:
    """One stretch never spans time that is proven."""
    result = derived(found(2, 4, Verdict.COMPLETE))
    assert result.gaps == (
        Stretch(window(0, 2), NOT_COLLECTED),
        Stretch(window(4, 10), NOT_COLLECTED),
    )


@pytest.mark.parametrize(("read", "settled"), [(5, 0), (6, 0), (11, 5), (16, 10), (15.5, 9.5)])
def test_what_was_read_too_soon_is_provisional(read: float, settled: float) -> None:
    """It is complete, and late records may still come."""
    result = derived(found(0, 10, Verdict.COMPLETE, seen=T0 + read * HOUR), settle=6 * HOUR)
    assert result.is_complete
    expected = (window(settled, 10),) if settled < 10 else ()
    assert result.provisional == expected
    assert result.provisional_from == (expected[0].start if expected else None)


def test_only_the_asked_range_counts() -> None:
    """Findings that reach beyond it are cut, and those beside it say nothing."""
    result = derived(
        found(-5, 3, Verdict.COMPLETE),
        found(3, 20, Verdict.SUSPECT, "why"),
        found(20, 30, Verdict.COMPLETE),
    )
    assert result.complete == (window(0, 3),)
    assert result.suspect == (Stretch(window(3, 10), "why"),)


def test_coverage_as_json() -> None:
    """The object that `coverage --json` prints."""
    counts = MergeCounts(5, 3, 2, 1)
    findings = [
        found(0, 4, Verdict.COMPLETE, seen=T0 + 3 * HOUR),
        found(4, 5, Verdict.SUSPECT, "why"),
        found(5, 6, Verdict.LOST, "gone"),
    ]
    result = derive(SEARCH, RANGE, findings, settle=HOUR, counts=counts)
    assert result.as_json() == {
        "tenant": "contoso",
        "source": "exchange",
        "from": "2026-10-05T00:00:00Z",
        "to": "2026-10-05T10:00:00Z",
        "complete_seconds": 4 * 3600,
        "provisional_from": "2026-10-05T02:00:00Z",
        "suspect": [_json(4, 5, "why", lost=False)],
        "gaps": [_json(5, 6, "gone", lost=True), _json(6, 10, NOT_COLLECTED, lost=False)],
        "records_received": 5,
        "records_stored": 3,
        "duplicates": 2,
        "conflicts": 1,
    }


def _json(start: int, end: int, reason: str, *, lost: bool) -> dict[str, object]:
    return {
        "from": f"2026-10-05T{start:02}:00:00Z",
        "to": f"2026-10-05T{end:02}:00:00Z",
        "reason": reason,
        "lost": lost,
    }


FINDINGS = st.lists(
    st.builds(
        lambda start, length, verdict, seen: found(
            start, start + length, verdict, str(verdict), T0 + seen * HOUR
        ),
        st.integers(-3, 11),
        st.integers(1, 6),
        st.sampled_from(list(Verdict)),
        st.integers(0, 40),
    ),
    max_size=8,
)


@given(FINDINGS)
def test_complete_suspect_and_gaps_fill_the_range(findings: list[Finding]) -> None:
    """Whatever was found: they are disjoint and leave nothing out; provisional time is complete."""
    result = derived(*findings, settle=5 * HOUR)
    parts = [*result.complete, *(s.window for s in (*result.suspect, *result.gaps))]
    assert union(parts) == [RANGE]
    assert sum((part.duration for part in parts), timedelta()) == RANGE.duration
    assert subtract(result.provisional, result.complete) == []
