"""Text that is not clean: a mark, a bad byte or an odd value costs at most its own record."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.microsoft.identity import make_pair
from tests.microsoft.test_activity_listing import DAY, NOW, ROOT, TYPE, Feed, client_of
from trailkeeper.errors import Transient
from trailkeeper.microsoft.activity.blob import UnreadableBlob, read_blob
from trailkeeper.microsoft.activity.faults import activity_error
from trailkeeper.microsoft.activity.listing import listed_blobs
from trailkeeper.microsoft.activity.subscriptions import Subscriptions, read_list
from trailkeeper.microsoft.certificates.files import from_pem, read_file
from trailkeeper.microsoft.exchange.client import read_audit_config
from trailkeeper.microsoft.exchange.page import read_page
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.feed.blob import Blob
from trailkeeper.model.feed.rules import LOOKBACK, listings
from trailkeeper.model.record import PlacedBy, RecordColumns
from trailkeeper.store.ledger import SqlLedger

SEEN = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT = "2026-11-20T08:00:00"

WRAPPERS: dict[str, Callable[[str], bytes]] = {
    "byte order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "two marks": lambda text: 2 * codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "NULs behind": lambda text: text.encode() + b"\0\0\0",
    "blanks around": lambda text: b" \r\n" + text.encode() + b"\r\n",
}


def reader() -> RecordReader:
    return RecordReader(SEEN)


def one(name: str, **more: object) -> str:
    fields = {"CreationTime": AT, "Id": name, "Inner": [{"Id": "x", "n": 1}, {"Id": "y"}], **more}
    return json.dumps(fields, separators=(",", ":"))


def listed(ledger: SqlLedger, body: bytes) -> list[Blob]:
    """The blobs of a listing that is answered with `body`."""
    feed = Feed(lambda _: Answer(200, body=body))
    (listing,) = listings(DAY, NOW)
    return listed_blobs(
        client_of(feed), Subscriptions(ledger, feed), TYPE, listing, lambda: None, {}
    )


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_every_answer_is_read_through_what_surrounds_it(
    ledger: SqlLedger, wrap: Callable[[str], bytes]
) -> None:
    """A listing, a list of subscriptions, a blob, a page, an error and a cmdlet's answer."""
    created = (NOW - timedelta(hours=1)).isoformat()
    entry = {"contentId": "a", "contentUri": f"{ROOT}/a", "contentCreated": created}
    assert [blob.content_id for blob in listed(ledger, wrap(json.dumps([entry])))] == ["a"]
    shown = read_list(Answer(200, body=wrap('[{"contentType":"Audit.General"}]')))
    assert [each.contentType for each in shown] == ["Audit.General"]
    assert read_blob(wrap(f"[{one('ä')}]"), reader()).id == ["ä"]
    row = {"AuditData": one("ä"), "Identity": "ä", "CreationDate": AT}
    assert read_page(wrap(json.dumps({"value": [row]})), reader()).records.id == ["ä"]
    error = activity_error(Answer(400, body=wrap('{"error":{"code":"AF20022","message":"m"}}')))
    assert error.code == "AF20022"
    assert read_audit_config(
        Answer(200, body=wrap('{"value":[{"UnifiedAuditLogIngestionEnabled":true}]}'))
    )


ODD_TIMES: list[Any] = [
    *(None, "", "soon", 0, 1_790_000_000, True, {}, [], "\ud800", "2026-13-01", "2026-10-01T24:00"),
    *("0001-01-01T00:00:00", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00"),
    "9999-12-31T23:59:59.9999999Z",
]


@pytest.mark.parametrize("odd", [*ODD_TIMES, ...])
def test_an_odd_time_in_a_listing_stops_nobody(ledger: SqlLedger, odd: object) -> None:
    """null, absent, a number, no instant, both ends of the calendar: the blob is fetched."""
    times = {} if odd is ... else {"contentCreated": odd, "contentExpiration": odd}
    body = json.dumps([{"contentId": "a", "contentUri": f"{ROOT}/a", **times}]).encode()
    (blob,) = listed(ledger, body)
    assert blob.created_at == DAY.start
    assert blob.expires_at == DAY.start + LOOKBACK
    ledger.list_blobs("contoso", [blob], DAY, NOW)


def test_what_a_database_cannot_hold_is_escaped_in_a_listing(ledger: SqlLedger) -> None:
    """NUL and lone surrogates in an id are no reason to stop; two ids stay two."""
    entries = [{"contentId": text, "contentUri": ROOT} for text in ("a\0", "a\ud800", "a")]
    blobs = listed(ledger, json.dumps(entries).encode())
    assert len({blob.content_id for blob in blobs}) == 3
    ledger.list_blobs("contoso", blobs, DAY, NOW)


def damaged(body: bytes, at: int) -> bytes:
    return body[:at] + b"\xff" + body[at + 1 :]


RECORDS = [one("a"), one("b", Text='quoted "x"},{"Id":"no"} \\ text'), one("c")]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(",".join(RECORDS)) - 1))
def test_one_bad_byte_in_a_blob_costs_at_most_its_own_record(at: int) -> None:
    """Wherever it stands, a bracket, a comma or a quotation mark: the others are as received, its
    own is kept in the contract's wrapper and marked."""
    body = damaged(f"[{','.join(RECORDS)}]".encode(), at + 1)
    found = read_blob(body, reader())
    lost = [text for text in RECORDS if text not in found.raw]
    kept = [n for n, marked in enumerate(found.malformed) if marked]
    assert len(lost) == len(kept) <= 1
    assert len(found) == 3
    for n in kept:
        assert set(json.loads(found.raw[n])) == {"Id", "CreationTime", "AuditDataText"}
        assert "\\xff" in json.loads(found.raw[n])["AuditDataText"]


