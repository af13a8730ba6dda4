"""A run from its seed: the same seed gives the same tenant, the same faults, in the same order."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.conductor.faults import NETWORK, POINTS, SIDES, Act, Kind

_KILLS = tuple(f"{name}:{side}" for name in POINTS for side in SIDES)
_NEEDS_DAMAGE = ("segment.set_aside", "landing.set_aside")


@dataclass(frozen=True)
class Plan:
    seed: int
    rate: int
    """records a weekday"""
    days: tuple[int, ...]
    """counted from the month's first, on which something happens; the last lie after it"""
    segment_days: int
    acts: tuple[Act, ...]
    must_hit: tuple[str, ...] = ()
    """crash points, as name:side, at which a process has to be killed"""

    @property
    def tenant(self) -> str:
        return f"t{self.seed:05d}"


def plan_of(seed: int) -> Plan:
    """Two kills in turn, so that any 24 seeds in a row pass every point on both sides; and one to
    three other faults by lot."""
    dice = random.Random(f"conductor/{seed}")
    turn = [_KILLS[(2 * seed + n) % len(_KILLS)] for n in range(2)]
    # First, so that no other life has done the work when they come to their steps.
    acts = [_kill(point, dice) for point in turn]
    acts += sorted((_other(dice) for _ in range(dice.randint(1, 3))), key=_when)
    acts = [part for act in acts for part in _prepared(act, dice)]
    # Spread: it takes many questions to prove that a long time holds nothing.
    rate, days = dice.choice([20, 60, 200]), tuple(n + dice.randint(0, 2) for n in range(0, 33, 6))
    return Plan(seed, rate, days, dice.choice([10, 16, 31]), tuple(acts), tuple(turn))


def _kill(point: str, dice: random.Random) -> Act:
    words = {}
    if point.startswith("segment.release"):
        words = {"network": ("server_error", {"calls": ["search"], "times": 40})}
    return Act(Kind.KILL, f"{point}:1:kill", words)


def _other(dice: random.Random) -> Act:
    kind = dice.choice([kind for kind in Kind if kind is not Kind.DAMAGE] + [Kind.KILL] * 3)
    point = dice.choice(_KILLS)
    match kind:
        case Kind.KILL | Kind.RIVALS:
            return Act(kind, f"{point}:{dice.randint(1, 3)}:kill")
        case Kind.STOP:
            return Act(kind, f"{point}:1:stop")
        case Kind.FSYNC | Kind.RENAME:
            return Act(kind, words={"nth": dice.randint(1, 6)})
        case Kind.DISK_FULL:
            return Act(kind, words={"bytes": dice.choice([1, 4096, 20_000, 200_000])})
        case Kind.NETWORK:
            name, words = dice.choice(NETWORK)
            return Act(kind, words={"network": (name, {**words, "times": dice.randint(1, 4)})})
        case Kind.MAIL_CUT:
            return Act(kind, words={"mail": dice.choice(["greeting", "content", "answer"])})
        case _:
            return Act(kind, words={"hours": dice.choice([-72, -1, 1, 72])})


def _prepared(act: Act, dice: random.Random) -> list[Act]:
    """What is set aside has to be damaged first, and what is moved to be there still."""
    if not act.crash_at.startswith(_NEEDS_DAMAGE):
        return [act]
    how = dice.choice(["cut", "delete"])
    how = "cut" if act.crash_at.startswith("landing.") else how
    # Everything is landed by then, and nothing merged.
    return [Act(Kind.DAMAGE, "merge.open:before:1:kill", {"how": how}), act]


def _when(act: Act) -> float:
    """Where in a month's passage the act can happen: what comes late must not be spent early."""
    name = act.crash_at.partition(":")[0]
    if name in POINTS:
        return POINTS.index(name)
    late = {Kind.MAIL_CUT: POINTS.index("mail.accept") - 0.5}
    return late.get(act.kind, 2.5)
