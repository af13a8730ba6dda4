"""The onboarding ladder of the Exchange source: from the certificate to the first record.

identity-and-exchange.md, section 6.5. Claims are read for diagnosis only; what counts is what
Exchange answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from trailkeeper.errors import TrailkeeperError, Transient
from trailkeeper.microsoft.certificates import load_certificate
from trailkeeper.microsoft.exchange_client import (
    AUDIT_CONFIG,
    SEARCH,
    ExchangeClient,
    TokenSource,
    read_audit_config,
)
from trailkeeper.microsoft.exchange_faults import APP_ROLE_REMEDY
from trailkeeper.microsoft.exchange_page import read_page
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.microsoft.tokens import claims
from trailkeeper.model.window import iso
from trailkeeper.ports import Clock, Rung
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
class Ladder:
    """One climb of one tenant. Nothing is changed, except that its token is asked for anew."""

    settings: Settings
    tenant: TenantSettings
    tokens: TokenSource
    client: ExchangeClient
    clock: Clock

    def climb(self) -> Iterator[Rung]:
        """The rungs, lowest first, up to the first that fails or that could not be asked."""
        token: list[str] = []
        steps: tuple[tuple[str, Callable[[], Rung]], ...] = (
            ("certificate", self._certificate),
            ("login", lambda: self._login(token)),
            ("app role", lambda: _app_role(claims(token[0]))),
            ("directory role", lambda: _directory_role(claims(token[0]))),
            ("auditing", self._auditing),
            ("search", self._search),
        )
        for name, step in steps:
            rung = tried(name, step)
            yield rung
            if rung.passed is False or (rung.passed is None and rung.remedy):
                return

    def _certificate(self) -> Rung:
        """At least one of the configured certificates can be used; all are told."""
        now = self.clock.now()
        chosen = [c for c in (self.tenant.certificate, self.tenant.next_certificate) if c]
        told: list[str] = []
        errors: list[TrailkeeperError] = []
        for each in chosen:
            try:
                found = load_certificate(each, self.settings, now, self.tenant)
            except TrailkeeperError as error:
                errors.append(error)
            else:
                told.append(f"{found.thumbprint_sha1}, valid until {found.not_after:%Y-%m-%d}")
        if not told:
            raise errors[0]
        told += [f"of no use: {error.summary}" for error in errors]
        return Rung("", True, "; ".join(told))

    def _login(self, token: list[str]) -> Rung:
        """With a token of this minute: role and consent reach only new ones (section 2.2)."""
        audience = self.settings.cloud(self.tenant).exchange
        self.tokens.drop(self.tenant, audience)
        token.append(self.tokens.get(self.tenant, audience))
        used = self.tokens.thumbprint_in_use(self.tenant)
        return Rung("", True, f"Entra issued a token for {audience} to {used or 'the app'}")

    def _auditing(self) -> Rung:
        read_audit_config(self.client.invoke(AUDIT_CONFIG, {}))
        return Rung("", True, "the app may ask, and the tenant records its audit log")

    def _search(self) -> Rung:
        """One row of the last day. None is no proof of an empty log (section 6.5)."""
        now = self.clock.now()
        start, end = now - _SEARCH_FROM, now - _SEARCH_TO
        asked = {"StartDate": iso(start), "EndDate": iso(end), "ResultSize": 1}
        answer = self.client.invoke(SEARCH, asked)
        page = read_page(answer.body, RecordReader(now), answer.headers.get("X-Warnings", ""))
        if page.records:
            return Rung("", True, "records of the last day can be read")
        said = f" ({page.warnings[0]})" if page.warnings else ""
        return Rung(
            "", None, f"no record between 24 and 2 hours ago{said}: quiet, or not recording yet"
        )


def tried(name: str, step: Callable[[], Rung]) -> Rung:
    """The step's rung under its name; an error of ours fails it, trouble on the way leaves it open.

    An open rung carries a remedy only when nothing could be asked.
    """
    try:
        return replace(step(), name=name)
    except Transient as error:
        said = f"could not be asked: {error.summary}"
        return Rung(name, None, said, "Check the network and try again later.")
    except TrailkeeperError as error:
        code = f" [{error.code}]" if error.code and error.code not in error.summary else ""
        return Rung(name, False, f"{error.summary}{code}", error.remedy)


def _app_role(said: Mapping[str, object]) -> Rung:
    if not said:
        return Rung("", None, "the token cannot be read; Exchange's answer will tell")
    roles = _texts(said.get("roles"))
    if APP_ROLE in roles:
        return Rung("", True, f"the token carries {APP_ROLE}")
    alike = sorted(LOOK_ALIKES & roles)
    instead = f"; {alike[0]} is another permission" if alike else ""
    return Rung("", False, f"the token lacks the app role {APP_ROLE}{instead}", APP_ROLE_REMEDY)


def _directory_role(said: Mapping[str, object]) -> Rung:
    held = _texts(said.get("wids"))
    carrying = sorted(AUDIT_ROLES[role] for role in held & set(AUDIT_ROLES))
    if carrying:
        return Rung("", True, f"the app is {', '.join(carrying)}")
    return Rung("", None, "no directory role known to carry the search; a role inside Exchange may")


def _texts(value: object) -> set[str]:
    return {str(item) for item in value} if isinstance(value, list) else set()
