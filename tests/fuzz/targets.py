"""Everything that reads what comes from outside, each as a function of bytes.

A target raises nothing for any bytes: the errors that its reader documents are its answer, and what
else must hold of the answer is asserted. `seeds` are honest inputs to begin from.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from trailkeeper.cli.ranges import instant, month, ordered
from trailkeeper.errors import ConfigurationError, NeedsPerson, TrailkeeperError, UsageError
from trailkeeper.mail.message import _header
from trailkeeper.mail.replies import Reply, remedy_for
from trailkeeper.mail.wording import shown
from trailkeeper.microsoft.activity import listing as feed_listing
from trailkeeper.microsoft.activity.blob import read_blob
from trailkeeper.microsoft.activity.faults import activity_error
from trailkeeper.microsoft.certificates import files
from trailkeeper.microsoft.exchange.faults import exchange_error
from trailkeeper.microsoft.exchange.page import read_page
from trailkeeper.microsoft.graph.faults import graph_error
from trailkeeper.microsoft.http.answer import Answer, inflated, retry_after
from trailkeeper.microsoft.http.hosts import host_allowed, usual_port
from trailkeeper.microsoft.identity.faults import token_error
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.canonical import canonical, content_digest
from trailkeeper.model.record import RecordColumns
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.text import decoded, legible
from trailkeeper.model.window import Axis, Window, parse_instant
from trailkeeper.settings import load
from trailkeeper.settings.addresses import AddressError, Mailbox
from trailkeeper.store.landing import batches
from trailkeeper.store.spreadsheet import LONGEST_CELL, guarded, shortened
from wire.envelope import ForeignError, Seal

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
_HOUR = Window(NOW - timedelta(hours=1), NOW, Axis.AVAILABLE)
_HOSTS = ("outlook.office365.com", "manage.office.com:443", "127.0.0.1:8443")
_SEAL = Seal(b"a key of the tests", lambda: NOW.timestamp())
_LARGEST = 1 << 20
"""bytes after which an inflated body is refused, here"""


@dataclass(frozen=True)
class Target:
    """One reader; `of` is called with bytes and raises what is a finding."""

    of: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _text(data: bytes) -> str:
    """Any text: lone surrogates, which JSON escapes can make, too."""
    return data.decode("utf-8", "surrogateescape")


def _plain(text: str) -> None:
    """What is told to people is one line without control characters."""
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text), ascii(text)


def _columns(records: RecordColumns, most: int) -> None:
    """One entry in every column for each record, and nothing that UTF-8 cannot hold."""
    assert len(records) <= most
    for _, column in records.columns():
        assert len(column) == len(records)
        for value in column:
            if isinstance(value, str):
                value.encode()


def _said(error: Exception) -> None:
    assert str(error)


def _error(error: TrailkeeperError) -> None:
    _plain(error.summary)
    _plain(error.code)
    assert len(error.summary) < 1000


def _exchange_page(data: bytes) -> None:
    try:
        page = read_page(data, RecordReader(NOW), "a warning")
    except TrailkeeperError as error:
        return _error(error)
    assert len(page.times) == len(page.records)
    return _columns(page.records, len(data))


def _record(data: bytes) -> None:
    text = _text(data)
    (columns,) = [RecordReader(NOW).read([text], [None], [None])]
    assert len(columns) == 1
    _columns(columns, 1)


def _feed_blob(data: bytes) -> None:
    try:
        _columns(read_blob(data, RecordReader(NOW)), len(data))
    except TrailkeeperError as error:
        _error(error)


def _feed_listing(data: bytes) -> None:
    client: Any = SimpleNamespace(url=lambda path: f"https://manage.office.com/{path}")
    asked: Any = SimpleNamespace(window=_HOUR, stream=Stream("contoso", Source.ACTIVITY))
    try:
        for blob in feed_listing._read(Answer(200, body=data), client, "Audit.General", asked):
            assert blob.content_id
            assert blob.created_at.tzinfo is UTC
            assert blob.expires_at.tzinfo is UTC
    except TrailkeeperError as error:
        _error(error)


def _refusal(data: bytes) -> None:
    """The first byte chooses the status, the second the service."""
    status = (400, 401, 403, 404, 429, 500, 503, 200)[data[0] % 8] if data else 400
    reader = (exchange_error, activity_error, graph_error)[data[1] % 3 if data[1:] else 0]
    header, _, body = data[2:].partition(b"\n\n")
    headers = {"Retry-After": header.decode("latin-1")}
    _error(reader(Answer(status, headers, body, received_at=NOW)))


def _login_refusal(data: bytes) -> None:
    _error(token_error(data, 400))


def _retry_after(data: bytes) -> None:
    seconds = retry_after(data.decode("latin-1"), NOW)
    assert seconds is None or seconds >= 0


def _gzip(data: bytes) -> None:
    try:
        assert len(inflated(data, _LARGEST)) <= max(_LARGEST, len(data))
    except TrailkeeperError as error:
        _error(error)


def _link(data: bytes) -> None:
    url = data.decode("latin-1")
    usual_port(url, _HOSTS)
    if host_allowed(url, _HOSTS):
        host = urlsplit(url).hostname or ""
        names = [entry.partition(":")[0] for entry in _HOSTS]
        assert any(host == name or host.endswith(f".{name}") for name in names), url


@cache
def _folder() -> Path:
    """Where files that are read by their path are put; in memory where there is such a place."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    (folder / "tenants").mkdir()
    (folder / "data" / "contoso").mkdir(parents=True)
    return folder


