"""Search-UnifiedAuditLog without a session, and the doors before it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.days import MONDAY, recent
from tests.sandbox.callers import Caller

DAY = {"StartDate": recent("2026-10-05T00:00:00Z"), "EndDate": recent("2026-10-06T00:00:00Z")}


def test_rows_carry_annotations_and_exact_text(small: Caller) -> None:
    """A row has the documented columns, type annotations, and AuditData as text."""
    row = small.rows(ResultSize=1)[0]
    assert row["ResultIndex"] == 1
    assert row["ResultIndex@data.type"] == "System.Int32"
    assert row["IsValid"] is True
    assert row["ObjectState"] == "Unchanged"
    content = json.loads(row["AuditData"])
    assert content["Id"] == row["Identity"]
    assert content["UserId"] == row["UserIds"]
    assert row["CreationDate"] == f"{content['CreationTime']}.0000000+00:00"
    truth = {r["Identity"]: r["AuditData"] for r in small.box.control.records(small.name)}
    assert truth[row["Identity"]] == row["AuditData"]


def test_default_page_is_a_hundred_rows_newest_first(small: Caller) -> None:
    """Without ResultSize a hundred rows come, the newest of the window first."""
    rows = small.rows()
    dates = [row["CreationDate"] for row in rows]
    assert len(rows) == 100
    assert dates == sorted(dates, reverse=True)
    assert [row["ResultIndex"] for row in rows] == list(range(1, 101))


@pytest.mark.parametrize("size", [5000, "5000"])
def test_cap_of_a_single_call(busy: Caller, size: object) -> None:
    """One call brings at most 5,000 rows, the newest, with ResultSize as number or text."""
    rows = busy.rows(ResultSize=size)
    assert len(rows) == 5000
    assert rows[0]["AuditSearchRequestMetadata"] == {"moreRecordsAvailable": True}


@pytest.mark.parametrize("size", [5001, 0, "many"])
def test_wrong_sizes_are_refused(small: Caller, size: object) -> None:
    """More than 5,000, none, or no number at all is a 400."""
    assert small.search(ResultSize=size).status_code == 400


@pytest.mark.parametrize(("mode", "wanted"), [("total", 300), ("page", 10), ("zero", 0)])
def test_result_count_modes(small: Caller, mode: str, wanted: int) -> None:
    """ResultCount is the total, the page's rows, or always 0, as the tenant's mode says."""
    small.box.control.alter(small.name, result_count=mode)
    assert {row["ResultCount"] for row in small.rows(ResultSize=10)} == {wanted}


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("object", {"moreRecordsAvailable": False}),
        ("string", '{"moreRecordsAvailable":false}'),
        ("off", None),
    ],
)
def test_more_records_modes(small: Caller, mode: str, wanted: object) -> None:
    """moreRecordsAvailable comes as object, as text, or not at all."""
    small.box.control.alter(small.name, more_records=mode)
    assert small.rows(ResultSize=5000)[0].get("AuditSearchRequestMetadata") == wanted


def test_orders(small: Caller) -> None:
    """A tenant can answer oldest first or in no order; the rows are the same."""
    newest = small.ids(ResultSize=5000)
    small.box.control.alter(small.name, order="oldest")
    oldest = [row["CreationDate"] for row in small.rows(ResultSize=5000)]
    assert oldest == sorted(oldest)
    small.box.control.alter(small.name, order="shuffled")
    shuffled = small.ids(ResultSize=5000)
    assert shuffled != newest
    assert sorted(shuffled) == sorted(newest)


def test_borders(caller: Caller) -> None:
    """StartDate is in and EndDate out by default; both can be switched."""
    lines = [
        json.dumps(
            {
                "Id": f"id-{hour}",
                "CreationTime": recent(f"2026-10-05T{hour:02}:00:00"),
                "RecordType": 15,
                "Operation": "UserLoggedIn",
            }
        )
        for hour in (1, 2, 3)
    ]
    caller.box.control.add_lines(caller.name, lines)
    window = {
        "StartDate": recent("2026-10-05T01:00:00Z"),
        "EndDate": recent("2026-10-05T03:00:00Z"),
    }
    assert caller.ids(**window) == ["id-2", "id-1"]
    caller.box.control.alter(caller.name, end_inclusive=True, start_inclusive=False)
    assert caller.ids(**window) == ["id-3", "id-2"]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-10-05", "2026-10-06"),
        ("2026-10-05T00:00:00", "2026-10-06T00:00:00"),
        ("2026-10-05T02:00:00+02:00", "2026-10-06T02:00:00+02:00"),
    ],
)
def test_date_forms_mean_utc(small: Caller, start: str, end: str) -> None:
    """Dates without time are midnight, without zone UTC; offsets are understood."""
    window = {"StartDate": recent(start), "EndDate": recent(end)}
    assert len(small.rows(**window, ResultSize=5000)) == 300


def test_us_dates_mean_utc(small: Caller) -> None:
    """Month, day and year between slashes are understood, as midnight."""
    start, end = (f"{day:%m/%d/%Y}" for day in (MONDAY, MONDAY + timedelta(days=1)))
    assert len(small.rows(StartDate=start, EndDate=end, ResultSize=5000)) == 300


def test_same_date_twice_finds_nothing(small: Caller) -> None:
    """The same date without a time as start and end is an empty window."""
    assert small.rows(StartDate=recent("2026-10-05"), EndDate=recent("2026-10-05")) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"StartDate": "2026-10-07"}, "is later than endDate"),
        ({"StartDate": "2020-01-01"}, "startDate should be after"),
        ({"StartDate": "yesterday"}, "Cannot convert value"),
        ({"StartDate": None}, "StartDate"),
        ({"Colour": "blue"}, "Colour"),
        ({"RecordType": "Nonsense"}, "ExchangeItemAggregated"),
        ({"RecordType": ["ExchangeItem"]}, "RecordType"),
    ],
)
def test_bad_parameters(small: Caller, change: dict[str, object], text: str) -> None:
    """Wrong, old or missing dates, unknown parameters and types are 400 with their sentence."""
    recently = {name: recent(v) if isinstance(v, str) else v for name, v in change.items()}
    answer = small.search(**recently)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert text in error["innererror"]["internalexception"]["message"]
    assert error["details"][0]["message"].count("|") == 2


def test_record_type_accepts_prefixes(small: Caller) -> None:
    """A prefix of an enum member is taken for some member: 200 with other rows or none."""
    files = small.rows(RecordType="SharePointFileOperation", ResultSize=5000)
    assert files
    assert {row["RecordType"] for row in files} == {"SharePointFileOperation"}
    assert small.rows(RecordType="sharepointfileoperation", ResultSize=5000) == files
    assert small.search(RecordType="SharePointFil").json()["value"]
    assert small.rows(RecordType="Exch") == small.rows(RecordType="ExchangeAdmin")


def test_filters(small: Caller) -> None:
    """Operations, UserIds, FreeText and IPAddresses narrow the rows."""
    rows = small.rows(ResultSize=5000)
    one = rows[7]
    address = next(
        json.loads(r["AuditData"])["ClientIP"]
        for r in rows
        if json.loads(r["AuditData"]).get("ClientIP")
    )
    wanted = [r["Identity"] for r in rows if r["Operations"] == one["Operations"]]
    assert small.ids(ResultSize=5000, Operations=[one["Operations"].upper()]) == wanted
    assert one["Identity"] in small.ids(ResultSize=5000, UserIds=one["UserIds"])
    assert small.ids(ResultSize=5000, FreeText=one["Identity"]) == [one["Identity"]]
    assert small.ids(ResultSize=5000, IPAddresses=[address])


def test_formatted_names_numbers(small: Caller) -> None:
    """The Formatted switch shows the record type inside AuditData by name."""
    row = small.rows(Formatted=True, ResultSize=1)[0]
    assert json.loads(row["AuditData"])["RecordType"] == row["RecordType"]


def test_select_trims_columns(small: Caller) -> None:
    """`?$select=` leaves only the named columns."""
    url = (
        f"{small.box['exchange']}/adminapi/beta/{small.tenant['tenant_id']}"
        "/InvokeCommand?$select=Identity,AuditData"
    )
    row = small.invoke("Search-UnifiedAuditLog", DAY, url=url).json()["value"][0]
    assert row.keys() == {"Identity", "AuditData"}


def test_late_records_appear_when_they_arrive(caller: Caller) -> None:
    """A record is invisible until its arrival, however old its CreationTime."""
    moment = datetime.now(UTC) - timedelta(hours=5)
    line = json.dumps({"Id": "late", "CreationTime": f"{moment:%Y-%m-%dT%H:%M:%S}"})
    caller.box.control.add_lines(caller.name, [line], arrival=6 * 3600)
    window = {
        "StartDate": f"{moment - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "EndDate": f"{moment + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    assert caller.ids(**window) == []
    assert caller.box.control.report()["tenants"][caller.name]["not_yet_arrived"] == 1
    caller.box.control.set_clock(events_offset=2 * 3600)
    assert caller.ids(**window) == ["late"]


def test_config_tells_about_ingestion(small: Caller) -> None:
    """Get-AdminAuditLogConfig shows the ingestion switch; off, searches succeed with no rows."""
    answer = small.invoke("Get-AdminAuditLogConfig", {})
    assert answer.json()["value"][0]["UnifiedAuditLogIngestionEnabled"] is True
    small.box.control.alter(small.name, ingestion=False)
    answer = small.invoke("Get-AdminAuditLogConfig", {})
    assert answer.json()["value"][0]["UnifiedAuditLogIngestionEnabled"] is False
    assert small.rows() == []


def test_token_without_role_is_401(small: Caller) -> None:
    """Without consent the token is good for nothing here: 401."""
    small.box.control.alter(small.name, consented=False)
    assert small.search().status_code == 401


@pytest.mark.parametrize("header", [{"Authorization": "Bearer nonsense"}, {"Authorization": ""}])
def test_bad_tokens_are_401(small: Caller, header: dict[str, str]) -> None:
    """No token, or one that was not signed here, is 401."""
    assert small.invoke("Search-UnifiedAuditLog", DAY, headers=header).status_code == 401


def test_token_for_another_resource_is_401(small: Caller) -> None:
    """A token for Graph does not open Exchange."""
    token = small.ask_token(scope="https://graph.microsoft.com/.default")["access_token"]
    header = {"Authorization": f"Bearer {token}"}
    assert small.invoke("Search-UnifiedAuditLog", DAY, headers=header).status_code == 401


def test_expired_token_is_401(small: Caller) -> None:
    """A token past its exp is 401."""
    assert small.search().status_code == 200
    small.box.control.set_clock(identity_offset=4000)
    assert small.search().status_code == 401


@pytest.mark.parametrize("cmdlet", ["Search-UnifiedAuditLog", "Get-Mailbox"])
def test_403_is_nuls_labelled_gzip(small: Caller, cmdlet: str) -> None:
    """Without a directory role, and for an unknown cmdlet, 403 is 4 KB of NULs called gzip."""
    if cmdlet == "Search-UnifiedAuditLog":
        small.box.control.alter(small.name, directory_roles=[])
    answer = small.invoke(cmdlet, DAY)
    assert answer.status_code == 403
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == bytes(4096)


def test_wrong_version_is_405(small: Caller) -> None:
    """The v1.0 path answers 405."""
    assert small.invoke("Search-UnifiedAuditLog", DAY, version="v1.0").status_code == 405


def test_null_parameters_are_400(small: Caller) -> None:
    """Parameters must be an object."""
    assert small.invoke("Get-AdminAuditLogConfig", None).status_code == 400


def test_concurrency_limit(small: Caller) -> None:
    """Beyond the tenant's limit a call gets the plain text about concurrent requests."""
    small.box.control.alter(small.name, concurrency_limit=1, seconds_per_call=1.0)
    from concurrent.futures import ThreadPoolExecutor

    assert small.token
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: small.search(), range(4)))
    assert {answer.status_code for answer in answers} == {200, 429}
    text = next(a.text for a in answers if a.status_code == 429)
    assert text.startswith("You have reached the maximum number of concurrent requests")


def test_report_counts_what_was_served(small: Caller) -> None:
    """The report knows which records were never, once and repeatedly served."""
    first = small.ids(ResultSize=40)
    small.rows(ResultSize=15)
    said = small.box.control.report(ids=1000)["tenants"][small.name]
    assert (said["never"], said["once"], said["repeatedly"]) == (310, 25, 15)
    assert sorted(said["repeatedly_ids"]) == sorted(first[:15])
    counters = small.box.control.counters()
    assert counters["by_tenant"][small.name]["search"] == 2
    assert counters["rows_served"][small.name] == 55
    small.box.control.clear_counters(served=True)
    assert small.box.control.report()["tenants"][small.name]["never"] == 350
