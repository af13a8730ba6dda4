"""The Management Activity API as a service without faults plays it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.sandbox.callers import Caller
from tests.sandbox.feeding import TYPES, Reader, code, next_link


@pytest.fixture
def reader(caller: Caller) -> Reader:
    """A reader of a tenant with 500 records of the last two days."""
    made = Reader(caller)
    caller.box.control.alter(caller.name, blob_records=20, content_page=3)
    caller.box.control.crowd(caller.name, made.ago(hours=40), 500, seconds=39 * 3600)
    return made


def test_every_record_comes_once(reader: Reader) -> None:
    """All listed blobs together hold every record of the tenant exactly once."""
    reader.start()
    found = [record for each in TYPES for record in reader.records(each, days=2)]
    truth = reader.control.records(reader.name)
    assert sorted(r["Id"] for r in found) == sorted(t["Identity"] for t in truth)
    report = reader.control.report()["tenants"][reader.name]["feed"]
    assert (report["never"], report["repeatedly"]) == (0, 0)
    assert report["once"] == report["blobs"] > 25
    assert report["records_fetched"] == 500


@pytest.mark.parametrize(
    ("content_type", "workloads"),
    [
        ("Audit.SharePoint", {"SharePoint", "OneDrive"}),
        ("Audit.Exchange", {"Exchange"}),
        ("Audit.AzureActiveDirectory", {"AzureActiveDirectory"}),
        ("Audit.General", {"MicrosoftTeams", "SecurityComplianceCenter"}),
    ],
)
def test_workload_decides(reader: Reader, content_type: str, workloads: set[str]) -> None:
    """A record's content type follows from its Workload; CreationTime has no zone."""
    reader.start(content_type)
    found = reader.records(content_type, days=2)
    assert {r["Workload"] for r in found} == workloads
    assert not any(r["CreationTime"].endswith("Z") for r in found)


def test_dlp_records_come_only_as_dlp(reader: Reader) -> None:
    """A DLP match is in DLP.All, with the matched secret in clear text, and nowhere else."""
    reader.control.crowd(reader.name, reader.ago(hours=2), 3, operation="DlpRuleMatch")
    reader.start()
    found = reader.records("DLP.All")
    assert [r["Operation"] for r in found] == ["DlpRuleMatch"] * 3
    assert "4111 1111 1111 1111" in str(found[0]["PolicyDetails"])
    exchange = reader.records("Audit.Exchange", days=2)
    assert not any(r["Operation"] == "DlpRuleMatch" for r in exchange)


def test_shapes_of_subscriptions(reader: Reader) -> None:
    """start, list and stop answer in the documented shapes; `status` can be missing."""
    enabled = {"contentType": "Audit.General", "status": "enabled", "webhook": None}
    url = "subscriptions/start?contentType=Audit.General"
    for body in ({}, {"data": "{}"}):
        assert reader.call("POST", url, **body).json() == enabled
        assert reader.call("GET", "subscriptions/list").json() == [enabled]
        stopped = reader.call("POST", "subscriptions/stop?contentType=Audit.General")
        assert (stopped.status_code, stopped.content) == (200, b"")
        assert reader.call("GET", "subscriptions/list").json() == []
    reader.start("Audit.General")
    reader.control.alter(reader.name, omit_status=True)
    assert "status" not in reader.call("GET", "subscriptions/list").json()[0]


def test_shapes_of_content(reader: Reader) -> None:
    """An entry has the five documented keys, times with milliseconds and Z, `$` in its id."""
    reader.start("Audit.SharePoint")
    entry = reader.content("Audit.SharePoint").json()[0]
    assert set(entry) == {
        "contentType",
        "contentId",
        "contentUri",
        "contentCreated",
        "contentExpiration",
    }
    assert entry["contentUri"] == f"{reader.root}/audit/{entry['contentId']}"
    assert entry["contentId"].endswith("$audit_sharepoint$Audit_SharePoint")
    assert entry["contentId"].count("$") == 3
    assert len(entry["contentCreated"]) == len("2026-11-20T10:00:51.748Z")
    told = reader.call("GET", "subscriptions/notifications?contentType=Audit.SharePoint").json()[0]
    assert told["notificationStatus"] == "success"
    assert told["notificationSent"] == told["contentCreated"]


