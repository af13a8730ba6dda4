"""Proving a window of the Exchange audit search complete, call by call.

Search-UnifiedAuditLog answers one call with at most `cap` rows and lies in fourteen documented ways
(identity-and-exchange.md, section 4.4). `SearchWalk` asks for parts of a window until each part is
proven, suspect or a gap, and trusts no flag or count of the server to *end* a part:

* A **clean** answer has no warning, no bogus row and no row outside what was asked.
* A clean answer **below the cap** closes its part, unless a hint contradicts it (a total that is
  higher than the rows, more rows than this service ever gave; `trailkeeper.model.search_doubt`):
  then both halves are asked too, and only when they bring exactly the same is the part closed.
* An answer that **lacks a row** which an earlier answer of this walk had closes nothing.
* A **full** answer in time order covers the time between its edge and its last row. The next call
  asks for the rest plus a small *overlap* with what is already covered; only when the overlap
  returns exactly the rows already held is the covered part closed (the overlap is the witness that
  the order, and not chance, chose the rows). The first time, the covered part is asked again as a
  whole. Without order the part is cut where the rows lie.
* An **empty** answer closes its part only after auditing is known to be on, and when the question,
  stretched to a row that is known to exist, brings this row and none of the part; without such a
  row other, different looks must be empty too (`trailkeeper.model.search_emptiness`).
* A full second cannot be cut; `trailkeeper.model.search_dense` has its own ways.

Calls are bounded: see `trailkeeper.model.search.SearchLimits`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from trailkeeper.errors import (
    AnswerTooLarge,
    Bug,
    ConfigurationError,
    Lost,
    NeedsPerson,
    Throttled,
    TrailkeeperError,
    Transient,
)
from trailkeeper.model.density import Density
from trailkeeper.model.search import (
    SECOND,
    UNTIMED,
    Order,
    SearchAnswer,
    SearchLimits,
    SessionAnswer,
    covered_time,
    cut_by_rows,
    from_micros,
    keys_between,
    micros,
)
from trailkeeper.model.search_dense import DenseSecond
from trailkeeper.model.search_doubt import Doubts
from trailkeeper.model.search_emptiness import (
    EmptyPart,
    EmptyPort,
    Hidden,
    Later,
    Narrower,
    Proven,
    usual,
)
from trailkeeper.model.search_empty import EmptyAnswers
from trailkeeper.model.search_looks import sparse_stretch
from trailkeeper.model.segment import Finding, Verdict
from trailkeeper.model.window import Window, parse_instant, subtract

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Covered:
    """A part that a full, ordered answer claims to cover, and the rows that must show again."""

    window: Window
    overlap: Window
    expected: frozenset[str]
    sent_at: datetime
    rows: int


@dataclass(slots=True)
class Part:
    """A window still to be proven, and what is known about it already."""

    window: Window
    tries: int = 0
    depth: int = 0
    """how often it was halved because it did not answer cleanly"""
    claim: Covered | None = None
    """the neighbour whose cover this part's answer must witness"""
    answer: SearchAnswer | None = None
    """an answer already at hand, from a second look"""
    waited: bool = False
    """came back empty, and was put off until more is known"""
    usual: float = 0.0
    """records to expect in the longest empty window that it is a piece of"""

    def release_claim(self) -> Covered | None:
        """Give up the neighbour, and with it the overlap: the windows are disjoint again."""
        claim, self.claim = self.claim, None
        if claim:
            (self.window,) = subtract([self.window], [claim.window])
        return claim


