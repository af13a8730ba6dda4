"""What a tenant's walks tell each other: of its order at once, of its habits when they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.clocks import HandClock
from trailkeeper.errors import Unavailable
from trailkeeper.microsoft.exchange import OrderNote, habits_key
from trailkeeper.model.search import SearchAnswer, SearchLimits
from trailkeeper.model.search_habits import PROVEN_FOR, CountMeaning, SearchHabits
from trailkeeper.model.window import Window
from trailkeeper.ports import Notebook
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=1), NOW)


def test_a_proof_is_known_to_others_for_a_week(ledger: SqlLedger) -> None:
    """And to no other tenant; what the walks' habits say stays as it was."""
    clock = HandClock(NOW)
    OrderNote(ledger, "contoso", clock).tell(proven=True)
    assert OrderNote(ledger, "contoso", clock).known()
    assert not OrderNote(ledger, "fabrikam", clock).known()
    assert ledger.noted(habits_key("contoso")) is None
    clock.time = NOW + PROVEN_FOR
    assert not OrderNote(ledger, "contoso", clock).known()
    assert OrderNote(ledger, "contoso", clock).still_proven(before=True)


def test_a_disproof_wins(ledger: SqlLedger) -> None:
    """Chance proves what is not so; whoever finds out is believed for a week."""
    clock = HandClock(NOW)
    note = OrderNote(ledger, "contoso", clock)
    for proven in (True, False, True):
        note.tell(proven=proven)
    assert not note.known()
    assert not note.still_proven(before=True)
    clock.time = NOW + PROVEN_FOR
    note.tell(proven=True)
    assert note.known()


def test_a_disproof_that_is_told_in_the_midst_of_a_proof_wins(ledger: SqlLedger) -> None:
    """Walks tell at the same time: between the look of one and its note another one tells."""
    clock = HandClock(NOW)

    class Overtaken(Notebook):
        def noted(self, key: str) -> tuple[str, datetime] | None:
            return ledger.noted(key)

        def note(self, key: str, value: str, now: datetime) -> None:
            OrderNote(ledger, "contoso", clock).tell(proven=False)
            ledger.note(key, value, now)

    OrderNote(Overtaken(), "contoso", clock).tell(proven=True)
    assert not OrderNote(ledger, "contoso", clock).known()
    assert not OrderNote(ledger, "contoso", clock).still_proven(before=True)


def test_without_a_ledger_nothing_is_known_and_nothing_breaks() -> None:
    """A walk whose ledger is away for a moment finds out by itself."""

    class Away(Notebook):
        def noted(self, key: str) -> tuple[str, datetime] | None:
            raise Unavailable("the ledger is out of reach", "Wait.")

        def note(self, key: str, value: str, now: datetime) -> None:
            raise Unavailable("the ledger is out of reach", "Wait.")

    note = OrderNote(Away(), "contoso", HandClock(NOW))
    note.tell(proven=True)
    assert not note.known()
    assert (note.still_proven(before=True), note.still_proven(before=False)) == (True, False)


def test_a_walk_that_found_nothing_out_takes_nothing_back() -> None:
    """Of two walks that began alike, the one that ends later adds only what it changed."""
    before = SearchHabits(probed_at=NOW, harmless=("count_zero", "other"), largest_answer=100)
    busy = SearchHabits(
        probed_at=NOW,
        harmless=("other", "warning"),
        largest_answer=137,
        gives=137,
        result_count=CountMeaning.PAGE,
    )
    idle = before
    assert busy.onto(before, before) == busy
    assert idle.onto(busy, before) == busy
    assert SearchHabits().onto(busy, SearchHabits()) == busy
    both = SearchHabits(probed_at=NOW, harmless=("count_zero", "more", "other")).onto(busy, before)
    assert both.harmless == ("more", "other", "warning")


def test_a_hint_that_was_borne_out_is_harmless_no_more() -> None:
    """Another walk found the same warning harmless meanwhile; the next one looks twice again."""
    warned = SearchAnswer(WINDOW, NOW, [str(n) for n in range(60)], [0] * 60, 0, ["All is well"])
    before = SearchHabits(probed_at=NOW)
    trusting, caught = before.doubts(SearchLimits()), before.doubts(SearchLimits())
    reason = trusting.of(warned)
    trusting.unfounded(reason, warned)
    assert not trusting.of(warned)
    noted = before.doubting(trusting).onto(before, before, trusting.borne_out)
    caught.founded(reason, warned)
    noted = before.doubting(caught).onto(noted, before, caught.borne_out)
    assert noted.doubts(SearchLimits()).of(warned) == reason


def test_the_lies_of_walks_at_the_same_time_are_all_remembered() -> None:
    """Each heard some of them; what both began with counts once."""
    before = SearchHabits(probed_at=NOW, heard=(60.0, -3600.0))
    one = replace(before, heard=(*before.heard, -900.0, -900.0))
    other = replace(before, heard=(*before.heard, 120.0, -1800.0))
    noted = other.onto(one.onto(before, before), before)
    assert sorted(noted.heard) == [-3600.0, -1800.0, -900.0, -900.0, 60.0, 120.0]
    assert before.onto(noted, before) == noted
