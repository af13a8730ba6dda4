"""Proving a window of the Exchange audit search complete, call by call.

Search-UnifiedAuditLog answers one call with at most `cap` rows and lies in fourteen documented ways
(identity-and-exchange.md, section 4.4). `SearchWalk` asks for parts of a window until each part is
proven, suspect or a gap, and trusts no flag or count of the server to *end* a part:

* A **clean** answer has no warning, no bogus row and no row outside what was asked.
* A clean answer **below the cap** closes its part, unless a hint contradicts it (a total that is
  higher than the rows, more rows than it ever gave; `trailkeeper.model.search.answer.doubt`):
  then both halves are asked too, and only when they bring exactly the same is the part closed.
* An answer that **lacks a row** which an earlier answer of this walk had closes nothing.
* A **full** answer in time order covers the time between its edge and its last row. The next call
  asks for the rest plus a small *overlap* with what is already covered; only when the overlap
  returns exactly the rows already held is the covered part closed (the overlap is the witness that
  the order, and not chance, chose the rows). The first time, and when the answer gives cause to
  doubt, the covered part is asked again as a whole. Without order the part is cut where the rows
  lie.
* An **empty** answer closes its part only after auditing is known to be on, and when the question,
  stretched to a row that is known to exist, brings this row and none of the part; without such a
  row other, different looks must be empty too (`trailkeeper.model.search.emptiness.proof`).
* A full second cannot be cut; `trailkeeper.model.search.full_second` has its own ways.

Calls are bounded: see `trailkeeper.model.search.answer.rows.SearchLimits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta

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
from trailkeeper.model.search.answer.doubt import Doubts
from trailkeeper.model.search.answer.held import Held
from trailkeeper.model.search.answer.rows import (
    SECOND,
    UNTIMED,
    Choice,
    SearchAnswer,
    SearchLimits,
    cut_by_rows,
    keys_between,
    micros,
)
from trailkeeper.model.search.calls import Asking, AskingOfSeconds
from trailkeeper.model.search.emptiness.credibility import EmptyAnswers
from trailkeeper.model.search.emptiness.probes import sparse_stretch
from trailkeeper.model.search.emptiness.proof import (
    EmptyPart,
    EmptyPort,
    Hidden,
    Later,
    Narrower,
    Proven,
    usual,
)
from trailkeeper.model.search.full_second import DenseSecond
from trailkeeper.model.search.order.claim import Covered, covered_by, rows_by_hour
from trailkeeper.model.search.order.trust import TrustInOrder
from trailkeeper.model.search.port import SearchPort
from trailkeeper.model.search.sharing import WORTH_SHARING, calls_expected, groups, joined, shares
from trailkeeper.model.segment import Finding, Verdict
from trailkeeper.model.turn import Turn
from trailkeeper.model.window import Window, parse_instant, subtract


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
    proven_order: InitVar[Choice | None] = None
    """how full answers choose their rows; None: the walk finds out by itself"""
    turn: Turn = field(default_factory=Turn)
    density: Density = field(default_factory=Density)

    def __post_init__(self, proven_order: Choice | None) -> None:
        self.findings: list[Finding] = []
        self.interrupted: TrailkeeperError | None = None
        self.rows_by_hour: Counter[int] = Counter()
        """records of proven time, by whole hours since 1970"""
        self.doubts = self.known_doubts or Doubts(self.limits)
        self.asking = Asking(self.port, self.turn, self.limits, self.doubts, self.empties)
        self._held = Held(self.doubts)
        self.order = TrustInOrder(self.port, self._ask, self.doubts, self._held, proven_order)
        self._todo = [Part(self.window)]
        self._audited = False

    def run(self) -> list[Finding]:
        """Walk until every part has a finding, a bound is reached, or an error stops it.

        A part without a finding was not concluded and has to be planned again. `LeaseLost` and
        `Unavailable` pass through; every other error of ours ends up in `interrupted`.
        """
        while self._todo and not self._enough():
            part = self._todo.pop()
            if error := self._step(part):
                self.interrupted = error
                break
        if not self.interrupted:
            self.interrupted = self._settle_claims()
        return self.findings

    def _settle_claims(self) -> TrailkeeperError | None:
        """Witness what the last full answer covers, when the rest of the window is left to others.

        The overlap and a little beyond is a question of a few rows; without it they would ask for
        all the rows of that answer again. What it does not confirm stays without a finding. Returns
        the error that came instead.
        """
        try:
            for part in [part for part in self._todo if part.claim]:
                self._settle(part)
        except (AnswerTooLarge, Lost):
            return None
        except (Transient, NeedsPerson, ConfigurationError, Bug) as error:
            return error
        return None

    def _settle(self, part: Part) -> None:
        claim = part.claim
        assert claim is not None  # noqa: S101 - the caller chose the parts that have one
        answer = self._ask(claim.beyond(part.window))
        if answer.truncated(self.asking.cap):
            answer = self._ask(claim.overlap)
        shown = self._held.is_sure(answer) and keys_between(answer, claim.overlap) == claim.expected
        if shown and self.order.bears(claim, answer):
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

    def _ask(self, window: Window) -> SearchAnswer:
        counted = self.doubts.counts
        answer = self.asking.ask(window)
        if self.doubts.counts and not counted:
            self._reopen(_counted_none)
        return answer

    def _enough(self) -> bool:
        """Bounds reached: the rest is planned as segments of its own.

        An attempt that has concluded nothing may bring more than its share: the next one would
        begin where it began.
        """
        some = self.findings or any(part.claim for part in self._todo)
        times = 1 if some else _WITHOUT_FINDING
        if self.asking.rows >= times * self.limits.rows_per_attempt or self.port.full(times):
            return True
        if not self.asking.spent:
            return False
        reason = f"not proven within {self.asking.calls} calls"
        for part in self._todo:
            self._close(part.window, Verdict.SUSPECT, reason)
        self._todo.clear()
        return True

    # --- concluding ---

    def _conclude(self, part: Part, answer: SearchAnswer) -> None:
        if reason := answer.unclean():
            self._held.hold(answer)
            self._distrust(part, reason)
        elif part.claim and not self._witness(part, part.claim, answer):
            return
        elif answer.truncated(self.asking.cap):
            self._held.hold(answer)
            self._full(part, answer)
        elif missing := self._held.missing(part.window, answer):
            self._held.hold(answer)
            self._distrust_lacking(part, answer, missing)
        elif keys_between(answer, part.window) or UNTIMED in answer.times:
            self._short(part, answer)
        else:
            self._empty(part, answer)

    def _distrust_lacking(self, part: Part, answer: SearchAnswer, missing: int) -> None:
        """It has not all the rows that an earlier answer had."""
        if not answer.rows:
            self.empties.hid(answer.asked)
            self._reopen(self._empty_on_little)
        self._distrust(part, f"{missing} rows that were there a moment ago are missing")

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
        if not claim.shown_by(answer, self.asking.cap):
            part.release_claim()
            self._refute(claim)
            return True
        seen = keys_between(answer, claim.overlap)
        missing = claim.expected - seen
        if missing and (not answer.truncated(self.asking.cap) or self.order.bears(claim, answer)):
            self._distrust_lacking(part, answer, len(missing))
            return False
        holds = (
            seen == claim.expected
            and self._held.bears_out(answer, claim)
            and self.order.bears(claim, answer)
        )
        part.release_claim()
        if holds:
            self._confirm(claim)
        else:
            self._refute(claim)
        return True

    def _confirm(self, claim: Covered) -> None:
        rows, witness = claim.answer.rows, len(claim.expected)
        self.order.confirmed()
        self._complete(claim.window, claim.answer, {"rows": rows, "witness": witness})

    def _refute(self, claim: Covered) -> None:
        """Not all rows are there: the covered part has to be asked by itself.

        It is the order that did not choose them, unless the answer is known to keep rows back.
        """
        if not self.doubts.keeps_back(claim.answer):
            self.order.refuted(claim)
        self._push(Part(half) for half in claim.window.halves())

    def _drop_claim(self, part: Part) -> None:
        if claim := part.release_claim():
            self.order.dropped(claim)
            self._push([Part(claim.window)])

    def _full(self, part: Part, answer: SearchAnswer) -> None:
        """More rows than one answer holds: keep what order covers, or cut where the rows lie."""
        if part.window.duration <= SECOND:
            if answer.asked == part.window:
                self._dense(part.window, answer)
            else:  # rows of a claim's overlap, which no question about the second brings
                self._push([Part(part.window)])
            return
        order = self.order.of(answer)
        claim = covered_by(answer, part.window, order, self.limits.overlap_rows)
        if claim is None:
            pieces = self._ours_of(cut_by_rows(part.window, answer, self.asking.cap))
            self._push(Part(piece) for piece in pieces if piece.duration > SECOND)
            # Asked first: what cannot be cut is concluded, and an attempt that ends has brought it.
            self._push(Part(piece) for piece in pieces if piece.duration <= SECOND)
            return
        self._push([Part(self._rest(part.window, claim), claim=claim)])

    def _rest(self, window: Window, claim: Covered) -> Window:
        """What is left of `window` for this walk; its far end may go to others."""
        rest = claim.rest_of(window)
        mine, *given = self._shares(rest, claim)
        if given:
            start, end = self.window.start, self.window.end
            kept = Window(mine.start, end) if claim.newest_first else Window(start, mine.end)
            if self.turn.share(kept, given):
                self.window, rest = kept, mine
        return claim.with_overlap(rest)

    def _ours_of(self, pieces: Sequence[Window]) -> Sequence[Window]:
        """What is left of `pieces` for this walk; the oldest may go to others."""
        if pieces[0].start != self.window.start:
            return pieces
        *given, ours = groups(pieces, 1 + self.turn.room())
        kept = Window(ours[0].start, self.window.end)
        if not given or not self.turn.share(kept, [joined(group) for group in given]):
            return pieces
        self.window = kept
        return ours

    def _shares(self, rest: Window, claim: Covered) -> list[Window]:
        """`rest` cut for as many as have a place, ours first; only the far end can be given."""
        if rest.start != self.window.start and rest.end != self.window.end:
            return [rest]
        density = self.learned(self.density, claim)
        calls = calls_expected(rest, density, claim, self.asking.cap)
        if calls < WORTH_SHARING:
            return [rest]
        parts = shares(rest, calls, 1 + self.turn.room(), density)
        return parts[::-1] if claim.newest_first else parts

    def learned(self, density: Density, claim: Covered | None = None) -> Density:
        """`density` and what this walk has seen: proven time, and what `claim` covers."""
        proven = [f.window for f in self.findings if f.verdict.proven]
        rows = self.rows_by_hour
        if claim:
            proven.append(claim.window)
            rows = rows + rows_by_hour(claim.answer, claim.window)
        return density.learn(proven, rows)

    def _short(self, part: Part, answer: SearchAnswer) -> None:
        """A clean answer below the cap: complete, unless a hint speaks against it."""
        evidence: dict[str, object] = {"rows": answer.rows}
        if doubt := self.doubts.of(answer):
            if not self._agrees(part, answer, part.window.halves()):
                self.doubts.founded(doubt, answer)
                self.empties.troubled = True
                self._reopen(self._empty_on_little)
                return
            self.doubts.unfounded(doubt, answer)
            evidence["second_look"] = doubt
        self._complete(part.window, answer, evidence)

    def _empty(self, part: Part, answer: SearchAnswer) -> None:
        """No rows is not no events."""
        if not self._audited:
            self.asking.require_auditing()
            self._audited = True
        part.usual = max(part.usual, usual(self.density, part.window))
        caught = self.empties.caught
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
        if self.empties.caught > caught:
            self._reopen(self._empty_on_little)

    def _unhidden(self, part: Part, answer: SearchAnswer) -> None:
        """A look brought rows of a part that had come back empty."""
        self._held.hold(answer)
        full = answer.rows >= self.asking.cap and not answer.unclean()
        if answer.asked.covers(part.window) and self._held.is_sound(answer):
            evidence: dict[str, object] = {
                "rows": len(keys_between(answer, part.window)),
                "hidden_at_first": True,
            }
            self._complete(part.window, answer, evidence)
        elif full and answer.asked == part.window:
            self._full(part, answer)
        elif len(part.window.halves()) < 2:
            self._distrust(part, "the same question was answered differently")
        else:
            self._push(Part(h, usual=part.usual) for h in part.window.halves())

    def _empty_on_little(self, finding: Finding) -> bool:
        """Whether it was called empty on fewer looks than are wanted by now."""
        return (
            finding.verdict is Verdict.EMPTY_CONFIRMED
            and "witness" not in finding.evidence
            and self.empties.looks(finding.window) > int(str(finding.evidence["looks"]))
        )

    def _reopen(self, is_doubted: Callable[[Finding], bool]) -> None:
        """The service was caught: ask again what was believed on less than is wanted now."""
        doubted = [f for f in self.findings if is_doubted(f)]
        self.findings = [f for f in self.findings if f not in doubted]
        self._push(Part(f.window) for f in doubted)

    def _agrees(self, part: Part, answer: SearchAnswer, looks: Sequence[Window]) -> bool:
        """Ask `looks` too: True when they bring nothing that `answer` did not.

        Otherwise the halves take the part's place, with the answers that are at hand already.
        """
        answers = {window: self._ask(window) for window in looks}
        if self._held.same_in_pieces(part.window, answer, answers.values()):
            return True
        self._held.hold(answer)
        halves = part.window.halves()
        if len(halves) < 2:
            self._distrust(part, "the same question was answered differently")
        else:
            at_hand = {w: a for w, a in answers.items() if a.rows and not self.doubts.keeps_back(a)}
            self._push(Part(h, depth=part.depth, answer=at_hand.get(h)) for h in halves)
        return False

    def _whole(self, answer: SearchAnswer) -> bool:
        """Whether it is sound, or doubted without cause: its halves are asked to find out."""
        if self._held.is_sound(answer):
            return True
        doubt, halves = self.doubts.of(answer), answer.asked.halves()
        if not doubt or len(halves) < 2 or not self._held.is_consistent(answer):
            return False
        pieces = [self._ask(half) for half in halves]
        if not self._held.same_in_pieces(answer.asked, answer, pieces):
            return False
        self.doubts.unfounded(doubt, answer)
        return True

    def _dense(self, window: Window, answer: SearchAnswer) -> None:
        """One second with more rows than a call returns."""
        dense = DenseSecond(AskingOfSeconds(self.asking), window, self.limits, self.asking.cap)
        sent_at = self.port.now()
        try:
            concluded = dense.prove(answer)
        finally:
            self.asking.calls += dense.calls
            self.asking.rows += dense.rows
            self.asking.extra_calls += dense.calls
        if concluded.verdict is Verdict.COMPLETE:
            hour = micros(window.start) // _HOUR_MICROS
            self.rows_by_hour[hour] += int(str(concluded.evidence["rows"]))
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

    def _complete(self, window: Window, answer: SearchAnswer, evidence: dict[str, object]) -> None:
        """`window` holds what `answer` has of it, and nothing else."""
        self.rows_by_hour += rows_by_hour(answer, window)
        evidence = {**evidence, "result_count": answer.result_count}
        self._close(window, Verdict.COMPLETE, "", answer.sent_at, evidence)

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
        answer = self._walk._ask(window)
        self._walk.asking.looked_rows += answer.rows
        return answer

    def whole(self, answer: SearchAnswer) -> bool:
        asking = self._walk.asking
        looked = asking.rows
        try:
            return self._walk._whole(answer)
        except (AnswerTooLarge, Lost):
            return False
        finally:
            asking.looked_rows += asking.rows - looked

    def pause(self, seconds: float) -> None:
        self._walk.port.pause(seconds)

    def sparse(self, length: timedelta, most: int) -> Window | None:
        proven = [f for f in self._walk.findings if f.verdict.proven]
        return sparse_stretch(proven, length, most)


_WITHOUT_FINDING = 4
"""how many times its rows an attempt may bring that has concluded nothing yet"""
_HOUR = timedelta(hours=1)
_HOUR_MICROS = 3_600_000_000
_LEEWAY = timedelta(seconds=5)
"""questions reach a second back, and the horizon moves on while they are asked"""


def _counted_none(finding: Finding) -> bool:
    """Whether the answer that closed it had rows and counted none of them."""
    return bool(finding.evidence.get("rows")) and finding.evidence.get("result_count") == 0


def _horizon(error: Lost) -> datetime | None:
    """From when on to ask again; None when the service named no instant that can be read."""
    try:
        return parse_instant(error.horizon).replace(microsecond=0) + _LEEWAY
    except ValueError:
        return None
