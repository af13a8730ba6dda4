"""What a tenant's walks tell each other: of its order at once, of its habits when they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.clocks import HandClock
from trailkeeper.errors import Unavailable
from trailkeeper.microsoft.exchange.source import OrderNote, habits_key, order_key
from trailkeeper.model.search.answer.rows import Choice, Order, SearchAnswer, SearchLimits
from trailkeeper.model.search.habits import PROVEN_FOR, CountMeaning, SearchHabits
from trailkeeper.model.window import Window
from trailkeeper.ports.notes import Notebook
from trailkeeper.store.ledger import SqlLedger

NEWEST = Choice(Order.NEWEST_FIRST, Order.NONE)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=1), NOW)


def test_a_proof_is_known_to_others_for_a_week(ledger: SqlLedger) -> None:
    """And to no other tenant; what the walks' habits say stays as it was."""
    clock = HandClock(NOW)
    OrderNote(ledger, "contoso", clock).tell(NEWEST)
    assert OrderNote(ledger, "contoso", clock).known() == NEWEST
    assert OrderNote(ledger, "fabrikam", clock).known() is None
    assert ledger.noted(habits_key("contoso")) is None
    clock.time = NOW + PROVEN_FOR
    assert OrderNote(ledger, "contoso", clock).known() is None
    assert OrderNote(ledger, "contoso", clock).still_proven(NEWEST) == NEWEST


def test_the_last_proof_counts(ledger: SqlLedger) -> None:
    """A service that turns its order is proven anew, and the change is told with the habits."""
    clock = HandClock(NOW)
    note = OrderNote(ledger, "contoso", clock)
    turned = Choice(Order.OLDEST_FIRST, Order.OLDEST_FIRST)
    for choice in (NEWEST, turned):
        note.tell(choice)
    assert note.known() == turned
    assert note.still_proven(NEWEST) == turned


def test_a_note_that_nobody_can_read_holds_up_no_proof(ledger: SqlLedger) -> None:
    """One that claims no choice at all, or that another version wrote, is overwritten at once."""
    clock = HandClock(NOW)
    note = OrderNote(ledger, "contoso", clock)
    for text in ("", "none none", "sideways none"):
        ledger.note(order_key("contoso", "proven"), text, NOW)
        assert note.known() is None
        note.tell(NEWEST)
        assert note.known() == NEWEST


def test_habits_that_cannot_be_read_count_as_nothing_known() -> None:
    """Whatever stands where their order should."""
    text = SearchHabits(probed_at=NOW, order=NEWEST, gives=7).to_text()
    assert SearchHabits.from_text(text).order == NEWEST
    for other in ("true", "null", "[]", "7"):
        damaged = text.replace('"newest_first none"', other)
        assert SearchHabits.from_text(damaged).order is None


def test_a_disproof_wins(ledger: SqlLedger) -> None:
    """Chance proves what is not so; whoever finds out is believed for a week."""
    clock = HandClock(NOW)
    note = OrderNote(ledger, "contoso", clock)
    for choice in (NEWEST, None, NEWEST):
        note.tell(choice)
    assert note.known() is None
    assert note.still_proven(NEWEST) is None
    clock.time = NOW + PROVEN_FOR
    note.tell(NEWEST)
    assert note.known() == NEWEST


def test_a_disproof_that_is_told_in_the_midst_of_a_proof_wins(ledger: SqlLedger) -> None:
    """Walks tell at the same time: between the look of one and its note another one tells."""
    clock = HandClock(NOW)

    class Overtaken(Notebook):
        def noted(self, key: str) -> tuple[str, datetime] | None:
            return ledger.noted(key)

        def note(self, key: str, value: str, now: datetime) -> None:
            OrderNote(ledger, "contoso", clock).tell(None)
            ledger.note(key, value, now)

    OrderNote(Overtaken(), "contoso", clock).tell(NEWEST)
    assert OrderNote(ledger, "contoso", clock).known() is None
    assert OrderNote(ledger, "contoso", clock).still_proven(NEWEST) is None


