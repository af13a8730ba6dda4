"""What one pull asks and tells the others of its stream, between its requests."""

from __future__ import annotations

from collections.abc import Sequence

from trailkeeper.model.window import Window


class Turn:
    """A pull that is alone: nobody to yield to, nobody to share with.

    The pull step plays the real one; benchmarks and tests of a walk play their own.
    """

    def still_ours(self) -> None:
        """Called before every question, whose pages are not interrupted: raises what ends the
        pull."""

    def answered(self, *, clean: bool) -> None:
        """One more answer: clean, or throttled, mixed with another search's rows, or not come."""

    def room(self) -> int:
        """How many more segments of this stream could be pulled now, if there were any; none or
        less when those that wait take all slots."""
        return 0

    def newer_under_way(self) -> bool:
        """Whether somebody asks for newer time of this stream now: what he finds may witness for
        older time that is empty."""
        return False

    def share(self, kept: Window, given: Sequence[Window]) -> bool:
        """From now on this pull owes `kept` only, and `given` are segments that others may take.

        False when that could not be arranged; then nothing has changed.
        """
        return False