_TENANT = b"""tenant_id = "11111111-2222-4333-8444-555555555555"
domain = "contoso.example"
client_id = "21111111-2222-4333-8444-555555555555"
since = 2026-09-01
[certificate]
pfx = "contoso.pfx"
password = "env:PASSWORD"
[report]
to = ["Security <security@contoso.example>"]
timezone = "Europe/Berlin"
"""
_MAIN = b"""[service]
data = "./data"
workers = 2
[collection]
settle = "24h"
reread_after = ["1d", "7d"]
[mail]
sender = "audit@msp.example"
smtp = { host = "127.0.0.1", port = 25, security = "starttls", username = "a", password = "env:B" }
[clouds.lab]
login = "https://login.example"
exchange = "https://exchange.example"
management = "https://manage.example:8443"
graph = "https://graph.example"
"""


def _settings(main: bytes, tenant: bytes) -> None:
    folder = _folder()
    (folder / "trailkeeper.toml").write_bytes(main)
    (folder / "tenants" / "contoso.toml").write_bytes(tenant)
    try:
        load(folder)
    except ConfigurationError as error:
        _said(error)


def _main_file(data: bytes) -> None:
    _settings(data, _TENANT)


def _tenant_file(data: bytes) -> None:
    _settings(_MAIN, data)


def _certificate(data: bytes) -> None:
    """As a PFX and as a PEM text, with and without a password."""
    for read in (files.from_pkcs12, files.from_pem):
        for password in (None, "pw"):
            try:
                read(data, password, "app.pfx", NOW)
            except NeedsPerson as error:
                _error(error)


def _address(data: bytes) -> None:
    try:
        found = Mailbox.parse(_text(data))
    except AddressError as error:
        return _plain(str(error))
    header = _header(found)
    assert found.address.isascii()
    assert found.address.count("@") == 1
    assert not set(found.address) & set(' \t\r\n<>,;:"\\()')
    return _plain(str(header))


def _smtp_reply(data: bytes) -> None:
    reply = Reply.of(int.from_bytes(data[:2], "big") % 1000, data[2:])
    _plain(str(reply))
    _plain(reply.label)
    assert remedy_for(reply)


def _landing_file(data: bytes) -> None:
    path = _folder() / "data" / "contoso" / "1.arrows.zst"
    path.write_bytes(data)
    try:
        for _ in batches(path):
            pass
    except TrailkeeperError as error:
        _error(error)


def _canonical(data: bytes) -> None:
    """Never raises; what JSON can read has one form, which is JSON of the same value."""
    text = _text(data)
    form = canonical(text)
    assert len(content_digest(text)) == 16
    try:
        value = json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return
    assert canonical(form) == form, (text, form)
    assert canonical(json.dumps(json.loads(text))) is not None
    json.loads(form, parse_int=str, parse_float=str)
    del value


def _queue_item(data: bytes) -> None:
    """Nothing is opened that was not closed with the key."""
    with suppress(ForeignError):
        raise AssertionError(_SEAL.open(data, "pull"))
    with suppress(ForeignError):
        raise AssertionError(_SEAL.open(b"TK1." + data, "pull"))
    closed = _SEAL.close(data[:1000], "pull", 60)
    assert _SEAL.open(closed, "pull") == data[:1000]
    with suppress(ForeignError):
        raise AssertionError(_SEAL.open(closed, "mail"))


def _cells(data: bytes) -> None:
    """No cell begins like a formula, also where a spreadsheet is told another separator, and none
    is longer than a spreadsheet keeps."""
    cells = pl.DataFrame({"cell": [data.decode("utf-8", "replace")]})
    text = shortened(cells.with_columns(guarded("cell")))["cell"][0]
    assert len(text) <= LONGEST_CELL
    for cell in re.split(r"[;|\t\r\n]", text):
        assert not re.match(r'[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20]', cell), ascii(text)


def _written_text(data: bytes) -> None:
    """One way in for texts: readable, and UTF-8 again on the way out."""
    legible(data).encode("utf-8", "surrogatepass")
    with suppress(UnicodeDecodeError):
        assert not decoded(data).startswith("\ufeff")


def _name(data: bytes) -> None:
    _plain(shown(_text(data)))
    assert len(shown(_text(data), 50)) <= 50


