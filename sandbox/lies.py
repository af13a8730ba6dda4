"""The documented defects of the search, D1 to D14 of the reference (4.4), by name."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from sandbox.answers import Answer, Session
from sandbox.faults import Plan
from sandbox.parameters import Query
from sandbox.tenants import Tenant

_WARNINGS = (
    "A task was canceled.",
    "Failed to process request.",
    "The operation could not be completed because of a server side error.",
    "The request timed out.",
)


def next_page(tenant: Tenant, session: Session, query: Query, now: int) -> Answer:
    """Advance a session by one page, in the way that its faults tell."""
    session.pages += 1
    if (params := session.plan.get("session_restarts")) is not None:
        return _restarting(session, query.size, params)
    if (params := session.plan.get("short_first_page")) is not None:
        return _short_then_wrong(tenant, session, query, params, now)
    if (params := session.plan.get("stall")) is not None:
        return _stalling(session, query.size, params)
    return _honest(session, query.size, session.end)


def _honest(session: Session, size: int, end: int) -> Answer:
    """The next rows; a session that hit its cap goes on saying that there are more."""
    start = session.cursor
    page = session.rows[start : min(start + size, end)]
    session.cursor = start + len(page)
    session.last_page = page or session.last_page
    more = session.cursor < len(session.rows) or session.found > len(session.rows)
    return Answer(page, start + 1, min(session.found, session.cap), more)


def _restarting(session: Session, size: int, params: Mapping[str, Any]) -> Answer:
    """D5: 25,000 of 23,391, then the same set again."""
    start, end = session.cursor, session.end
    rounds = int(params.get("rounds", 0))
    limit = end * (rounds + 1) if rounds else start + size
    stop = min(start + size, limit) if end else start
    page = [session.rows[at % end] for at in range(start, stop)]
    session.cursor = stop
    return Answer(page, start + 1, min(session.found, session.cap), bool(page))


def _short_then_wrong(
    tenant: Tenant, session: Session, query: Query, params: Mapping[str, Any], now: int
) -> Answer:
    """D6: a short first page, then rows that were not asked for; it never says finished."""
    answer = _honest(session, query.size, session.end)
    if session.pages == 1:
        keep = max(1, int(len(answer.ids) * float(params.get("keep", 0.3))))
        session.last_page = answer.ids = answer.ids[:keep]
    else:
        rng = random.Random(f"{session.query.session_id}/{session.pages}")
        wrong = strangers(tenant, session.query, len(session.last_page), rng, now)
        answer.ids = wrong or list(session.last_page)
    answer.more = True
    return answer


def _stalling(session: Session, size: int, params: Mapping[str, Any]) -> Answer:
    """D7: 45,605 of 50,000, and the rest never comes."""
    end = int(session.end * float(params.get("at", 0.91)))
    answer = _honest(session, size, end)
    if not answer.ids and params.get("form", "empty") == "repeat":
        answer.ids = list(session.last_page)
        answer.first_index = session.cursor - len(answer.ids) + 1
    answer.more = True
    return answer


def mislead(answer: Answer, plan: Plan, tenant: Tenant, query: Query, now: int) -> None:
    """Apply the due search faults to one page."""
    rng = random.Random(f"{query.start}/{query.end}/{len(answer.ids)}")
    if (params := plan.get("foreign_rows")) is not None:
        _mix_in(answer, params, tenant, query, rng, now)
    if plan.get("count_is_page_size") is not None:
        answer.shown_count = len(answer.ids)
    if (params := plan.get("count_zero")) is not None:  # after D4: the 0 is its only sign
        # Where 0 is the tenant's rule it means nothing, so nothing is missing either.
        usual = 1.0 if tenant.switches.result_count == "zero" else 0.8
        answer.ids = some(answer.ids, float(params.get("keep", usual)), rng)
        answer.shown_count = 0
    if (params := plan.get("invalid_json")) is not None:
        share = float(params.get("share", 0.05))
        answer.broken = {i for i in answer.ids if crc32(b"%d" % i) / 2**32 < share}
    if (params := plan.get("bogus_row")) is not None:
        _make_bogus(answer, str(params.get("form", "row")), rng)
    if (params := plan.get("warning_partial_rows")) is not None:
        answer.ids = some(answer.ids, float(params.get("keep", 0.5)), rng)
        answer.warnings.append(str(params.get("text") or rng.choice(_WARNINGS)))
    if (params := plan.get("more_results_warning")) is not None:
        _cut_with_warning(answer, int(params.get("rows", 1000)))
    _empty_it(answer, plan, rng)


def _cut_with_warning(answer: Answer, rows: int) -> None:
    if len(answer.ids) > rows:
        answer.ids = answer.ids[:rows]
        answer.warnings.append(
            "There are more results available than are currently displayed. "
            "To view them, increase the value for the ResultSize parameter."
        )


def _empty_it(answer: Answer, plan: Plan, rng: random.Random) -> None:
    for name in ("warning_zero_rows", "first_large_empty", "ingestion_off", "errors_in_200"):
        if (params := plan.get(name)) is None:
            continue
        if answer.total <= int(params.get("min_rows", -1)):
            continue
        answer.ids, answer.more = [], False
        text = str(params.get("text") or rng.choice(_WARNINGS))
        if name == "warning_zero_rows":
            answer.warnings.append(text)
        if name == "errors_in_200":
            answer.errors.append(text)


def _make_bogus(answer: Answer, form: str, rng: random.Random) -> None:
    """D2: an internal timeout in the shape of rows."""
    answer.shown_index, answer.shown_count = -1, 0
    if form == "page":
        answer.ids = some(answer.ids, 0.5, rng)
    else:
        answer.ids = answer.ids[:1] if form == "row" else []
        answer.empty_row = not answer.ids


def _mix_in(
    answer: Answer,
    params: Mapping[str, Any],
    tenant: Tenant,
    query: Query,
    rng: random.Random,
    now: int,
) -> None:
    """D11: concurrent sessions mix."""
    if params.get("when_concurrent") and tenant.running < 2:
        return
    count = max(1, int(len(answer.ids) * float(params.get("share", 0.2))))
    foreign = strangers(tenant, query, count, rng, now)
    if not params.get("replace", True):
        answer.ids = answer.ids + foreign
        return
    for at, i in zip(
        rng.sample(range(len(answer.ids)), min(count, len(answer.ids))), foreign, strict=False
    ):
        answer.ids[at] = i


def strangers(tenant: Tenant, query: Query, count: int, rng: random.Random, now: int) -> list[int]:
    """Up to `count` arrived records from outside the window."""
    store = tenant.store
    ids = store.all_ids()
    if not ids:
        return []
    drawn = (rng.choice(ids) for _ in range(count * 20))
    outside = [
        i
        for i in drawn
        if not query.start <= store.times[i] < query.end and store.arrivals[i] <= now
    ]
    return list(dict.fromkeys(outside))[:count]


def some(ids: list[int], keep: float, rng: random.Random) -> list[int]:
    """A share of the rows, order kept; of anything at least one is missing."""
    wanted = min(int(len(ids) * keep), max(0, len(ids) - 1)) if keep < 1 else len(ids)
    return [ids[at] for at in sorted(rng.sample(range(len(ids)), wanted))]