def test_starting_again_says_af20024(reader: Reader) -> None:
    """A second start is 400 AF20024, and the report counts that it came too soon."""
    reader.start("Audit.General")
    answer = reader.call("POST", "subscriptions/start?contentType=Audit.General")
    assert (answer.status_code, code(answer)) == (400, "AF20024")
    assert reader.control.report()["tenants"][reader.name]["feed"]["started_too_soon"] == 1


def test_listing_wants_a_subscription(reader: Reader) -> None:
    """Without a subscription, or after stopping it, content answers AF20022."""
    answer = reader.content("Audit.General")
    assert (answer.status_code, code(answer)) == (400, "AF20022")
    assert code(reader.call("POST", "subscriptions/stop?contentType=Audit.General")) == "AF20022"


@pytest.mark.parametrize("who", ["a tenant admin", "a service admin"])
def test_disabled_by_an_administrator(reader: Reader, who: str) -> None:
    """A disabled subscription answers AF20023 to content and start, until it may be restarted."""
    reader.start("Audit.General")
    reader.control.alter(reader.name, disabled_content=["Audit.General"], disabled_by=who)
    answer = reader.content("Audit.General")
    assert (answer.status_code, code(answer)) == (400, "AF20023")
    assert who in answer.text
    assert reader.call("GET", "subscriptions/list").json()[0]["status"] == "disabled"
    url = "subscriptions/start?contentType=Audit.General"
    assert code(reader.call("POST", url)) == "AF20023"
    reader.control.alter(reader.name, disabled_restart=True)
    assert reader.call("POST", url).status_code == 200
    assert reader.content("Audit.General").status_code == 200


def test_windows(reader: Reader) -> None:
    """Both or neither, at most 24 h, at most 7 d back, start before end."""
    reader.start("Audit.General")
    now, hour = reader.now(), timedelta(hours=1)
    for start, end in (
        (now - 25 * hour, now),
        (now - 169 * hour, now - 150 * hour),
        (now, now - hour),
        (now, now),
    ):
        answer = reader.content("Audit.General", start, end)
        assert (answer.status_code, code(answer)) == (400, "AF20055")
    assert reader.content("Audit.General", now - 24 * hour, now).status_code == 200
    assert reader.content("Audit.General", now - hour, now + 5 * hour).status_code == 200
    half = f"subscriptions/content?contentType=Audit.General&startTime={now:%Y-%m-%d}"
    assert code(reader.call("GET", half)) == "AF20030"
    reader.control.alter(reader.name, window_code="AF20030", lookback_hours=170)
    assert code(reader.content("Audit.General", now - 25 * hour, now)) == "AF20030"
    assert reader.content("Audit.General", now - 169 * hour, now - 150 * hour).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%dT%H:%M:%S.123Z",
    ],
)
def test_time_forms(reader: Reader, form: str) -> None:
    """The documented forms of a time are taken, and the one with Z that clients send."""
    reader.start("Audit.General")
    start = reader.now() - timedelta(hours=30)
    url = (
        f"subscriptions/content?contentType=Audit.General&startTime={start:{form}}"
        f"&endTime={start + timedelta(days=1):{form}}"
    )
    assert reader.call("GET", url).status_code == 200
    wrong = "subscriptions/content?contentType=Audit.General&startTime=yesterday&endTime=now"
    assert code(reader.call("GET", wrong)) == "AF20002"


def test_wide_windows_can_be_cut_silently(reader: Reader) -> None:
    """Where the service does not refuse, more than 24 h answers 200 with the first 24 h only."""
    reader.control.alter(reader.name, wide_windows="partial", content_page=1000)
    reader.start("Audit.SharePoint")
    start, day = reader.now() - timedelta(hours=47), timedelta(days=1)
    wide = reader.content("Audit.SharePoint", start, start + 2 * day).json()
    narrow = reader.content("Audit.SharePoint", start, start + day).json()
    assert wide == narrow != []


def test_no_window_is_the_last_day(reader: Reader) -> None:
    """Without times the last 24 h are listed, and the next page's link has them filled in."""
    reader.start("Audit.SharePoint")
    answer = reader.content("Audit.SharePoint")
    oldest = (reader.now() - timedelta(hours=24, seconds=5)).isoformat()
    assert min(each["contentCreated"] for each in answer.json()) >= oldest[:19]
    assert "startTime=" in next_link(answer)