def _range(data: bytes) -> None:
    """Two instants and a month, as the command line takes them."""
    first, _, second = _text(data).partition(",")
    for read in (lambda: ordered(instant("--from", first), instant("--to", second)),
                 lambda: month(first)):  # fmt: skip
        try:
            read()
        except UsageError as error:
            _said(error)
    with suppress(ValueError):
        assert parse_instant(first).tzinfo is UTC


def _page_seed() -> bytes:
    row = {
        "RecordType": "AzureActiveDirectory",
        "CreationDate": "2026-10-05T10:00:00.0000000+00:00",
        "Identity": "id-1",
        "ResultIndex": 1,
        "ResultCount": 2,
        "AuditData": '{"Id":"id-1","CreationTime":"2026-10-05T10:00:00","RecordType":15}',
    }
    return json.dumps({"value": [row], "@odata.nextLink": "https://x.example"}).encode()


_RECORD = b'{"Id":"a","CreationTime":"2026-10-05T11:59:00.1234567+02:00","RecordType":15,"n":1.0e2}'
_LISTING = (
    b'[{"contentType":"Audit.General","contentId":"a$1","contentUri":"https://manage.office.com/a",'
    b'"contentCreated":"2026-10-05T11:00:00.000Z","contentExpiration":"2026-10-12T11:00:00.000Z"}]'
)
_OLDEST = _LISTING.replace(b"2026-10-05T11:00:00.000Z", b"0001-01-01T00:00:00+14:00")
_NEWEST = b'[{"contentId":"a","contentUri":"b","contentCreated":"9999-12-31T23:59:59"}]'
_ENTRA = (
    b'{"error":"invalid_client","error_description":"AADSTS700027: The certificate. Trace ID: 1",'
    b'"error_codes":[700027],"timestamp":"2026-10-05 10:11:12Z","trace_id":"t"}'
)
_FORBIDDEN = b'\x02\x00120\n\n{"error":{"code":"AF429","message":"Too many","details":[{}]}}'
_PEM = b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
_HTML = b"\x00\x01Wed, 21 Oct 2026 07:28:00 GMT\n\n<html><title>502</title></html>"


def _gzip_seed() -> bytes:
    import gzip

    return gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0)


def _landing_seed() -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(b"ARROW1" * 10)


TARGETS: Mapping[str, Target] = {
    "exchange-page": Target(_exchange_page, (_page_seed(), b'{"value":[]}')),
    "record": Target(_record, (_RECORD, b'{"Id":"a"')),
    "feed-blob": Target(_feed_blob, (b"[" + _RECORD + b"]", b"\xef\xbb\xbf[]")),
    "feed-listing": Target(_feed_listing, (_LISTING, _OLDEST, _NEWEST)),
    "refusal": Target(_refusal, (_FORBIDDEN, _HTML)),
    "login-refusal": Target(_login_refusal, (_ENTRA, b"<html>AADSTS90033: later</html>")),
    "retry-after": Target(_retry_after, (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT")),
    "gzip": Target(_gzip, (_gzip_seed(), b"plain")),
    "link": Target(_link, (b"https://eur.outlook.office365.com:446/a?b=c", b"https://[::1]/")),
    "main-file": Target(_main_file, (_MAIN, b"a=" + b"[" * 9999)),
    "tenant-file": Target(
        _tenant_file,
        (
            _TENANT,
            _TENANT.replace(b"2026-09-01", b"0001-01-01T00:00:00+14:00"),
            _TENANT.replace(b"2026-09-01", b"9" * 5000),
        ),
    ),
    "certificate": Target(_certificate, (b"0\x82\x01\x00\x02\x01\x03", _PEM)),
    "address": Target(_address, (b"Ada <ada@contoso.example>", "a@bücher.example".encode())),
    "smtp-reply": Target(_smtp_reply, (b"\x02\x265.7.30 no", b"\x00\xfa2.0.0 kept")),
    "landing-file": Target(_landing_file, (_landing_seed(),)),
    "canonical": Target(_canonical, (b'{"b":[1.0,1e5,-0],"a":"\\u00e9"}', _RECORD)),
    "queue-item": Target(_queue_item, (b"TK1." + b"0" * 64 + b"9.{}", b"{}")),
    "csv-cells": Target(_cells, (b"=1+1;x", b" \t=cmd|'/c calc'!A0", "\uff1d1".encode())),
    "text": Target(_written_text, (b"\xef\xbb\xbfa", "a".encode("utf-16"), b"\\\xff")),
    "name": Target(_name, (b"Ada https://x.example www.y.example", "ا‮b".encode())),
    "range": Target(
        _range,
        (
            b"2026-10-05,2026-10-06T00:00:00+02:00",
            b"2026-10",
            b"0001-01-01T00:00:00+14:00,9999-12-31T23:59:59-14:00",
        ),
    ),
}  # fmt: skip
