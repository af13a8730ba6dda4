"""One answer of the search, read: strange rows are kept as received, strange answers refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trailkeeper.errors import Transient
from trailkeeper.microsoft.exchange.page import ExchangePage, read_page
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.search.answer.rows import UNTIMED

SEEN = datetime(2026, 11, 1, tzinfo=UTC)
DATE = "2026-10-05T10:00:00.0000000+00:00"


def _row(data: Any, **columns: Any) -> dict[str, Any]:
    return {
        "RecordType": "ExchangeItem",
        "CreationDate": DATE,
        "ResultIndex": 1,
        "ResultCount": 1,
        "Identity": "id-1",
        "AuditData": data,
        **columns,
    }


def _read(body: bytes | dict[str, Any], header: str = "") -> ExchangePage:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_page(encoded, RecordReader(SEEN), header)


def _page(*rows: dict[str, Any], **more: Any) -> ExchangePage:
    return _read({"value": list(rows), **more})


def _raw(data: Any, **columns: Any) -> tuple[str, bool, str]:
    """The one record's text, whether it is marked malformed, and its key."""
    records = _page(_row(data, **columns)).records
    return records.raw[0], records.malformed[0], records.id[0]


VALID = [
    '{"Id":"id-1","CreationTime":"2026-10-05T10:00:00","a":1,"a":2}',
    '{ "Id" : "id-1" ,\t"x": [1, 2.50, 1e400, -0] }',
    '{"Id":"id-1","big":' + "9" * 5000 + "}",
    '{"Id":"id-1","RecordType":"Fifteen","UserType":99999999999999}',
    '{"Id":"id-1","lone":"\\ud800 and \\udfff","nul":"\\u0000"}',
    '{"Id":"id-1","text":"' + "x" * (2 << 20) + '"}',
    '{"Id":"id-1","emoji":"😀","escaped":"\\ud83d\\ude00"}',
    '{"Id":"id-1","nested":' + "[" * 200 + "]" * 200 + "}",
]


@pytest.mark.parametrize("text", VALID, ids=range(len(VALID)))
def test_a_valid_record_keeps_its_text(text: str) -> None:
    """Repeated keys, big numbers, blanks, escapes, lone surrogates and megabytes stay as sent."""
    raw, malformed, key = _raw(text)
    assert (raw, malformed, key) == (text, False, "id-1")


def test_a_raw_lone_surrogate_is_written_as_its_escape() -> None:
    """UTF-8 cannot carry it; the JSON value stays the same."""
    raw, malformed, key = _raw('{"Id":"id-1","x":"\ud800"}')
    assert (raw, malformed, key) == ('{"Id":"id-1","x":"\\ud800"}', False, "id-1")


INVALID = ['{"Id":"id-1","x":', "", "null", "[1]", '"text"', "NaN", '{"x":NaN}', "{}{}", "\0" * 9]


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_json_object_is_wrapped_and_marked(text: str) -> None:
    """Invalid AuditData is kept in the contract's wrapper with the row's Identity and date."""
    raw, malformed, key = _raw(text)
    wrapped = {"Id": "id-1", "CreationTime": DATE, "AuditDataText": text}
    assert (json.loads(raw), malformed, key) == (wrapped, True, "id-1")


def test_absent_audit_data_is_wrapped() -> None:
    """A row without AuditData is a row all the same."""
    raw, malformed, key = _raw(None)
    assert (json.loads(raw)["AuditDataText"], malformed, key) == ("", True, "id-1")


def test_an_object_in_place_of_its_text_keeps_its_spelling() -> None:
    """AuditData that came as JSON keeps repeated keys and big numbers."""
    inner = '{"Id":"id-9","n":' + "9" * 400 + ',"a":1,"a":2.50}'
    row = json.dumps(_row("@")).replace('"@"', inner)
    records = _read(f'{{"value":[{row},{json.dumps(_row(VALID[0]))}]}}'.encode()).records
    assert records.raw == [inner, VALID[0]]
    assert records.malformed == [False, False]


def test_a_record_without_id_is_keyed_by_its_content() -> None:
    """The same content has the same key, whatever its spelling."""
    one, other = _page(_row('{"a":1,"b":2}'), _row('{"b": 2, "a": 1}')).records.id
    assert one == other != "id-1"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=10), st.text(max_size=30))
