"""Sessions with their cursor on the server, and answers cut into OData pages."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.days import recent
from tests.sandbox.callers import Caller, TrustingSession

LARGE = {"SessionCommand": "ReturnLargeSet", "ResultSize": 5000}
PREVIEW = {"SessionCommand": "ReturnNextPreviewPage", "ResultSize": 5000}


def pages(caller: Caller, limit: int = 30, **parameters: Any) -> list[list[dict[str, Any]]]:
    """Pages of one session up to the first empty one."""
    found = []
    for _ in range(limit):
        rows = caller.rows(**parameters)
        if not rows:
            break
        found.append(rows)
    return found


def test_large_set_brings_everything_unsorted(busy: Caller) -> None:
    """ReturnLargeSet serves the whole window over several pages, in no order, index counting up."""
    got = pages(busy, SessionId="one", **LARGE)
    rows = [row for page in got for row in page]
    dates = [row["CreationDate"] for row in rows]
    assert [len(page) for page in got] == [5000, 1000]
    assert len({row["Identity"] for row in rows}) == 6000
    assert dates != sorted(dates, reverse=True)
    assert [row["ResultIndex"] for row in rows] == list(range(1, 6001))
    more = [page[0]["AuditSearchRequestMetadata"]["moreRecordsAvailable"] for page in got]
    assert more == [True, False]


def test_preview_is_sorted_and_ends_at_5000(busy: Caller) -> None:
    """ReturnNextPreviewPage is sorted newest first and stops at 5,000 rows."""
    got = pages(busy, SessionId="two", **{**PREVIEW, "ResultSize": 2000})
    dates = [row["CreationDate"] for page in got for row in page]
    assert len(dates) == 5000
    assert dates == sorted(dates, reverse=True)


def test_mixed_commands_give_ten_thousand(caller: Caller) -> None:
    """Mixing both commands in one session caps it at 10,000."""
    caller.box.control.crowd(caller.name, recent("2026-10-05T00:00:00Z"), 12_000, seconds=80_000)
    first = caller.rows(SessionId="mix", **LARGE)
    rest = pages(caller, SessionId="mix", **PREVIEW)
    assert len(first) + sum(map(len, rest)) == 10_000


def test_large_set_ends_at_fifty_thousand(caller: Caller) -> None:
    """A session ends at 50,000 rows, and its last row still says that there are more."""
    caller.box.control.crowd(caller.name, recent("2026-10-05T00:00:00Z"), 50_500, seconds=80_000)
    got = pages(caller, SessionId="huge", **LARGE)
    assert sum(map(len, got)) == 50_000
    assert got[-1][-1]["AuditSearchRequestMetadata"]["moreRecordsAvailable"] is True


def test_session_id_holds_its_first_query(busy: Caller) -> None:
    """The same SessionId with another window goes on with the old query: the lie of reuse."""
    busy.rows(SessionId="kept", **LARGE)
    rows = busy.rows(
        SessionId="kept", StartDate=recent("2026-10-04"), EndDate=recent("2026-10-05"), **LARGE
    )
    assert {row["CreationDate"][:10] for row in rows} == {recent("2026-10-05")}


def test_a_lost_page_is_skipped(busy: Caller) -> None:
    """A page whose answer was reset is gone: the next call of the session goes on after it."""
    busy.box.control.set_fault("reset", busy.name)
    with pytest.raises(requests.ConnectionError):
        busy.search(SessionId="lost", **LARGE)
    assert len(busy.rows(SessionId="lost", **LARGE)) == 1000


def split(caller: Caller, **rest: Any) -> requests.Response:
    caller.box.control.alter(caller.name, odata_split=True)
    parameters = {
        "StartDate": recent("2026-10-05"),
        "EndDate": recent("2026-10-06"),
        "ResultSize": 5000,
    }
    return caller.invoke(
        "Search-UnifiedAuditLog", parameters, headers={"Prefer": "odata.maxpagesize=1000"}, **rest
    )


def follow(caller: Caller, answer: requests.Response, **rest: Any) -> requests.Response:
    return caller.invoke("Search-UnifiedAuditLog", {}, url=answer.json()["@odata.nextLink"], **rest)


def test_split_answers_are_followed_by_post(busy: Caller) -> None:
    """With splitting on, five pages of 1,000 come, joined by nextLinks that want POST."""
    answer = split(busy)
    ids = [row["Identity"] for row in answer.json()["value"]]
    while "@odata.nextLink" in answer.json():
        answer = follow(busy, answer)
        assert answer.status_code == 200
        ids += [row["Identity"] for row in answer.json()["value"]]
    assert len(set(ids)) == 5000
    counted = busy.box.control.counters()["by_tenant"][busy.name]
    assert (counted["search"], counted["next_page"]) == (1, 4)


def test_skip_token_wants_anchor_cookie_and_guid(busy: Caller) -> None:
    """A skip token fails with another anchor, without the cookie, and by the vanity domain."""
    answer = split(busy)
    other = follow(busy, answer, headers={"X-AnchorMailbox": "TID:somebody"})
    busy.session = TrustingSession(busy.box.ca)
    without_cookie = follow(busy, answer)
    by_vanity = follow(busy, split(busy, segment=busy.tenant["vanity_domain"]))
    for refused in (other, without_cookie, by_vanity):
        assert refused.status_code == 400
        assert "Expired or Invalid pagination request" in refused.text


def test_skip_token_expires(busy: Caller) -> None:
    """A skip token past its lifetime is refused with the same sentence."""
    busy.box.control.alter(busy.name, skip_token_seconds=0.0)
    assert "Default Expiry time is 00:30:00" in follow(busy, split(busy)).text


def test_rows_behind_a_link_count_when_fetched(busy: Caller) -> None:
    """Rows put by behind a nextLink are not served until somebody follows it."""
    answer = split(busy)
    assert busy.box.control.counters()["rows_served"][busy.name] == 1000
    follow(busy, answer)
    assert busy.box.control.counters()["rows_served"][busy.name] == 2000
