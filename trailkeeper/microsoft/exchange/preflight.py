"""The preflight checks of the Exchange source: from the certificate to the first record.

identity-and-exchange.md, section 6.5. Claims are read for diagnosis only; what counts is what
Exchange answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from trailkeeper.microsoft.exchange.client import (
    AUDIT_CONFIG,
    SEARCH,
    ExchangeClient,
    read_audit_config,
)
from trailkeeper.microsoft.exchange.faults import APP_ROLE_REMEDY
from trailkeeper.microsoft.exchange.page import read_page
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.microsoft.preflight import SignIn, in_order, roles, texts
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.window import iso
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.source import Check
from trailkeeper.settings import Settings, TenantSettings

APP_ROLE = "Exchange.ManageAsApp"
LOOK_ALIKES = frozenset({"Exchange.ManageAsAppV2", "AdminAPI.ManageAsApp"})
"""app roles that are taken for `APP_ROLE` and do not open the search (section 2.1)"""

AUDIT_ROLES: Mapping[str, str] = {
    "62e90394-69f5-4237-9190-012177145e10": "Global Administrator",
    "29232cdf-9323-42fd-ade2-1d097af3e4de": "Exchange Administrator",
    "17315797-102d-40b4-93e0-432062caca18": "Compliance Administrator",
    "f2ef992c-3afb-46b9-b7cf-a126ee74c451": "Global Reader",
}
"""template ids of the directory roles that carry the search by default (section 2.2)"""

_SEARCH_FROM, _SEARCH_TO = timedelta(hours=24), timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class ExchangePreflight:
    """One run of one tenant's preflight checks. Nothing is changed, except that its token is asked
    for anew."""

    settings: Settings
    tenant: TenantSettings
    tokens: TokenSource
    client: ExchangeClient
    clock: Clock

    def run(self) -> Iterator[Check]:
        """The checks, lowest first, up to the first that fails or that could not be asked."""
        said: dict[str, object] = {}
        sign_in = SignIn(self.settings, self.tenant, self.tokens, self.clock)
        audience = self.settings.cloud(self.tenant).exchange
        return in_order(
            (
                ("certificate", sign_in.certificate),
                ("login", lambda: sign_in.token(audience, said)),
                ("app role", lambda: _app_role(said)),
                ("directory role", lambda: _directory_role(said)),
                ("auditing", self._auditing),
                ("search", self._search),
            )
        )

    def _auditing(self) -> Check:
        read_audit_config(self.client.invoke(AUDIT_CONFIG, {}))
        return Check("", True, "the app may ask, and the tenant records its audit log")

    def _search(self) -> Check:
        """One row of the last day. None is no proof of an empty log (section 6.5)."""
        now = self.clock.now()
        start, end = now - _SEARCH_FROM, now - _SEARCH_TO
        asked = {"StartDate": iso(start), "EndDate": iso(end), "ResultSize": 1}
        answer = self.client.invoke(SEARCH, asked)
        page = read_page(answer.body, RecordReader(now), answer.headers.get("X-Warnings", ""))
        if page.records:
            return Check("", True, "records of the last day can be read")
        said = f" ({page.warnings[0]})" if page.warnings else ""
        return Check(
            "", None, f"no record between 24 and 2 hours ago{said}: quiet, or not recording yet"
        )


def _app_role(said: Mapping[str, object]) -> Check:
    if not said:
        return Check("", None, "the token cannot be read; Exchange's answer will tell")
    held = roles(said)
    if APP_ROLE in held:
        return Check("", True, f"the token carries {APP_ROLE}")
    alike = sorted(LOOK_ALIKES & held)
    instead = f"; {alike[0]} is another permission" if alike else ""
    return Check("", False, f"the token lacks the app role {APP_ROLE}{instead}", APP_ROLE_REMEDY)


def _directory_role(said: Mapping[str, object]) -> Check:
    held = texts(said.get("wids"))
    carrying = sorted(AUDIT_ROLES[role] for role in held & set(AUDIT_ROLES))
    if carrying:
        return Check("", True, f"the app is {', '.join(carrying)}")
    return Check(
        "", None, "no directory role known to carry the search; a role inside Exchange may"
    )
