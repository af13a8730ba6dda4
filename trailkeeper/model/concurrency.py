"""How many searches one stream may run at a time: rise while clean, halve on trouble.

The leases themselves are the tokens: each has an owner and a deadline, and lives in the ledger,
which all workers share and which survives an emptied queue.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 2.0
_CAREFUL = 1 / 8
"""of a search for each clean answer, once the service has shown that it minds"""
_MINDS = "minds"


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """`limit` rises with each clean answer and halves on trouble.

    By a whole search an answer until the service was troubled; from then on slowly, since what was
    too much once will be again, and each time costs waiting. Once it has taken all it may be asked
    without trouble, that is forgotten.
    """

    limit: float = START
    minds: bool = False
    """the service was troubled, and has not taken all it may be asked since"""

    def allows(self, ceiling: int) -> int:
        """Whole searches at a time, at least one and at most `ceiling`."""
        return max(1, min(int(self.limit), ceiling))

    def after_clean(self, ceiling: int) -> ConcurrencyLimit:
        step = _CAREFUL if self.minds else 1.0
        limit = min(self.limit + step, float(ceiling))
        return ConcurrencyLimit(limit, self.minds and limit < ceiling)

    def after_trouble(self) -> ConcurrencyLimit:
        """Throttled, rows of another search, or answers that did not come."""
        return ConcurrencyLimit(max(1.0, self.limit / 2), minds=True)

    def to_text(self) -> str:
        return f"{self.limit:.3f} {_MINDS}" if self.minds else f"{self.limit:.3f}"

    @classmethod
    def from_text(cls, text: str) -> ConcurrencyLimit:
        """What `to_text` wrote; anything else starts anew."""
        number, _, word = text.partition(" ")
        try:
            limit = float(number)
        except ValueError:
            return cls()
        return cls(limit, word == _MINDS) if 1.0 <= limit <= 100.0 else cls()
