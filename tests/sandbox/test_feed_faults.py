"""Everything that can go wrong between a client and the feed, on demand."""

from __future__ import annotations

import time

import pytest
import requests

from tests.sandbox.callers import Caller
from tests.sandbox.feeding import Reader, code, next_link


@pytest.fixture
def reader(caller: Caller) -> Reader:
    """A started reader of 200 records of the last hours in blobs of ten, five to a page."""
    made = Reader(caller)
    control = caller.box.control
    control.alter(
        caller.name, blob_records=10, blob_sizes="fixed", blob_seconds=3600.0, content_page=5
    )
    control.crowd(caller.name, made.ago(hours=5), 200, seconds=3600, operation="FileAccessed")
    made.start("Audit.SharePoint")
    return made


def listing(reader: Reader) -> requests.Response:
    return reader.content("Audit.SharePoint")


def uri(reader: Reader, number: int = 0) -> str:
    return str(listing(reader).json()[number]["contentUri"])


def fault(reader: Reader, name: str, **rest: object) -> None:
    reader.control.set_fault(name, reader.name, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("form", ["json", "single_quoted", "empty"])
def test_af429(reader: Reader, status: int, form: str) -> None:
    """AF429 comes as 403 and as 429, as JSON, in single quotes, and without a body."""
    fault(reader, "af429", status=status, form=form)
    answer = listing(reader)
    assert answer.status_code == status
    assert ("AF429" in answer.text) is (form != "empty")
    assert "'" not in answer.text or form == "single_quoted"
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("wish", "status", "shown"),
    [
        ({}, 500, "AF50000"),
        ({"code": "AF50005"}, 500, "AF50005"),
        ({"code": "AF20012"}, 400, "AF20012"),
        ({"code": "AF10001", "status": 403}, 403, "AF10001"),
        ({"code": "AF20055", "message": "So it is."}, 400, "AF20055"),
    ],
)
def test_any_code(reader: Reader, wish: dict[str, object], status: int, shown: str) -> None:
    """Any AF code can be played on any call, with its usual status or another."""
    fault(reader, "af_error", **wish)
    answer = reader.call("GET", "subscriptions/list")
    assert (answer.status_code, code(answer)) == (status, shown)
    assert str(wish.get("message", "")) in answer.text


def test_tenant_does_not_exist(reader: Reader) -> None:
    """The sentence in `code` can be played on a listing, too."""
    fault(reader, "tenant_does_not_exist")
    answer = listing(reader)
    assert answer.status_code == 400
    assert "does not exist" in answer.json()["error"]["message"]


@pytest.mark.parametrize("form", ["json", "empty"])
def test_unauthorized(reader: Reader, form: str) -> None:
    """401 comes without an AF code, with or without a body."""
    fault(reader, "unauthorized", form=form, calls=["blob"])
    answer = reader.call("GET", uri(reader))
    assert answer.status_code == 401
    assert bool(answer.content) is (form == "json")


def test_blobs_listed_twice(reader: Reader) -> None:
    """Some blobs are listed twice in one listing, on the same page or another."""
    fault(reader, "listed_twice", rate=0.3)
    found = [each["contentId"] for each in reader.entries("Audit.SharePoint")]
    assert len(set(found)) == 20 < len(found)


@pytest.mark.parametrize("form", ["host", "userinfo", "http"])
def test_foreign_links(reader: Reader, form: str) -> None:
    """Next pages and content can lead to another host, which tells whether a token came."""
    fault(reader, "foreign_next_page", form=form)
    fault(reader, "foreign_content_uri", form=form)
    answer = listing(reader)
    home = f"{reader.caller.box['management']}/"
    links = [next_link(answer), *(each["contentUri"] for each in answer.json())]
    assert not links[0].startswith(home)
    assert any(not each.startswith(home) for each in links[1:])
    if form == "host":
        reader.control.clear_counters()
        reader.caller.session.get(links[0])
        assert reader.control.elsewhere()["saw_authorization"] is False
        reader.call("GET", links[0])
        assert reader.control.elsewhere()["saw_authorization"] is True
    assert next_link(listing(reader)).startswith(home)


def test_pages_without_end(reader: Reader) -> None:
    """A next page can lead to itself."""
    fault(reader, "endless_pages", times=0)
    first = listing(reader)
    second = reader.call("GET", next_link(first))
    assert second.json() == first.json()
    assert next_link(second) == next_link(first)


def test_expired_between_list_and_get(reader: Reader) -> None:
    """A listed blob answers AF20051 when it is fetched, and does so from then on."""
    fault(reader, "expired_blob")
    bad, good = uri(reader), uri(reader, 1)
    for _ in range(2):
        answer = reader.call("GET", bad)
        assert (answer.status_code, code(answer)) == (400, "AF20051")
    assert reader.call("GET", good).status_code == 200


@pytest.mark.parametrize("status", [404, 400])
def test_missing_blob(reader: Reader, status: int) -> None:
    """A listed blob can be gone for good: AF20050."""
    fault(reader, "missing_blob", status=status)
    for _ in range(2):
        answer = reader.call("GET", uri(reader))
        assert (answer.status_code, code(answer)) == (status, "AF20050")


@pytest.mark.parametrize("form", ["error", "not_json", "not_a_list", "not_utf8", "not_objects"])
def test_poisoned_blob(reader: Reader, form: str) -> None:
    """A poisoned blob stays bad, its neighbours are sound, and it is not counted as fetched."""
    fault(reader, "poisoned_blob", form=form)
    answers = [reader.call("GET", uri(reader)) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert {each.status_code for each in answers} == {500 if form == "error" else 200}
    assert len(reader.call("GET", uri(reader, 1)).json()) == 10
    assert reader.control.report()["tenants"][reader.name]["feed"]["once"] == 1


def test_blobs_in_pages(reader: Reader) -> None:
    """A blob's own answer can have a next page."""
    whole = reader.call("GET", uri(reader)).json()
    fault(reader, "blob_in_pages")
    first = reader.call("GET", uri(reader))
    assert first.json() + reader.call("GET", next_link(first)).json() == whole


@pytest.mark.parametrize("name", ["reset", "reset_mid_body", "cut_body"])
def test_cut_connections(reader: Reader, name: str) -> None:
    """A blob whose transfer broke was not fetched; it can be fetched again."""
    asked = uri(reader)
    fault(reader, name, calls=["blob"])
    with pytest.raises(requests.RequestException):
        reader.call("GET", asked).json()
    assert reader.control.report()["tenants"][reader.name]["feed"]["once"] == 0
    assert reader.call("GET", asked).status_code == 200
    assert reader.control.report()["tenants"][reader.name]["feed"]["once"] == 1


def test_faults_of_the_whole_site(reader: Reader) -> None:
    """`calls` with `management` in it means every call of the feed."""
    asked = uri(reader)
    fault(reader, "server_error", times=2, calls=["management"])
    assert reader.call("GET", asked).status_code == 503
    assert listing(reader).status_code == 503
    assert listing(reader).status_code == 200


def test_latency(reader: Reader) -> None:
    """Blobs and listings take the time that is switched on."""
    asked = uri(reader)
    reader.control.alter(reader.name, seconds_per_blob=0.3, seconds_per_listing=0.2)
    begun = time.monotonic()
    reader.call("GET", asked)
    listing(reader)
    assert time.monotonic() - begun >= 0.5


def test_compression(reader: Reader) -> None:
    """Blobs are compressed when the tenant does so and the client accepts it."""
    plain = reader.call("GET", uri(reader)).content
    reader.control.alter(reader.name, compressed=True)
    answer = reader.call("GET", uri(reader), headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == plain
