"""One cmdlet call through the Exchange admin REST ("InvokeCommand"), which Microsoft does not
document: identity-and-exchange.md, section 3, holds what was observed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

from trailkeeper.errors import NeedsPerson, Transient
from trailkeeper.microsoft.exchange.faults import exchange_error
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_text import json_object
from trailkeeper.microsoft.http.hosts import host_allowed, usual_port
from trailkeeper.microsoft.http.session import Session
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.settings import CloudSettings, TenantSettings

SEARCH = "Search-UnifiedAuditLog"
AUDIT_CONFIG = "Get-AdminAuditLogConfig"
_ARBITRATION_MAILBOX = "bb558c35-97f1-4cb9-8ff7-d53741dc928c"
"""the same in every tenant; the routing key that other app-only clients use (section 3.1)"""
MAX_ANSWER_BYTES = 96 << 20
"""5,000 rows are 8 MB as a rule; a page of the largest records observed would be about this"""

_BEFORE_JSON = b"\0\xef\xbb\xbf \r\n\t"
"""padding, byte order mark and blanks that may come first"""


class ExchangeClient:
    """A conversation with one tenant: one connection, one anchor, its own cookies."""

    def __init__(
        self, tenant: TenantSettings, cloud: CloudSettings, session: Session, tokens: TokenSource
    ) -> None:
        self._tenant = tenant
        self._base = cloud.exchange
        self._tokens = tokens
        self._connection = session.connection()

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return self._connection.request_count

    @property
    def url(self) -> str:
        """The tenant as GUID: a vanity domain breaks paging (section 3.3)."""
        return f"{self._base}/adminapi/beta/{self._tenant.tenant_id}/InvokeCommand"

    def invoke(
        self, cmdlet: str, parameters: Mapping[str, object], link: str | None = None
    ) -> Answer:
        """Run `cmdlet`, or fetch its next page from `link` with the same body and headers.

        Returns a 200. A 401 or 403 drops the token once: role and consent changes reach only newly
        issued ones (section 2.2). Raises what `exchange_error` makes of every other answer.
        """
        body = json.dumps({"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}})
        url = self._checked(link) if link else self.url
        answer = self._post(url, cmdlet, body)
        if answer.status in (401, 403):
            self._tokens.drop(self._tenant, self._base)
            answer = self._post(url, cmdlet, body)
        if answer.status != 200 or not answer.body.lstrip(_BEFORE_JSON).startswith(b"{"):
            raise exchange_error(answer)  # a 200 can be a plain sentence, or a page of a proxy
        return answer

    def _post(self, url: str, cmdlet: str, body: str) -> Answer:
        return self._connection.request(
            "POST",
            url,
            headers=self._headers(cmdlet),
            body=body.encode(),
            token=self._tokens.get(self._tenant, self._base),
            max_bytes=MAX_ANSWER_BYTES,
        )

    def _headers(self, cmdlet: str) -> dict[str, str]:
        anchor = f"APP:SystemMailbox{{{_ARBITRATION_MAILBOX}}}@{self._tenant.tenant_id}"
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Language": "en-US",  # texts of errors and warnings are matched
            "X-AnchorMailbox": anchor,
            "X-CmdletName": cmdlet,
            "X-ResponseFormat": "json",
            "X-ClientApplication": "Trailkeeper",
            "Prefer": "odata.maxpagesize=5000",
            "client-request-id": str(uuid4()),
        }

    def _checked(self, link: str) -> str:
        """A next link must stay on the Exchange host and in the tenant before it gets the token."""
        link = usual_port(urljoin(self.url, link), [urlsplit(self._base).netloc])
        same_place = host_allowed(link, [urlsplit(self._base).netloc])
        path = urlsplit(link).path.lower() if same_place else ""
        names = {str(self._tenant.tenant_id), self._tenant.domain.lower()}
        if not any(f"/adminapi/beta/{name}/" in path for name in names):
            raise Transient(
                "Exchange sent a link to the next page that leads to another place",
                "It was not followed; the window is asked again.",
            )
        return link


def read_audit_config(answer: Answer) -> bool:
    """UnifiedAuditLogIngestionEnabled from Get-AdminAuditLogConfig (section 3.6).

    Raises `NeedsPerson` when it is off; `Transient` when the answer does not say.
    """
    try:
        rows: Any = json_object(answer.body)["value"]
        stated = str(rows[0]["UnifiedAuditLogIngestionEnabled"]).lower()
    except (LookupError, TypeError):
        stated = ""
    if stated == "true":
        return True
    if stated == "false":
        raise NeedsPerson(
            "auditing is switched off in this tenant: the audit log stays empty",
            "An administrator runs Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true "
            "in Exchange Online; it takes up to an hour to take effect.",
            "auditing_off",
            answer.request_id,
        )
    raise Transient("Exchange did not say whether auditing is on", "It is asked again.")