def test_without_a_ledger_nothing_is_known_and_nothing_breaks() -> None:
    """A walk whose ledger is away for a moment finds out by itself."""

    class Away(Notebook):
        def noted(self, key: str) -> tuple[str, datetime] | None:
            raise Unavailable("the ledger is out of reach", "Wait.")

        def note(self, key: str, value: str, now: datetime) -> None:
            raise Unavailable("the ledger is out of reach", "Wait.")

    note = OrderNote(Away(), "contoso", HandClock(NOW))
    note.tell(NEWEST)
    assert note.known() is None
    assert [note.still_proven(before) for before in (NEWEST, None)] == [NEWEST, None]


def test_a_walk_that_found_nothing_out_takes_nothing_back() -> None:
    """Of two walks that began alike, the one that ends later adds only what it changed."""
    before = SearchHabits(probed_at=NOW, rechecks=(("count_zero", 1, 0),), largest_answer=100)
    busy = SearchHabits(
        probed_at=NOW,
        rechecks=(("count_zero", 1, 1), ("warning A", 3, 0)),
        largest_answer=137,
        gives=137,
        result_count=CountMeaning.PAGE,
    )
    idle = before
    assert busy.onto(before, before) == busy
    assert idle.onto(busy, before) == busy
    assert SearchHabits().onto(busy, SearchHabits()) == busy
    looks = (("count_zero", 2, 0), ("warning A", 1, 0), ("warning B", 0, 1))
    both = SearchHabits(probed_at=NOW, rechecks=looks).onto(busy, before)
    assert both.rechecks == (("count_zero", 2, 1), ("warning A", 4, 0), ("warning B", 0, 1))


def test_what_a_hint_was_worth_is_counted_over_all_walks() -> None:
    """A warning is thought to say nothing after a dozen looks, whoever made them, that brought
    nothing; one that brought more wants as many again."""
    warned = SearchAnswer(WINDOW, NOW, [str(n) for n in range(60)], [0] * 60, 0, ["All is well"])
    noted = before = SearchHabits(probed_at=NOW)
    reason = before.doubts(SearchLimits()).of(warned)
    assert reason == "warning All is well"

    def walk(*founded: bool) -> bool:
        """Walks beside each other, a look each; whether their next one looks again."""
        nonlocal noted, before
        for brought_more in founded:
            doubts = before.doubts(SearchLimits())
            (doubts.founded if brought_more else doubts.unfounded)(reason, warned)
            noted = before.doubting(doubts).onto(noted, before)
        noted = before = SearchHabits.from_text(noted.to_text())
        return bool(noted.doubts(SearchLimits()).of(warned))

    assert walk(*[False] * 11)
    assert not walk(False)
    assert walk(True)
    assert walk(*[False] * 11)
    assert not walk(False)


def test_a_service_that_words_each_warning_anew_fills_no_ledger() -> None:
    """Of its hints those are kept that were met most."""
    doubts = SearchHabits().doubts(SearchLimits())
    keys = [str(n) for n in range(60)]
    for number in [*range(1000), 7, 7]:
        warned = SearchAnswer(WINDOW, NOW, keys, [0] * 60, 0, [f"All is well, id {number}"])
        doubts.unfounded(doubts.of(warned), warned)
    kept = SearchHabits(probed_at=NOW).doubting(doubts)
    assert len(kept.to_text()) < 5000
    assert ("warning All is well, id 7", 3, 0) in kept.rechecks


def test_the_lies_of_walks_at_the_same_time_are_all_remembered() -> None:
    """Each heard some of them; what both began with counts once."""
    before = SearchHabits(probed_at=NOW, heard=(60.0, -3600.0))
    one = replace(before, heard=(*before.heard, -900.0, -900.0))
    other = replace(before, heard=(*before.heard, 120.0, -1800.0))
    noted = other.onto(one.onto(before, before), before)
    assert sorted(noted.heard) == [-3600.0, -1800.0, -900.0, -900.0, 60.0, 120.0]
    assert before.onto(noted, before) == noted
