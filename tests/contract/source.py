"""What every source promises, whatever it reads. Inherit, and give a fixture `case`:

class TestToy(SourceContract):
    @pytest.fixture
    def case(self) -> SourceCase: ...
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from trailkeeper.errors import LeaseLost, TrailkeeperError
from trailkeeper.model.record import RecordColumns
from trailkeeper.model.segment import Finding
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window, subtract
from trailkeeper.ports.source import AuditSource, Check, Pulled
from trailkeeper.steps.pull import StoppedError

BORDER = timedelta(seconds=1)
"""A search asks its first second with the one before: of a neighbour no more than this comes."""


@dataclass
class SourceCase:
    """A source with a window in which it has records, and ways to trouble its provider."""

    source: AuditSource
    tenant: str
    window: Window
    expected: Callable[[], set[str]]
    """the ids of all records that belong to the window"""
    fail: Callable[[], None]
    """from now on the provider answers with an error that may pass"""
    lock_out: Callable[[], None]
    """from now on the provider lets nobody in until a person acts"""
    prepare: Callable[[], None] = lambda: None
    """makes the answer ready, where one has to be asked for first"""

    def pull(self, sink: Sink, turn: Turn) -> Pulled:
        return self.source.pull(self.tenant, self.window, sink, turn)

    def checks(self) -> list[Check]:
        return list(self.source.check(self.tenant))


@dataclass
class Sink:
    """Keeps ids and times; a real one writes a landing file."""

    records: dict[str, datetime] = field(default_factory=dict)
    received: int = 0
    size: int = 0

    def add(self, records: RecordColumns) -> None:
        self.received += len(records)
        self.size += sum(map(len, records.raw))
        for key, text in zip(records.id, records.raw, strict=True):
            at = datetime.fromisoformat(json.loads(text)["CreationTime"].rstrip("Z") + "+00:00")
            self.records[key] = at


class CountedTurn(Turn):
    """Counts how often it is asked."""

    asked = 0

    def still_ours(self) -> None:
        self.asked += 1


class EndedTurn(Turn):
    """Raises `error` at the first question."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def still_ours(self) -> None:
        raise self._error


class SourceContract:
    """The suite."""

    def test_findings_are_disjoint_and_inside_the_window(self, case: SourceCase) -> None:
        """Together they speak of the whole window, and nothing is said twice."""
        case.prepare()
        turn = CountedTurn()
        pulled = case.pull(Sink(), turn)
        assert pulled.interrupted is None
        assert 2 * turn.asked >= pulled.requests > 0, "the turn is asked between requests"
        assert _disjoint(pulled.findings)
        assert not subtract([case.window], [each.window for each in pulled.findings])
        assert not subtract([each.window for each in pulled.findings], [case.window])
        assert all(finding.verdict.proven for finding in pulled.findings)

    def test_the_records_belong_to_the_window(self, case: SourceCase) -> None:
        """All of them come, and of others at most those of the neighbouring second."""
        case.prepare()
        sink = Sink()
        case.pull(sink, Turn())
        expected = case.expected()
        assert expected
        assert expected <= sink.records.keys()
        low, high = case.window.start - BORDER, case.window.end + BORDER
        others = sink.records.keys() - expected
        assert all(low <= sink.records[key] < high for key in others)

    def test_the_turn_is_asked_between_requests_and_ends_the_pull(self, case: SourceCase) -> None:
        """Whatever it raises passes through unchanged, and no request for records follows."""
        for error in (LeaseLost("taken over"), StoppedError()):
            case.prepare()
            sink = Sink()
            with pytest.raises(type(error)) as caught:
                case.pull(sink, EndedTurn(error))
            assert caught.value is error
            assert not sink.received

    def test_an_error_of_the_provider_is_told_and_not_raised(self, case: SourceCase) -> None:
        """It comes back as what interrupted the pull, and nothing is called proven."""
        case.prepare()
        case.fail()
        pulled = case.pull(Sink(), Turn())
        assert isinstance(pulled.interrupted, TrailkeeperError)
        assert not any(finding.verdict.proven for finding in pulled.findings)

    def test_a_provider_that_needs_a_person_is_told_and_not_raised(self, case: SourceCase) -> None:
        """As any other of its errors; a remedy comes with it."""
        case.prepare()
        case.lock_out()
        pulled = case.pull(Sink(), Turn())
        assert isinstance(pulled.interrupted, TrailkeeperError)
        assert pulled.interrupted.remedy
        assert not any(finding.verdict.proven for finding in pulled.findings)

    def test_the_preflight_checks_pass(self, case: SourceCase) -> None:
        """Of a healthy tenant none fails, and each has a name of its own."""
        checks = case.checks()
        assert checks
        assert not [check for check in checks if check.passed is False]
        assert len({check.name for check in checks}) == len(checks)

    def test_the_preflight_checks_stop_after_the_first_failure(self, case: SourceCase) -> None:
        """What rests on the failed one is not asked for; the failure brings a remedy."""
        case.lock_out()
        *before, last = case.checks()
        assert last.passed is False
        assert last.remedy
        assert not [check for check in before if check.passed is False]

    def test_the_preflight_checks_never_raise(self, case: SourceCase) -> None:
        """A provider that does not answer leaves a check open: it is not healthy, and it is no
        error of ours."""
        case.fail()
        assert case.checks()[-1].passed is not True


def _disjoint(findings: tuple[Finding, ...]) -> bool:
    ordered = sorted((each.window for each in findings), key=lambda window: window.start)
    return all(a.end <= b.start for a, b in pairwise(ordered))