def test_no_text_is_ever_dropped(text: str, identity: str, date: str) -> None:
    """Any text in any column gives one record whose JSON holds it."""
    raw, malformed, _ = _raw(text, Identity=identity, CreationDate=date)
    value = json.loads(raw.encode())
    assert raw == text or (malformed and value["AuditDataText"] == text)


def test_a_lone_surrogate_in_a_column_does_not_stop_the_page() -> None:
    """The page's own JSON may hold what the fast reader refuses."""
    page = _page(_row(VALID[0], Identity="\ud800"), _row(VALID[3]))
    assert page.records.raw == [VALID[0], VALID[3]]


def test_bytes_that_are_no_utf8_do_not_stop_the_page() -> None:
    """What cannot be decoded is shown as such, and the other rows stay as they are."""
    body = json.dumps({"value": [_row(VALID[0]), _row("@")]}).encode().replace(b'"@"', b'"\xff"')
    page = _read(body)
    assert page.records.raw[0] == VALID[0]
    assert page.records.malformed == [False, True]


NO_PAGES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"<html>busy</html>",
    b'{"error":{"code":"ServerBusy","message":"later"}}',
    b'{"value":null}',
    b'{"value":{}}',
    b'{"value":["text"]}',
    b'{"value":[{"Identity":"id-1"',
]


@pytest.mark.parametrize("body", NO_PAGES)
def test_a_success_that_is_no_page_is_no_empty_page(body: bytes) -> None:
    """A 200 without a list of rows proves nothing; least of all that there are none."""
    with pytest.raises(Transient):
        _read(body)


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ({"moreRecordsAvailable": True}, True),
        ({"moreRecordsAvailable": False}, False),
        ('{"moreRecordsAvailable":true}', True),
        ('{"moreRecordsAvailable": "False"}', False),
        ({"other": True, "moreRecordsAvailable": False}, False),
        ("moreRecordsAvailable=True", True),
        (None, None),
    ],
)
def test_the_flag_is_read_in_every_shape(flag: object, says: bool | None) -> None:
    """moreRecordsAvailable as object, as text of an object, or absent."""
    assert _page(_row(VALID[0], AuditSearchRequestMetadata=flag)).more_available is says


def test_the_flag_may_be_a_column() -> None:
    """Some services show it beside the row's other columns."""
    assert _page(_row(VALID[0], moreRecordsAvailable="True")).more_available is True
    assert _page(_row(VALID[0], moreRecordsAvailable=False)).more_available is False


def test_warnings_are_read_wherever_they_are() -> None:
    """In the body as list or text, among the errors, in the header as text or JSON."""
    said = "A task was canceled."
    assert _page(**{"@adminapi.warnings": [said]}).warnings == (said,)
    assert _page(**{"@adminapi.warnings": said}).warnings == (said,)
    assert _page(**{"@adminapi.errors": [said]}).warnings == (said,)
    assert _read({"value": []}, said).warnings == (said,)
    assert _read({"value": []}, json.dumps([said])).warnings == (said,)
    assert _read({"value": []}, "[]").warnings == ()


@pytest.mark.parametrize(
    "date",
    [
        "2026-10-05T10:00:00",
        "2026-10-05T10:00:00Z",
        DATE,
        "2026-10-05 10:00:00",
        "20261005T100000Z",
    ],
)
def test_times_are_read_in_every_iso_form(date: str) -> None:
    """Seven fractional digits, zone or none: the same instant."""
    assert _page(_row(VALID[1], CreationDate=date)).times == [1_791_194_400_000_000]


def test_a_row_without_readable_time_keeps_its_place() -> None:
    """Keys and times stay parallel; a time in the record stands in for the row's."""
    page = _page(_row(VALID[1], CreationDate="soon"), _row(VALID[0], CreationDate=None))
    assert page.times == [UNTIMED, 1_791_194_400_000_000]


def test_only_a_worthless_row_is_no_record() -> None:
    """D2: index -1 without content is a sign of trouble; with content it is a record as well."""
    empty = _row("", ResultIndex=-1, ResultCount=0, Identity="")
    page = _page(empty, _row(VALID[0], ResultIndex="-1"), _row("", Identity=""))
    assert (page.bogus, len(page.records)) == (2, 2)


@pytest.mark.parametrize("name", ["@odata.nextLink", "odata.nextLink"])
def test_the_next_link_is_found(name: str) -> None:
    """With and without the at sign; nothing else counts as one."""
    assert _page(**{name: "https://x/next"}).next_link == "https://x/next"
    assert _page(**{name: ""}).next_link is None
    assert _page(**{name: 7}).next_link is None
