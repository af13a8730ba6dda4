"""An answer in bytes: rows, the OData envelope around them, and pages put by for a nextLink."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass

from aiohttp import web

from sandbox import record_types, rows
from sandbox.answers import Answer
from sandbox.parameters import Query
from sandbox.tenants import Tenant

_METADATA = {
    "object": b'"AuditSearchRequestMetadata":{"moreRecordsAvailable":%s},',
    "string": b'"AuditSearchRequestMetadata":"{\\"moreRecordsAvailable\\":%s}",',
}
_EMPTY = rows.body(b'""', 0, b'""', b'""', b"", b"")
_RECORD_TYPE = re.compile(r'"RecordType":\s*(\d+)')
_PUT_BY_LIMIT = 500
COOKIE = "exchangecookie"


def rendered(answer: Answer, tenant: Tenant, query: Query) -> list[bytes]:
    """The page's rows, ready for the wire."""
    bodies = [tenant.store.body(i) for i in answer.ids]
    for at in [at for at, i in enumerate(answer.ids) if i in answer.broken]:
        bodies[at] = _retold(bodies[at], tenant.store.times[answer.ids[at]], _cut_short)
    if query.formatted:
        bodies = [
            _retold(body, tenant.store.times[i], _named)
            for body, i in zip(bodies, answer.ids, strict=True)
        ]
    if answer.empty_row:
        bodies = [_EMPTY]
    count = _result_count(answer, tenant, len(bodies))
    said = _METADATA.get(tenant.switches.more_records, b"")
    metadata = said % (b"true" if answer.more else b"false") if said else b""
    if answer.shown_index is not None:
        return [rows.row(answer.shown_index, count, metadata, body) for body in bodies]
    return rows.page(answer.first_index, count, metadata, bodies)


def _result_count(answer: Answer, tenant: Tenant, length: int) -> int:
    if answer.shown_count is not None:
        return answer.shown_count
    return {"total": answer.total, "page": length, "zero": 0}[tenant.switches.result_count]


def _cut_short(text: str) -> str:
    return text[: len(text) * 3 // 5]


def _named(text: str) -> str:
    """The Formatted switch: names for numbers inside the row."""
    return _RECORD_TYPE.sub(
        lambda found: f'"RecordType":"{record_types.name_of(int(found[1]))}"', text
    )


def _retold(body: bytes, moment: int, change: object) -> bytes:
    fields = rows.parsed(body)
    text = change(fields["AuditData"]) if callable(change) else fields["AuditData"]
    return rows.body(
        rows.quoted(fields["RecordType"]),
        moment,
        rows.quoted(fields["UserIds"]),
        rows.quoted(fields["Operations"]),
        rows.quoted(text)[1:-1],
        rows.quoted(fields["Identity"])[1:-1],
    )


def selected(found: list[bytes], columns: list[str]) -> list[bytes]:
    """`?$select=A,B`: only these columns."""
    wanted = {column.strip() for column in columns}
    trimmed = (
        {k: v for k, v in json.loads(row).items() if k.split("@")[0] in wanted} for row in found
    )
    return [json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") for row in trimmed]


def envelope(
    url: str,
    tenant: Tenant,
    found: list[bytes],
    warnings: list[str],
    errors: list[str],
    next_link: str,
) -> bytes:
    """The OData object around the rows."""
    context = f"{url}/adminapi/beta/{tenant.tenant_id}/$metadata"
    head = {
        "@odata.context": f"{context}#Collection(Exchange.GenericHashTable)",
        "adminapi.warnings@odata.type": "#Collection(String)",
        "@adminapi.warnings": warnings,
    } | ({"@adminapi.errors": errors} if errors else {})
    tail = b',"@odata.nextLink":' + rows.quoted(next_link) if next_link else b""
    opening = json.dumps(head, separators=(",", ":"))[:-1].encode()
    return b"".join((opening, b',"value":[', b",".join(found), b"]", tail, b"}"))


@dataclass
class PutBy:
    """Rows that wait behind a skip token, on one server, for one client."""

    tenant_id: str
    anchor: str
    cookie: str
    expires: float
    rows: list[bytes]
    ids: list[int]
    size: int


class SkipTokens:
    """The rests of answers that were cut at maxpagesize."""

    def __init__(self) -> None:
        self._kept: dict[str, PutBy] = {}

    def put_by(self, url: str, segment: str, rest: PutBy) -> str:
        """Keep the rest of an answer; gives its nextLink."""
        while len(self._kept) >= _PUT_BY_LIMIT:
            self._kept.pop(next(iter(self._kept)))
        token = secrets.token_urlsafe(18)
        self._kept[token] = rest
        return f"{url}/adminapi/beta/{segment}/InvokeCommand?%24skiptoken={token}"

    def take_up(self, request: web.Request, tenant: Tenant) -> PutBy | None:
        """The rest that a token names, if the same client asks for it in time."""
        rest = self._kept.get(request.query["$skiptoken"])
        by_vanity = request.match_info["tenant"].lower() == tenant.vanity_domain.lower()
        if rest is None or by_vanity or rest.tenant_id != tenant.tenant_id:
            return None
        same_anchor = bool(rest.anchor) and rest.anchor == request.headers.get("X-AnchorMailbox")
        same_cookie = rest.cookie == request.cookies.get(COOKIE, "")
        return rest if same_anchor and same_cookie and time.monotonic() < rest.expires else None
