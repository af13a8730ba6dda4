"""The ledger for those who only look: commands, metrics, a console."""

from __future__ import annotations

from typing import Protocol

from trailkeeper.ports.leasing import Segments
from trailkeeper.ports.measures import Measured
from trailkeeper.ports.notes import Notes
from trailkeeper.ports.overview import Overviews
from trailkeeper.ports.parking import Standing
from trailkeeper.ports.planning import Watermarks
from trailkeeper.ports.proof import Proof


class Reading(Watermarks, Segments, Proof, Standing, Measured, Notes, Overviews, Protocol):
    """Every question that changes nothing."""
