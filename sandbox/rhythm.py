"""When records occur: office days, quiet nights and weekends, service batches, bursts.

Numbers from the load profile: 87 % of a day between 07:00 and 18:00, a weekend 5 % of the week,
two processes: services (one actor, dozens of near-identical records within a minute) and people
(about three a minute while active).
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from sandbox.clock import MICROSECOND, instant
from sandbox.templates import KINDS

DAY = 86_400
_BATCHES = 0.16  # share of groups that are batches: with their size, a third of all records


def _office_hours(night: float) -> list[float]:
    day = [4, 8, 11, 11, 9, 7, 9, 10, 9, 6, 3]  # 07:00 to 18:00
    return [night / 13 * 87] * 7 + [float(w) for w in day] + [night / 13 * 87] * 6


@dataclass(frozen=True)
class Rhythm:
    """How the week looks: weights of the hours, a weekend day against a weekday, day noise."""

    hours: list[float]
    weekend: float
    noise: float


RHYTHMS: dict[str, Rhythm] = {
    "office": Rhythm(_office_hours(0.15), 0.13, 0.35),
    "empty-nights": Rhythm(_office_hours(0.0), 0.0, 0.2),
    "steady": Rhythm([1.0] * 24, 1.0, 0.0),
}


@dataclass
class Timeline:
    """Parallel columns, one entry a record: second of occurrence, kind, actor."""

    seconds: array[int] = field(default_factory=lambda: array("q"))
    kinds: array[int] = field(default_factory=lambda: array("B"))
    actors: array[int] = field(default_factory=lambda: array("H"))

    def note(self, second: int, kind: int, actor: int) -> None:
        self.seconds.append(second)
        self.kinds.append(kind)
        self.actors.append(actor)

    def sorted(self) -> Timeline:
        """The same records in the order of their seconds."""
        order = sorted(range(len(self.seconds)), key=self.seconds.__getitem__)
        return Timeline(
            array("q", [self.seconds[i] for i in order]),
            array("B", [self.kinds[i] for i in order]),
            array("H", [self.actors[i] for i in order]),
        )


def _chooser(by_service: bool, rng: random.Random) -> Callable[[], int]:
    kinds = [i for i, kind in enumerate(KINDS) if kind.by_service is by_service]
    borders = list(accumulate(KINDS[i].share for i in kinds))
    total = borders[-1]
    return lambda: kinds[min(bisect(borders, rng.random() * total), len(kinds) - 1)]


def people_kind(rng: random.Random) -> Callable[[], int]:
    """Draws kinds in the mix of what people do."""
    return _chooser(False, rng)


class Week:
    """Draws records day by day; the same seed gives the same records."""

    def __init__(self, seed: str, rate: float, rhythm: str) -> None:
        self._rng = random.Random(seed)
        self._rate = rate
        self._rhythm = RHYTHMS[rhythm]
        self._people = min(60_000, max(5, int(rate / 40)))
        self._service_kind = _chooser(True, self._rng)
        self._people_kind = _chooser(False, self._rng)

    def fill(self, start: int, end: int) -> Timeline:
        """All records of [start, end), microseconds since 1970."""
        found = Timeline()
        low, high = start // MICROSECOND, end // MICROSECOND
        for midnight in range(low - low % DAY, high, DAY):
            self._day(found, midnight, low, high)
        return found.sorted()

    def _day(self, found: Timeline, midnight: int, low: int, high: int) -> None:
        weekend = instant(midnight * MICROSECOND).weekday() >= 5
        mean = self._rate * (self._rhythm.weekend if weekend else 1.0)
        noise = self._rng.lognormvariate(0, self._rhythm.noise) if self._rhythm.noise else 1.0
        wanted = int(mean * noise + self._rng.random())
        made = 0
        while made < wanted:
            made += self._group(found, midnight, wanted - made, (low, high))

    def _group(self, found: Timeline, midnight: int, room: int, limits: tuple[int, int]) -> int:
        hour = self._rng.choices(range(24), self._rhythm.hours)[0]
        second = midnight + hour * 3600 + self._rng.randrange(3600)
        make = self._batch if self._rng.random() < _BATCHES else self._visit
        return make(found, second, room, (limits[0], min(limits[1], midnight + DAY)))

    def _batch(self, found: Timeline, second: int, room: int, limits: tuple[int, int]) -> int:
        """One actor, dozens of near-identical records within a minute."""
        size = min(room, 12 + int(self._rng.expovariate(1 / 25)))
        kind, actor = self._service_kind(), self._rng.randrange(self._people)
        for _ in range(size):
            at = second + self._rng.randrange(60)
            if limits[0] <= at < limits[1]:
                found.note(at, kind, actor)
        return size

    def _visit(self, found: Timeline, second: int, room: int, limits: tuple[int, int]) -> int:
        """One person, some twenty seconds between records."""
        size = min(room, 1 + int(self._rng.expovariate(1 / 12)))
        actor, at = self._rng.randrange(self._people), float(second)
        for _ in range(size):
            if limits[0] <= at < limits[1]:
                found.note(int(at), self._people_kind(), actor)
            at += self._rng.expovariate(1 / 20)
        return size


def burst(seed: str, start: int, seconds: int, count: int, kind: int | None = None) -> Timeline:
    """`count` records evenly over `seconds` from `start`, of one kind or of people's mix."""
    rng = random.Random(seed)
    draw = _chooser(False, rng)
    found = Timeline()
    first = start // MICROSECOND
    for i in range(count):
        chosen = draw() if kind is None else kind
        found.note(first + i * seconds // count, chosen, rng.randrange(500))
    return found
