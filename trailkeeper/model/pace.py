"""How many searches one stream may run at a time: rise while clean, halve on trouble.

The leases themselves are the tokens: each has an owner and a deadline, and lives in the ledger,
which all workers share and which survives an emptied queue.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`limit` rises by one with each clean pull, which is many calls, and halves on trouble."""

    limit: float = START

    def allows(self, ceiling: int) -> int:
        """Whole searches at a time, at least one and at most `ceiling`."""
        return max(1, min(int(self.limit), ceiling))

    def after_clean(self, ceiling: int) -> Pace:
        return Pace(min(self.limit + 1, float(ceiling)))

    def after_trouble(self) -> Pace:
        """Throttled, rows of another search, or answers that did not come."""
        return Pace(max(1.0, self.limit / 2))

    def to_text(self) -> str:
        return f"{self.limit:.3f}"

    @classmethod
    def from_text(cls, text: str) -> Pace:
        """What `to_text` wrote; anything else starts anew."""
        try:
            limit = float(text)
        except ValueError:
            return cls()
        return cls(limit) if 1.0 <= limit <= 100.0 else cls()