@pytest.mark.parametrize("at", [0, -1])
def test_a_bad_byte_in_place_of_a_lists_bracket_costs_nothing(at: int) -> None:
    """All records are there."""
    body = f"[{','.join(RECORDS)}]".encode()
    assert read_blob(damaged(body, at % len(body)), reader()).raw == RECORDS


def test_a_marked_record_lies_at_its_own_time() -> None:
    """Id and CreationTime are taken from what is readable of it."""
    body = f"[{one('a', x='?')}]".encode().replace(b"?", b"\xe4")
    found = read_blob(body, reader())
    assert (found.id, found.malformed) == (["a"], [True])
    assert found.placed_by == [PlacedBy.CREATION_DATE]


ODD_RECORDS = [
    f'{{"Id":"n","CreationTime":"{AT}","n":NaN}}',
    f'{{"Id":"i","CreationTime":"{AT}","n":-Infinity}}',
    '{{"Id":"deep","CreationTime":"{}","d":{}}}'.format(AT, "[" * 50_000 + "]" * 50_000),
    '{{"Id":"big","CreationTime":"{}","n":{}}}'.format(AT, "9" * 6000),
    f'{{"Id":"twice","Id":"twice","CreationTime":"{AT}"}}',
    f'{{"Id":"lone","CreationTime":"{AT}","x":"\\ud800"}}',
]


@pytest.mark.parametrize("odd", ODD_RECORDS, ids=lambda text: text[:12])
def test_a_record_that_parsers_refuse_costs_no_other(odd: str) -> None:
    """No number, nesting without end, 6,000 digits, a key twice: in a blob and as AuditData."""

    def check(found: RecordColumns) -> None:
        assert found.raw[0] == found.raw[2] == one("a")
        value = found.raw[1]
        assert value == odd or json.loads(value)["AuditDataText"] == odd

    check(read_blob(f"[{one('a')},{odd},{one('a')}]".encode(), reader()))
    rows = [json.dumps({"AuditData": one("a"), "CreationDate": AT, "Identity": "a"})] * 3
    rows[1] = f'{{"Identity":"b","AuditData":{odd}}}'
    check(read_page(f'{{"value":[{",".join(rows)}]}}'.encode(), reader()).records)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_bad_byte_in_a_page_costs_at_most_its_own_row(data: st.DataObject) -> None:
    """The rows beside it are as received."""
    texts = [one(name) for name in "abc"]
    rows = [json.dumps({"AuditData": t, "CreationDate": AT, "Identity": "i"}) for t in texts]
    before, behind = b'{"value":[', b'],"@odata.nextLink":"https://x/next"}'
    inner = ",".join(rows).encode()
    at = data.draw(st.integers(0, len(inner) - 1))
    page = read_page(before + damaged(inner, at) + behind, reader())
    assert len(page.records) == 3
    assert len([text for text in texts if text not in page.records.raw]) <= 1
    assert page.next_link == "https://x/next"


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_blob_that_breaks_off_is_asked_for_again(cut: int) -> None:
    """What came before is readable all the same, and no half of a record is."""
    body = f"[{','.join(RECORDS)}]".encode()[:-cut]
    with pytest.raises(UnreadableBlob) as caught:
        read_blob(body, reader())
    assert set(caught.value.readable.raw) <= set(RECORDS)
    assert len(caught.value.readable) == (3 if cut == 1 else 2 if cut == 40 else 1)


def test_a_page_that_breaks_off_is_asked_for_again() -> None:
    """A list without end may lack rows."""
    with pytest.raises(Transient):
        read_page(b'{"value":[{"AuditData":"\xff"},{"AuditData"', reader())


@pytest.mark.parametrize("index", ["--5", "5-", "²", "1" * 5000, "-"])
def test_a_count_that_is_no_number_stops_no_page(index: str) -> None:
    """ResultIndex and ResultCount come as text; what is none says nothing."""
    row = {"AuditData": one("a"), "ResultIndex": index, "ResultCount": index}
    page = read_page(json.dumps({"value": [row]}).encode(), reader())
    assert (page.records.id, page.result_count) == (["a"], None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_pem_in_any_form(tmp_path: Path, encoding: str) -> None:
    """PowerShell's `>` writes UTF-16; the certificate and its key are found all the same."""
    pair = make_pair()
    key = pair.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    text = pair.certificate.public_bytes(serialization.Encoding.PEM) + key
    path = tmp_path / "app.pem"
    path.write_bytes(text.decode().encode(encoding))
    found = from_pem(read_file(path), None, "app.pem", datetime.now(UTC))
    assert found.thumbprint_sha256 == pair.sha256
