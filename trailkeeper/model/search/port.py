"""What a walk needs from the transport."""

from __future__ import annotations

from datetime import datetime

from trailkeeper.model.search.answer.rows import Choice, SearchAnswer, SessionAnswer
from trailkeeper.model.window import Window


class SearchPort:
    """The search of one tenant. Rows are landed by the transport before it answers.

    See `trailkeeper.model.search.full_second.FullSecondPort` for `record_type` and `tight`.
    """

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        """One call without a session. Raises the errors of `trailkeeper.errors`."""
        raise NotImplementedError

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer:
        """All pages of one ReturnLargeSet session."""
        raise NotImplementedError

    def require_auditing(self) -> None:
        """Raise `NeedsPerson` unless the tenant ingests audit records (Get-AdminAuditLogConfig)."""
        raise NotImplementedError

    def now(self) -> datetime:
        raise NotImplementedError

    def pause(self, seconds: float) -> None:
        raise NotImplementedError

    def order_known(self) -> Choice | None:
        """How this tenant's full answers were proven to choose their rows."""
        return None

    def order_refuted(self) -> bool:
        """Whether a walk of this tenant has found such a proof not to hold."""
        return False

    def tell_order(self, choice: Choice | None) -> None:
        """Tell the tenant's other walks so; None: that such a proof did not hold."""

    def full(self, times: int = 1) -> bool:
        """Whether the landing file holds `times` what one attempt should bring."""
        return False
