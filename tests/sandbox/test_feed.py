"""The Management Activity API as a faultless service would play it."""

from __future__ import annotations

import pytest
from callers import Caller
from feeding import TYPES, Reader, code


@pytest.fixture
def reader(caller: Caller) -> Reader:
    """A reader of a tenant with 500 records of the last two days."""
    made = Reader(caller)
    caller.box.control.alter(caller.name, blob_records=20, content_page=3)
    caller.box.control.crowd(caller.name, made.ago(hours=40), 500, seconds=39 * 3600)
    return made


def test_every_record_comes_once(reader: Reader) -> None:
    """All listed blobs together hold every record of the tenant exactly once, by content type."""
    reader.start()
    found = [record for each in TYPES for record in reader.records(each, days=2)]
    truth = reader.control.records(reader.name)
    assert sorted(r["Id"] for r in found) == sorted(t["Identity"] for t in truth)
    assert {r["Workload"] for r in reader.records("Audit.SharePoint", 2)} == {
        "SharePoint",
        "OneDrive",
    }


def test_starting_again_says_af20024(reader: Reader) -> None:
    """A second start of the same content type answers 400 AF20024."""
    reader.start("Audit.General")
    answer = reader.call("POST", "subscriptions/start?contentType=Audit.General")
    assert (answer.status_code, code(answer)) == (400, "AF20024")
    assert reader.call("GET", "subscriptions/list").json() == [
        {"contentType": "Audit.General", "status": "enabled", "webhook": None}
    ]