@pytest.mark.parametrize("header", ["NextPageUri", "NextPageUrl", "nextpageuri", "NEXTPAGEURI"])
@pytest.mark.parametrize("version", ["v1.0", "v1"])
def test_paging(reader: Reader, header: str, version: str) -> None:
    """Pages follow by a header in any spelling, without PublisherIdentifier, also under v1."""
    reader.control.alter(reader.name, next_page_header=header, next_page_version=version)
    reader.start("Audit.SharePoint")
    answer = reader.content("Audit.SharePoint")
    assert header in list(answer.headers)
    link = next_link(answer)
    assert f"/api/{version}/" in link
    assert "PublisherIdentifier" not in link
    pages = reader.entries("Audit.SharePoint")
    assert len(pages) == len({each["contentId"] for each in pages}) > 6


def test_pages_stay_as_they_were(reader: Reader) -> None:
    """A page can be asked for again, and blobs made meanwhile do not shift it."""
    reader.start("Audit.SharePoint")
    link = next_link(reader.content("Audit.SharePoint"))
    first = reader.call("GET", link).json()
    reader.control.crowd(reader.name, reader.ago(minutes=1), 200, seconds=30)
    assert reader.call("GET", link).json() == first
    for wrong in (f"{link}x", link.replace("Audit.SharePoint", "Audit.Exchange")):
        reader.start("Audit.Exchange") if "Exchange" in wrong else None
        assert code(reader.call("GET", wrong)) == "AF20031"


def test_without_a_publisher_all_share_one_quota(reader: Reader) -> None:
    """Blob GETs count too; without PublisherIdentifier the smaller quota of nobody is used."""
    reader.start("Audit.SharePoint")
    uri = reader.content("Audit.SharePoint").json()[0]["contentUri"]
    reader.control.clear_counters()
    reader.control.alter(reader.name, anonymous_per_minute=0)
    assert reader.call("GET", uri).status_code == 200
    reader.publisher = ""
    answer = reader.call("GET", uri)
    assert (answer.status_code, code(answer)) == (403, "AF429")
    message = answer.json()["error"]["message"]
    nobody = "00000000-0000-0000-0000-000000000000"
    assert f"Method=GetBlob, PublisherId={nobody}" in message
    assert reader.control.feed()["publishers"][nobody] == 1
    reader.publisher = "contoso"
    assert code(reader.call("GET", uri)) == "AF20002"


@pytest.mark.parametrize("status", [403, 429])
def test_quota_of_a_tenant(reader: Reader, status: int) -> None:
    """Beyond its requests a minute a tenant gets AF429 in the wished status; others do not."""
    reader.start("Audit.General")
    reader.control.alter(reader.name, requests_per_minute=1, throttle_status=status)
    answers = [reader.content("Audit.General") for _ in range(3)]
    assert {each.status_code for each in answers[1:]} == {status}
    assert reader.control.feed()["throttled"][reader.name] >= 2


@pytest.mark.parametrize("form", ["json", "single_quoted", "empty"])
def test_error_bodies(reader: Reader, form: str) -> None:
    """Errors come as JSON, in single quotes that are no JSON, or without a body."""
    reader.control.alter(reader.name, error_body=form)
    answer = reader.content("Audit.General")
    assert answer.status_code == 400
    shown = {"json": '{"error": {"code": "AF20022"', "single_quoted": "{'error':{'code':'AF20022'"}
    assert answer.text.startswith(shown.get(form, ""))
    assert bool(answer.content) is (form != "empty")