class SearchPort:
    """What a walk needs from the transport. Rows are landed by the transport before it answers.

    See `trailkeeper.model.search_dense.DensePort` for `record_type` and `tight`.
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

    def full(self) -> bool:
        """Whether the landing file holds as much as one attempt may bring."""
        return False


@dataclass
class SearchWalk:
    """One walk over one window. `findings` grows; `interrupted` tells why it stopped early."""

    port: SearchPort
    window: Window
    limits: SearchLimits = field(default_factory=SearchLimits)
    busy_hour: int = 10
    """UTC hour in which records are most likely, for the second look at an empty window"""
    known_doubts: Doubts | None = None
    """what this tenant's short answers are worth; nothing known by default"""
    empties: EmptyAnswers = field(default_factory=EmptyAnswers)
    """what its empty answers are worth, likewise"""
    order_proven: bool = False
    """this tenant's order was found to choose the rows; otherwise the walk finds out by itself"""
    still_ours: Callable[[], None] = lambda: None
    room: Callable[[], int] = lambda: 0
    """how many more searches of this tenant could run now, if there were any"""
    density: Density = field(default_factory=Density)

    def __post_init__(self) -> None:
        self.findings: list[Finding] = []
        self.pieces: list[Window] = []
        """how the part that this walk leaves unasked is best cut"""
        self.interrupted: TrailkeeperError | None = None
        self.calls = 0
        self.rows = 0
        self.foreign = 0
        self.throttled = 0
        self.doubts = self.known_doubts or Doubts(self.limits)
        self._todo = [Part(self.window)]
        self._refuted = 0
        self._audited = False
        self._looked_rows = 0
        """rows of looks at empty parts, which buy no further calls"""
        self._extra_calls = 0
        """calls of full seconds, which have bounds of their own"""
        self._held: deque[SearchAnswer] = deque(maxlen=_HELD)
        """answers that closed nothing, but whose rows must show again"""

    def run(self) -> list[Finding]:
        """Walk until every part has a finding, a bound is reached, or an error stops it.

        A part without a finding was not concluded and has to be planned again. `LeaseLost` and
        `Unavailable` pass through; every other error of ours ends up in `interrupted`.
        """
        while self._todo and not self._enough():
            part = self._todo.pop()
            self.still_ours()
            if error := self._step(part):
                self.interrupted = error
                break
        if not self.interrupted:
            self.interrupted = self._settle_claims()
        return self.findings

    def _settle_claims(self) -> TrailkeeperError | None:
        """Witness what the last full answer covers, when the rest of the window is left to others.

        The overlap alone is a question of a few rows; without it they would ask for all the rows of
        that answer again. What it does not confirm stays without a finding. Returns the error that
        came instead.
        """
        try:
            for part in [part for part in self._todo if part.claim]:
                self.still_ours()
                self._settle(part)
        except (AnswerTooLarge, Lost):
            return None
        except (Transient, NeedsPerson, ConfigurationError, Bug) as error:
            return error
        return None

    def _settle(self, part: Part) -> None:
        claim = part.claim
        assert claim is not None  # noqa: S101 - the caller chose the parts that have one
        answer = self._ask(claim.overlap)
        sure = not answer.unclean() and not answer.truncated(self._cap)
        if sure and keys_between(answer, claim.overlap) == claim.expected:
            part.release_claim()
            self._confirm(claim)

    def _step(self, part: Part) -> TrailkeeperError | None:
        """Ask and conclude one part; the error that ends the walk, if any."""
        try:
            self._conclude(part, part.answer or self._ask(part.window))
        except AnswerTooLarge as error:
            self._too_large(part, error)
        except Lost as error:
            self._lost(part, error)
        except Transient as error:
            ends = isinstance(error, Throttled)
            if ends or (not self._again(part) and not self._narrower(part)):
                return error
        except (NeedsPerson, ConfigurationError, Bug) as error:
            return error
        return None

    # --- asking ---

    def _ask(self, window: Window) -> SearchAnswer:
        self.calls += 1
        answer = self._patiently(lambda: self.port.ask(window))
        self.rows += answer.rows
        self.foreign += answer.foreign()
        self.doubts.notice(answer)
        self.empties.notice(answer, self.doubts.of(answer))
        return answer

    @property
    def _cap(self) -> int:
        """From how many rows on an answer may be cut."""
        return self.doubts.cap

    def _patiently(self, question: Callable[[], T]) -> T:
        """Obey a short throttling here, since the calls so far would be asked again otherwise."""
        waited = 0
        while True:
            try:
                return question()
            except Throttled as error:
                self.throttled += 1
                waited += 1
                if error.retry_after > self.limits.short_wait or waited > self.limits.waits:
                    raise
                self.port.pause(error.retry_after)

    def _enough(self) -> bool:
        """Bounds reached: the rest is planned as segments of its own."""
        if self.rows >= self.limits.rows_per_attempt or self.port.full():
            return True
        rows = self.rows - self._looked_rows
        spent = self.limits.base_calls + self.limits.calls_per_part * (1 + rows // self._cap)
        if self.calls - self._extra_calls < spent:
            return False
        for part in self._todo:
            self._close(part.window, Verdict.SUSPECT, f"not proven within {self.calls} calls")
        self._todo.clear()
        return True

    # --- concluding ---

    def _conclude(self, part: Part, answer: SearchAnswer) -> None:
        if reason := answer.unclean():
            self._held.append(answer)
            self._distrust(part, reason)
        elif part.claim and not self._witness(part, part.claim, answer):
            return
        elif answer.truncated(self._cap):
            self._held.append(answer)
            self._full(part, answer)
        elif missing := self._missing(part.window, answer):
            self._held.append(answer)
            self._distrust(part, f"{missing} rows that were there a moment ago are missing")
        elif keys_between(answer, part.window) or UNTIMED in answer.times:
            self._short(part, answer)
        else:
            self._empty(part, answer)

    def _missing(self, window: Window, answer: SearchAnswer) -> int:
        """How many rows of earlier answers lie in `window` and are not in this one."""
        low, high = micros(window.start), micros(window.end)
        near = (
            held
            for held in self._held
            if held.times and min(held.times) < high and max(held.times) >= low
        )
        common = ((held, held.asked.intersect(window)) for held in near)
        seen = {key for held, both in common if both for key in keys_between(held, both)}
        return len(seen - set(answer.keys))

    def _distrust(self, part: Part, reason: str) -> None:
        """Ask again, then in halves, then give the part up as suspect."""
        if not self._again(part) and not self._narrower(part):
            self._close(part.window, Verdict.SUSPECT, reason)

    def _narrower(self, part: Part) -> bool:
        """Ask the halves, once each; False when that was done often enough."""
        self._drop_claim(part)
        halves = part.window.halves()
        if part.depth >= self.limits.distrust_depth or len(halves) < 2:
            return False
        self._push(Part(h, tries=self.limits.tries - 1, depth=part.depth + 1) for h in halves)
        return True

    def _again(self, part: Part) -> bool:
        """Put the part back for another try after a pause; False when its tries are used up."""
        if part.tries + 1 >= self.limits.tries:
            return False
        self.port.pause(self.limits.retry_pause * 2**part.tries)
        part.tries += 1
        part.answer = None
        self._todo.append(part)
        return True

    def _witness(self, part: Part, claim: Covered, answer: SearchAnswer) -> bool:
        """Compare the overlap with what we hold; True: the claim is settled, go on."""
        if not self._shows(answer, claim):
            part.release_claim()
            self._refute(claim)
            return True
        seen = keys_between(answer, claim.overlap)
        if missing := claim.expected - seen:
            self._distrust(part, f"{len(missing)} rows that were there a moment ago are missing")
            return False
        part.release_claim()
        if seen - claim.expected:
            self._refute(claim)
        else:
            self._confirm(claim)
        return True

    def _confirm(self, claim: Covered) -> None:
        evidence: dict[str, object] = {"rows": claim.rows, "witness": len(claim.expected)}
        self._refuted = 0
        self._close(claim.window, Verdict.COMPLETE, "", claim.sent_at, evidence)

    def _shows(self, answer: SearchAnswer, claim: Covered) -> bool:
        """Whether the answer holds the whole overlap: short, or in order and reaching beyond it."""
        if not answer.truncated(self._cap):
            return True
        if answer.order is Order.NEWEST_FIRST:
            return answer.once[-1] < micros(claim.overlap.start)
        if answer.order is Order.OLDEST_FIRST:
            return answer.once[-1] >= micros(claim.overlap.end)
        return False

    def _refute(self, claim: Covered) -> None:
        """The order did not choose the rows: the covered part has to be asked by itself."""
        self._refuted += 1
        self._push(Part(half) for half in claim.window.halves())

    def _drop_claim(self, part: Part) -> None:
        if claim := part.release_claim():
            self._push([Part(claim.window)])

    def _full(self, part: Part, answer: SearchAnswer) -> None:
        """More rows than one answer holds: keep what order covers, or cut where the rows lie."""
        if part.window.duration <= SECOND:
            self._dense(part.window, answer)
            return
        claim = self._covered(part.window, answer) if self._refuted < 2 else None
        if claim and not self.order_proven and not self._prove_order(claim, answer):
            claim = None
        if claim is None:
            self._push(Part(piece) for piece in cut_by_rows(part.window, answer, self._cap))
            return
        self._push([Part(self._kept(part.window, claim), claim=claim)])

    def _kept(self, window: Window, claim: Covered) -> Window:
        """The rest of `window` that this walk goes on with, overlap included.

        When the rest needs many more calls, only a little less than one call's worth is kept, which
        witnesses the claim; the others are shared out as `pieces` that more workers can take.
        """
        newest_first = claim.window.end == window.end
        (rest,) = subtract([window], [claim.window])
        pieces = self._shared_out(rest, claim)
        if len(pieces) > 1:
            keep = min(claim.window.duration * 0.8, rest.duration / 2)
            cut = (rest.end - keep if newest_first else rest.start + keep).replace(microsecond=0)
            older, newer = rest.split(cut)
            rest, left = (newer, older) if newest_first else (older, newer)
            self.pieces += [w for p in pieces if (w := p.intersect(left))]
        if newest_first:
            return Window(rest.start, claim.overlap.end, window.axis)
        return Window(claim.overlap.start, rest.end, window.axis)

    def _shared_out(self, rest: Window, claim: Covered) -> list[Window]:
        """Cut `rest` for others: by what is known of the tenant's week, or by the rate just seen.

        Into pieces of `calls_per_piece` when it needs many more calls; into fewer calls each while
        places are free, since a search that runs alone wastes the others.
        """
        known = self.density.known
        calls = rest.duration / claim.window.duration
        if known:  # it knows no bursts, which the rate just seen tells of, but not for long
            usual = self.density.expected(rest) / self.limits.cap
            calls = max(usual, calls) if rest.duration < 2 * _HOUR else usual
        count = int(calls / self.limits.calls_per_piece)
        count = count if known else min(self.limits.pieces, count)
        if calls >= _WORTH_SHARING and (room := self.room()) > 0:
            count = max(count, min(room + 1, int(calls / 2)))
        if count < 2:
            return [rest]
        if known and rest.duration > 2 * _HOUR:
            return self.density.cut(rest, calls * self.limits.cap / count, rest.duration)
        return _equal(rest, count)

    def _covered(self, window: Window, answer: SearchAnswer) -> Covered | None:
        """The time that an ordered, full answer covers, with its witness; None without either."""
        edge, covered = covered_time(window, answer)
        if covered is None:
            return None
        low, high = micros(covered.start), micros(covered.end)
        inside = [t for t in answer.once if low <= t < high]
        if not inside:
            return None
        witness = from_micros(inside[-min(len(inside), self.limits.overlap_rows)])
        second = witness.replace(microsecond=0)
        newest_first = edge == covered.start
        overlap = Window(edge, second + SECOND) if newest_first else Window(second, edge)
        if overlap.covers(covered) or covered.duration <= 2 * SECOND:
            return None
        expected = frozenset(keys_between(answer, overlap))
        return Covered(covered, overlap, expected, answer.sent_at, answer.rows)

    def _short(self, part: Part, answer: SearchAnswer) -> None:
        """A clean answer below the cap: complete, unless a hint speaks against it."""
        evidence: dict[str, object] = {"rows": answer.rows, "result_count": answer.result_count}
        if doubt := self.doubts.of(answer):
            if not self._agrees(part, answer, part.window.halves()):
                self.doubts.founded(doubt, answer)
                self.empties.troubled = True
                self._reopen()
                return
            self.doubts.unfounded(doubt, answer)
            evidence["second_look"] = doubt
        self._close(part.window, Verdict.COMPLETE, "", answer.sent_at, evidence)

    def _prove_order(self, claim: Covered, answer: SearchAnswer) -> bool:
        """Ask the covered part by itself: it must hold exactly the rows that the order gave it.

        Less its first second: questions reach one second back, and with the cut second's rows the
        answer would be full again.
        """
        part = Window(claim.window.start + SECOND, claim.window.end, claim.window.axis)
        again = self._ask(part)
        self.order_proven = (
            not again.unclean()
            and not again.truncated(self._cap)
            and keys_between(again, part) == keys_between(answer, part)
        )
        if not self.order_proven:
            self._refuted = 2
        return self.order_proven

    def _empty(self, part: Part, answer: SearchAnswer) -> None:
        """No rows is not no events."""
        if not self._audited:
            self.calls += 1
            self.port.require_auditing()
            self._audited = True
        part.usual = max(part.usual, usual(self.density, part.window))
        lies = len(self.empties.lies)
        empty = EmptyPart(
            _Looks(self),
            part.window,
            self.empties,
            self.limits,
            part.usual,
            self.busy_hour,
            part.depth,
        )
        found = empty.prove(answer, may_wait=not part.waited and bool(self._todo))
        if isinstance(found, Proven):
            verdict = Verdict.EMPTY_CONFIRMED
            self._close(part.window, verdict, "", answer.sent_at, found.evidence)
        elif isinstance(found, Later):
            part.answer, part.waited = answer, True
            self._todo.insert(0, part)
        elif isinstance(found, Narrower):
            depth = part.depth + (part.window.duration <= self.empties.told())
            self._push(Part(piece, depth=depth, usual=part.usual) for piece in found.pieces)
        elif isinstance(found, Hidden):
            self.empties.hid(part.window)
            self._unhidden(part, found.answer)
        else:
            self._close(part.window, Verdict.SUSPECT, found.reason)
        if len(self.empties.lies) > lies:
            self._reopen()

    def _unhidden(self, part: Part, answer: SearchAnswer) -> None:
        """A look brought rows of a part that had come back empty."""
        self._held.append(answer)
        if answer.asked.covers(part.window) and self._sound(answer):
            evidence: dict[str, object] = {
                "rows": len(keys_between(answer, part.window)),
                "hidden_at_first": True,
            }
            self._close(part.window, Verdict.COMPLETE, "", answer.sent_at, evidence)
        elif len(part.window.halves()) < 2:
            self._distrust(part, "the same question was answered differently")
        else:
            self._push(Part(h, usual=part.usual) for h in part.window.halves())

    def _sound(self, answer: SearchAnswer) -> bool:
        """Whether nothing speaks against this answer being whole."""
        return not (
            answer.unclean()
            or answer.truncated(self._cap)
            or self.doubts.of(answer)
            or self._missing(answer.asked, answer)
        )

    def _reopen(self) -> None:
        """The service was caught: ask again what was called empty on less than is wanted now."""
        doubted = [
            f
            for f in self.findings
            if f.verdict is Verdict.EMPTY_CONFIRMED
            and "witness" not in f.evidence
            and self.empties.looks(f.window) > int(str(f.evidence["looks"]))
        ]
        self.findings = [f for f in self.findings if f not in doubted]
        self._push(Part(f.window) for f in doubted)

    def _agrees(self, part: Part, answer: SearchAnswer, looks: Sequence[Window]) -> bool:
        """Ask `looks` too: True when they bring nothing that `answer` did not.

        Otherwise the halves take the part's place, with the answers that are at hand already.
        """
        answers = {window: self._ask(window) for window in looks}
        brought = {key for a in answers.values() for key in a.keys}
        if brought == set(answer.keys) and not any(
            a.unclean() or a.truncated(self._cap) for a in answers.values()
        ):
            return True
        self._held.append(answer)
        halves = part.window.halves()
        if len(halves) < 2:
            self._distrust(part, "the same question was answered differently")
        else:
            at_hand = {w: a for w, a in answers.items() if a.rows}
            self._push(Part(h, depth=part.depth, answer=at_hand.get(h)) for h in halves)
        return False

    def _dense(self, window: Window, answer: SearchAnswer) -> None:
        """One second with more rows than a call returns."""
        dense = DenseSecond(_Patient(self), window, self.limits, self._cap)
        sent_at = self.port.now()
        try:
            concluded = dense.prove(answer)
        finally:
            self.calls += dense.calls
            self.rows += dense.rows
            self._extra_calls += dense.calls
        self._close(window, concluded.verdict, concluded.reason, sent_at, concluded.evidence)

    def _too_large(self, part: Part, error: AnswerTooLarge) -> None:
        self._drop_claim(part)
        halves = part.window.halves()
        if len(halves) == 2:
            self._push(Part(h) for h in halves)
        else:
            self._close(part.window, Verdict.GAP, str(error))

    def _lost(self, part: Part, error: Lost) -> None:
        """The service names the oldest instant it answers for; ask again from there."""
        self._drop_claim(part)
        window = part.window
        horizon = _horizon(error)
        if horizon is None and window.duration > _HOUR:
            self._push(Part(half) for half in window.halves())
            return
        if horizon is None or horizon >= window.end or window.duration <= SECOND:
            self._close(window, Verdict.LOST, error.summary)
            return
        cut = max(horizon, window.start.replace(microsecond=0) + SECOND)
        gone, *left = window.split(cut)
        self._close(gone, Verdict.LOST, error.summary)
        self._push(Part(rest) for rest in left)

    def _push(self, parts: Iterable[Part]) -> None:
        """Newest last, so that the newest is asked first."""
        self._todo.extend(sorted(parts, key=lambda p: p.window))

    def _close(
        self,
        window: Window,
        verdict: Verdict,
        reason: str,
        observed_at: datetime | None = None,
        evidence: dict[str, object] | None = None,
    ) -> None:
        inside = window.intersect(self.window)
        if inside:
            seen = observed_at or self.port.now()
            self.findings.append(Finding(inside, verdict, seen, reason, evidence or {}))


class _Looks(EmptyPort):
    """A walk, as the proof of an empty part sees it."""

    def __init__(self, walk: SearchWalk) -> None:
        self._walk = walk

    def ask(self, window: Window) -> SearchAnswer:
        self._walk.still_ours()  # one proof may take dozens of questions
        answer = self._walk._ask(window)
        self._walk._looked_rows += answer.rows
        return answer

    def sound(self, answer: SearchAnswer) -> bool:
        return self._walk._sound(answer)

    def pause(self, seconds: float) -> None:
        self._walk.port.pause(seconds)

    def sparse(self, length: timedelta, most: int) -> Window | None:
        proven = [f for f in self._walk.findings if f.verdict.proven]
        return sparse_stretch(proven, length, most)


class _Patient:
    """The port of a walk, throttlings waited out."""

    def __init__(self, walk: SearchWalk) -> None:
        self._walk = walk

    def ask(self, window: Window, record_type: str = "", *, tight: bool = False) -> SearchAnswer:
        ask = self._walk.port.ask
        return self._walk._patiently(lambda: ask(window, record_type, tight=tight))

    def session(
        self, window: Window, record_type: str = "", *, tight: bool = False
    ) -> SessionAnswer:
        session = self._walk.port.session
        return self._walk._patiently(lambda: session(window, record_type, tight=tight))


def _equal(window: Window, count: int) -> list[Window]:
    """`count` pieces of about the same length; cut on whole hours, which teach the tenant's week,
    where they are long."""
    edges = [window.start + window.duration * n / count for n in range(1, count)]
    if window.duration > count * 6 * _HOUR:
        edges = [edge.replace(minute=0, second=0) for edge in edges]
    return list(window.split(*(edge.replace(microsecond=0) for edge in edges)))


_WORTH_SHARING = 4
"""calls: below, the answer that is not full costs more than a second search wins"""
_HELD = 12
"""answers whose rows are remembered: 60,000 keys at most"""
_HOUR = timedelta(hours=1)
_LEEWAY = timedelta(seconds=5)
"""questions reach a second back, and the horizon moves on while they are asked"""


def _horizon(error: Lost) -> datetime | None:
    """From when on to ask again; None when the service named no instant that can be read."""
    try:
        return parse_instant(error.horizon).replace(microsecond=0) + _LEEWAY
    except ValueError:
        return None
