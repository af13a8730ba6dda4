"""What of a window one walk keeps, and what it gives to others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.test_search_walk import (
    DAY,
    FAULTS,
    LIMITS,
    NEWEST,
    Service,
    _missing_but_proven,
    _spread,
)
from trailkeeper.model.measures.density import Density
from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.rows import Choice
from trailkeeper.model.search.sharing import shares
from trailkeeper.model.search.walk import SearchWalk
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window, subtract, total, union

HOUR = timedelta(hours=1)


class Others(Turn):
    """`places` others that are free, once each; everything that was given to them."""

    def __init__(self, places: int, window: Window = DAY, *, refuses: bool = False) -> None:
        self.places, self.refuses = places, refuses
        self.kept = window
        self.given: list[Window] = []
        self.answers: list[bool] = []

    def answered(self, *, clean: bool) -> None:
        self.answers.append(clean)

    def room(self) -> int:
        return self.places - len(self.given)

    def share(self, kept: Window, given: Sequence[Window]) -> bool:
        if self.refuses:
            return False
        assert union([kept, *given]) == [self.kept]
        assert total([kept, *given]) == kept.duration + sum((w.duration for w in given), 0 * HOUR)
        self.kept = kept
        self.given += given
        return True


class Telling(Service):
    """A service whose walks tell each other that its order is proven."""

    proven: Choice | None = None
    refuted = False

    def order_known(self) -> Choice | None:
        return self.proven

    def tell_order(self, choice: Choice | None) -> None:
        self.refuted = self.refuted or not choice
        self.proven = None if self.refuted else choice


@settings(deadline=None)
@given(st.integers(1, 10**6), st.floats(0, 500), st.integers(-3, 10), st.booleans())
def test_shares_are_the_whole(seconds: int, calls: float, places: int, learned: bool) -> None:
    """Parts follow each other, are no more than the places, and lose nothing."""
    rest = Window(DAY.start, DAY.start + timedelta(seconds=seconds))
    density = Density()
    if learned:
        hours = {hour: hour % 7 for hour in range(10**6 // 3600)}
        density = density.learn([Window(DAY.start, DAY.start + 40 * HOUR)], hours)
    parts = shares(rest, calls, places, density)
    assert 1 <= len(parts) <= max(1, places)
    assert (parts[0].start, parts[-1].end) == (rest.start, rest.end)
    assert all(a.end == b.start for a, b in pairwise(parts))


def test_a_walk_alone_keeps_everything() -> None:
    """Without a free place nothing is given away."""
    walk, others = _shared(Service(_spread(1000)), Others(0))
    assert others.given == []
    assert union(f.window for f in walk.findings) == [DAY]


def test_free_places_get_equal_parts_of_the_rest() -> None:
    """Two others take a third each of what is left after the first answer, from the far end."""
    service = Service(_spread(1000))
    walk, others = _shared(service, Others(2))
    assert len(others.given) == 2
    assert union(f.window for f in walk.findings) == [others.kept]
    assert others.kept.end == DAY.end
    calls = [len(service._within(window)) / LIMITS.cap for window in (others.kept, *others.given)]
    assert max(calls) < 1.3 * min(calls)
    assert not _missing_but_proven(service, walk.findings)


def test_an_oldest_first_service_gives_its_newest_end() -> None:
    """The far end is where the answers have not been yet."""
    walk, others = _shared(Service(_spread(1000), order="oldest_first"), Others(1))
    assert others.kept.start == DAY.start
    assert [w.end for w in others.given] == [DAY.end]
    assert union(f.window for f in walk.findings) == [others.kept]


def test_a_service_without_order_gives_its_oldest_pieces() -> None:
    """Where the rows of an answer only show where to cut, the pieces are what is given."""
    service = Service(_spread(1000), order="none")
    walk, others = _shared(service, Others(2))
    assert len(others.given) == 2
    assert others.kept.end == DAY.end
    assert union(f.window for f in walk.findings) == [others.kept]
    rows = [len(service._within(window)) for window in (others.kept, *others.given)]
    assert max(rows) < 2 * min(rows)  # cut by fifty of a thousand rows
    assert not _missing_but_proven(service, walk.findings)


def test_what_nobody_could_take_is_asked_here() -> None:
    """A share that the ledger refuses changes nothing."""
    walk, _ = _shared(Service(_spread(1000)), Others(2, refuses=True))
    assert union(f.window for f in walk.findings) == [DAY]


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 5), st.integers(0, 3))
def test_findings_stay_with_what_is_kept(records: int, places: int, seed: int) -> None:
    """Whatever is given, the walk concludes all it keeps and nothing else."""
    service = Service(_spread(records, seed))
    walk, others = _shared(service, Others(places))
    assert union(f.window for f in walk.findings) == [others.kept]
    assert subtract([DAY], [others.kept]) == union(others.given)
    assert not _missing_but_proven(service, walk.findings)


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.sampled_from(FAULTS), max_size=4, unique=True),
    st.sampled_from([0.1, 0.3]),
    st.sampled_from(["newest_first", "oldest_first", "shuffled", "none"]),
    st.integers(0, 1500),
)
def test_what_is_shared_is_never_silently_short(
    seed: int, faults: list[str], rate: float, order: str, rows: int
) -> None:
    """Walks that share a lying service's window, and what they know of its order, prove only what
    is so; what is given and what is kept is concluded by somebody, unless an error stops it."""
    service = Telling(_spread(rows, seed), faults=faults, rate=rate, seed=seed, order=order)
    todo, findings, stopped = [DAY], [], False
    while todo:
        others = Others(2, todo.pop())
        known = Doubts(LIMITS, counts=service.counted)
        walk = SearchWalk(service, others.kept, LIMITS, known_doubts=known, turn=others)
        findings += walk.run()
        stopped = stopped or walk.interrupted is not None
        todo += others.given
    assert not _missing_but_proven(service, findings)
    assert stopped or union(f.window for f in findings) == [DAY]
    assert all(a.end <= b.start for a, b in pairwise(sorted(f.window for f in findings)))


def test_each_answer_is_told() -> None:
    """The pace hears of every answer, and which were not clean."""
    clean = _shared(Service(_spread(1000)), Others(0))[1]
    assert clean.answers
    assert all(clean.answers)
    mixed = _shared(Service(_spread(1000), faults=["warning", "reset"], rate=0.5), Others(0))[1]
    assert {True, False} == set(mixed.answers)


def test_the_order_is_proven_once_for_all_walks() -> None:
    """A walk that hears that another has proven the order asks no proof of its own."""
    proving, knowing = Service(_spread(1000)), Service(_spread(1000))
    knowing.order_known = lambda: NEWEST  # type: ignore[method-assign]  # as another walk told
    first, second = _shared(proving, Others(0))[0], _shared(knowing, Others(0))[0]
    assert first.order.proven == NEWEST
    assert second.calls.made == first.calls.made - 1


def _shared(service: Service, others: Others) -> tuple[SearchWalk, Others]:
    walk = SearchWalk(service, DAY, LIMITS, turn=others)
    walk.run()
    return walk, others