def test_who_may_ask(reader: Reader) -> None:
    """Token, role, tenant and content type are checked, each with its own answer."""
    good = reader.root
    reader.root = good.replace(reader.tenant_id, "contoso.example")
    assert code(reader.call("GET", "subscriptions/list")) == "AF20013"
    reader.root = good.replace(reader.tenant_id, "11111111-2222-4333-8444-555555555555")
    assert code(reader.call("GET", "subscriptions/list")) == "AF20010"
    reader.root = good
    assert code(reader.call("GET", "subscriptions/content")) == "AF20001"
    assert code(reader.call("GET", "subscriptions/content?contentType=Audit.All")) == "AF20020"
    refused = reader.call("GET", "subscriptions/list", headers={"Authorization": "Bearer x"})
    assert refused.status_code == 401
    assert "AF" not in refused.text
    reader._token = reader.caller.token  # for Exchange
    assert reader.call("GET", "subscriptions/list").status_code == 401


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_without_the_role(reader: Reader, status: int) -> None:
    """A token is issued without ActivityFeed.Read, and the API answers AF10001."""
    wish = {"management_roles": ["ServiceHealth.Read"], "missing_role_status": status}
    reader.control.alter(reader.name, **wish)
    answer = reader.call("GET", "subscriptions/list")
    assert (answer.status_code, code(answer)) == (status, "AF10001")
    assert "ServiceHealth.Read" in answer.text


def test_the_public_audience(reader: Reader) -> None:
    """A token for https://manage.office.com opens the feed, too."""
    answer = reader.caller.ask_token(scope="https://manage.office.com/.default")
    reader._token = answer["access_token"]
    assert reader.call("GET", "subscriptions/list").status_code == 200


def test_a_tenant_that_is_gone(reader: Reader) -> None:
    """A token outlives its tenant: AF20011."""
    assert reader.token
    reader.control.remove_tenant(reader.name)
    assert code(reader.call("GET", "subscriptions/list")) == "AF20011"


def test_auditing_off_is_told_in_the_code(reader: Reader) -> None:
    """Where auditing is off, start answers 400 with a sentence in `code`."""
    reader.control.alter(reader.name, ingestion=False)
    answer = reader.call("POST", "subscriptions/start?contentType=Audit.General")
    assert answer.status_code == 400
    assert code(answer).startswith("StartSubscription [TenantId=")
    assert f"Tenant {reader.tenant_id} does not exist" in answer.json()["error"]["message"]


def test_webhooks_are_refused(reader: Reader) -> None:
    """A webhook is never found valid, because the sandbox calls nobody back: AF20021."""
    for address, words in (("http://x", "begin with HTTPS"), ("https://x", "did not return")):
        body = {"webhook": {"address": address}}
        answer = reader.call("POST", "subscriptions/start?contentType=Audit.General", json=body)
        assert code(answer) == "AF20021"
        assert words in answer.text
    assert reader.call("GET", "subscriptions/list").json() == []


def test_blob_ids(reader: Reader) -> None:
    """A blob can be fetched again and again; AF20050 and AF20052 for ids that are not there."""
    reader.start("Audit.SharePoint")
    uri = reader.content("Audit.SharePoint").json()[0]["contentUri"]
    assert reader.call("GET", uri).json() == reader.call("GET", uri).json()
    assert code(reader.call("GET", uri.replace("/audit/2", "/audit/1"))) == "AF20050"
    assert code(reader.call("GET", "audit/nonsense")) == "AF20052"
    assert reader.control.report()["tenants"][reader.name]["feed"]["repeatedly"] == 1


def test_dlp_type_names(reader: Reader) -> None:
    """The names of sensitive types come in one language; two are AF20053."""
    found = reader.call("GET", "resources/dlpSensitiveTypes", headers={"Accept-Language": "de-DE"})
    assert found.json()[0]["name"] == "Kreditkartennummer"
    two = reader.call("GET", "resources/dlpSensitiveTypes", headers={"Accept-Language": "de, en"})
    assert code(two) == "AF20053"


def test_texts_that_are_no_objects_stay_out(reader: Reader) -> None:
    """A text that is not a JSON object by the letter is in the search, not in the feed."""
    now = reader.ago(minutes=30)[:19]
    cut = {"Identity": "broken", "CreationDate": now, "AuditData": '{"Id":'}
    wrapped = json.dumps(cut)
    good = f'{{"Id":"é-\\ud83d","CreationTime":"{now}","Workload":"Lab"}}'
    reader.control.add_lines(reader.name, [wrapped, good])
    reader.start("Audit.General")
    found = reader.call("GET", reader.content("Audit.General").json()[-1]["contentUri"])
    assert "broken" not in found.text
    assert "é-\\ud83d" in str(reader.control.feed_truth(reader.name)[-1]["AuditData"])
