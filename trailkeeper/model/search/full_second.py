"""One second with more records than an answer holds (D8): by record type, else by session.

Time cannot cut it further. Record types can: each type's answer below the cap is whole. That these
are all the types is shown by a session, which cuts in another way and must have the same records;
where it does not, every type that is known at all is asked for. A type that fills an answer by
itself is read with sessions until two agree, up to what a session holds. What is left is a gap
with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from trailkeeper.errors import Bug
from trailkeeper.model.record_types import record_type_names
from trailkeeper.model.search.answer.rows import (
    SearchAnswer,
    SearchLimits,
    SessionAnswer,
    keys_between,
    micros,
)
from trailkeeper.model.search.calls import Calls, CallsForSecond
from trailkeeper.model.search.conclusions import Conclusions
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.segment import Verdict
from trailkeeper.model.window import Window


class FullSecondPort(Protocol):
    """What is asked about one second.

    `record_type` names the only type wanted, empty for all. `tight`: from half a second before to
    half a second before the end, so that the neighbouring seconds stay out whatever the borders
    include; for services that take fractions of a second.
    """

    def ask(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SearchAnswer: ...

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer: ...


@dataclass(frozen=True, slots=True)
class Concluded:
    """What is believed of the second, why, and on how many rows."""

    verdict: Verdict
    reason: str
    evidence: dict[str, object]


class FullSecond:
    """Proves one second. `rows` and `calls` are what it cost.

    `cap`: from how many rows on an answer may be cut, which can be less than was asked for.
    """

    def __init__(
        self, port: FullSecondPort, window: Window, limits: SearchLimits, cap: int
    ) -> None:
        self._port = port
        self._cap = cap
        self._window = window
        self._limits = limits
        self.rows = 0
        self.calls = 0
        self._tight = False
        self._met: set[str] = set()
        """types that came when another was asked for"""

    def prove(self, answer: SearchAnswer) -> Concluded:
        """`answer` was full. Raises what the port raises."""
        answer = self._tightened(answer)
        if not answer.truncated(self._cap):
            return Concluded(Verdict.COMPLETE, "", {"rows": answer.rows, "asked": "tightly"})
        names = _askable(answer.types)
        if not names:
            return self._by_session("", set(answer.keys))
        keys: set[str] = set()
        for name in sorted(names):
            if failure := self._by_type(name, keys):
                return failure
        held = set(answer.keys)
        if not self._borne_out(keys, held, names) and (failure := self._sweep(keys, names)):
            return failure
        if missing := held - keys:
            reason = f"{len(missing):,} of its records came under no record type"
            return self._suspect(reason, len(keys))
        evidence: dict[str, object] = {"rows": len(keys), "record_types": len(names)}
        return Concluded(Verdict.COMPLETE, "", evidence)

    def _tightened(self, answer: SearchAnswer) -> SearchAnswer:
        """The same without the neighbouring second, which may be what fills it.

        A service that cuts fractions off would answer for another second: its rows tell.
        """
        self.calls += 1
        closer = self._port.ask(self._window, tight=True)
        self.rows += closer.rows
        low, high = micros(self._window.start), micros(self._window.end)
        inside = keys_between(closer, self._window)
        if (
            closer.unclean()
            or not all(low <= t < high for t in closer.times)
            or not inside.issuperset(keys_between(answer, self._window))
        ):
            return answer
        self._tight = True
        return closer

    def _borne_out(self, keys: set[str], held: set[str], names: set[str]) -> bool:
        """Whether sessions, which know no types, have just the same records between them.

        A session that repeats itself or stalls may still have had them all. What sessions bring is
        added to `held` and `names`.
        """
        union: set[str] = set()
        for _ in range(self._limits.tries):
            session = self._session("")
            if session.unclean:
                continue
            union |= session.keys
            held |= session.keys
            new = _askable(session.types) - names
            names |= new
            if any(self._by_type(name, keys) for name in sorted(new)):
                return False
            if union == keys or len(session.keys) >= self._limits.session_cap:
                return union == keys
        return False

    def _sweep(self, keys: set[str], names: set[str]) -> Concluded | None:
        """Ask for every other type there is."""
        todo = set(record_type_names()) - names
        while todo:
            name = todo.pop()
            names.add(name)
            if failure := self._by_type(name, keys, seen=False):
                return failure
            todo |= self._met - names
        return None

    def _by_type(self, name: str, keys: set[str], *, seen: bool = True) -> Concluded | None:
        """Add the records of one type to `keys`; the reason when that is not proven."""
        for _ in range(self._limits.tries):
            try:
                answer = self._ask(name)
            except Bug:
                return None  # this service has no such type, and no record of it either
            if answer.unclean() or (seen and not answer.rows):
                continue
            if not answer.types <= {name}:
                self._met |= _askable(answer.types)
                if seen:
                    break
                return None  # the beginning of another type's name
            if not answer.truncated(self._cap):
                keys.update(answer.keys)
                return None
            found = set(answer.keys)
            concluded = self._by_session(name, found)
            keys.update(found)
            return None if concluded.verdict.proven else concluded
        return self._suspect(f"its {name} records were not answered cleanly", len(keys))

    def _by_session(self, name: str, keys: set[str]) -> Concluded:
        """Two sessions must agree; what they bring is added to `keys`."""
        what = f"{name} records" if name else "records"
        for attempt in range(self._limits.tries):
            page = self._session(name)
            agrees = attempt > 0 and page.keys == keys
            keys |= page.keys
            if len(page.keys) >= self._limits.session_cap:
                reason = f"more than {self._limits.session_cap:,} {what} in one second"
                return Concluded(Verdict.GAP, reason, {"rows": len(keys)})
            if agrees and page.ended and not page.unclean:
                evidence: dict[str, object] = {"rows": len(keys), "sessions": attempt + 1}
                return Concluded(Verdict.COMPLETE, "", evidence)
        return self._suspect(f"{len(keys):,} {what}, and no two sessions agree", len(keys))

    def _suspect(self, why: str, rows: int) -> Concluded:
        reason = f"more records in one second than one answer holds; {why}"
        return Concluded(Verdict.SUSPECT, reason, {"rows": rows})

    def _ask(self, name: str) -> SearchAnswer:
        self.calls += 1
        answer = self._port.ask(self._window, name, tight=self._tight)
        self.rows += answer.rows
        return answer

    def _session(self, name: str) -> SessionAnswer:
        page = self._port.session(self._window, name, tight=self._tight)
        self.calls += 1 + page.rows // self._limits.cap
        self.rows += page.rows
        return page


class FullSeconds:
    """Concludes full seconds for a walk. Their calls have bounds of their own, and their answers
    teach nothing of other windows."""

    def __init__(
        self, port: SearchPort, calls: Calls, limits: SearchLimits, conclusions: Conclusions
    ) -> None:
        self._port = port
        self._calls = calls
        self._limits = limits
        self._conclusions = conclusions

    def conclude(self, window: Window, answer: SearchAnswer) -> None:
        """One second with more rows than a call returns. Raises what the transport raises."""
        second = FullSecond(CallsForSecond(self._calls), window, self._limits, self._calls.cap)
        sent_at = self._port.now()
        try:
            concluded = second.prove(answer)
        finally:
            self._calls.made += second.calls
            self._calls.rows += second.rows
            self._calls.extra_calls += second.calls
        evidence = concluded.evidence
        if concluded.verdict is Verdict.COMPLETE:
            rows = int(str(evidence["rows"]))
            self._conclusions.complete_second(window, rows, sent_at, evidence)
        else:
            self._conclusions.close(window, concluded.verdict, concluded.reason, sent_at, evidence)


def _askable(names: Iterable[str]) -> set[str]:
    """Names that can stand for themselves: the service takes a prefix for the whole (section 3.4),
    and a number says nothing that it would take."""
    return {name for name in names if name.isidentifier()}
