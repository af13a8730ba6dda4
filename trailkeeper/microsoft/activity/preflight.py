"""The preflight checks of the Activity feed: from the certificate to the first listing.

management-api-and-graph.md, section 1.1. Nothing is started here: a subscription that is missing is
no failure, the first collection starts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.activity.client import ActivityClient
from trailkeeper.microsoft.activity.faults import NO_SUBSCRIPTION
from trailkeeper.microsoft.activity.subscriptions import DISABLED, read_list
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.microsoft.preflight import SignIn, in_order, roles
from trailkeeper.model.feed.rules import content_types
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.source import Check
from trailkeeper.settings import Settings, TenantSettings

APP_ROLE = "ActivityFeed.Read"
_REMEDY = (
    f"Grant the app the application permission {APP_ROLE} (Office 365 Management APIs) with admin "
    "consent."
)
_DISABLED = "Let the tenant's administrator enable the subscription again."


@dataclass(frozen=True, slots=True)
class ActivityPreflight:
    """One run of one tenant's preflight checks. Nothing is changed, except that its token is asked
    for anew."""

    settings: Settings
    tenant: TenantSettings
    tokens: TokenSource
    client: ActivityClient
    clock: Clock

    def run(self) -> Iterator[Check]:
        """The checks, lowest first, up to the first that fails or that could not be asked."""
        said: dict[str, object] = {}
        sign_in = SignIn(self.settings, self.tenant, self.tokens, self.clock)
        audience = self.settings.cloud(self.tenant).management
        return in_order(
            (
                ("feed certificate", sign_in.certificate),
                ("feed login", lambda: sign_in.token(audience, said)),
                ("feed app role", lambda: _app_role(said)),
                ("feed subscriptions", self._subscriptions),
                ("feed listing", self._listing),
            )
        )

    def _subscriptions(self) -> Check:
        shown = read_list(self.client.get(self.client.url("subscriptions/list")))
        disabled = sorted(s.contentType for s in shown if s.status not in (None, "enabled"))
        if disabled:
            return Check("", False, f"disabled: {', '.join(disabled)}", _DISABLED)
        wanted = set(content_types(dlp=self.tenant.dlp))
        missing = wanted - {s.contentType for s in shown}
        if missing:
            return Check("", True, f"{len(missing)} to be started by the first collection")
        return Check("", True, f"{len(wanted)} content types enabled")

    def _listing(self) -> Check:
        """The last hour of one content type. Nothing there is no proof of anything."""
        now = self.client.now()
        asked = {
            "contentType": content_types(dlp=False)[0],
            "startTime": f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}",
            "endTime": f"{now:%Y-%m-%dT%H:%M:%S}",
        }
        try:
            self.client.get(self.client.url("subscriptions/content", **asked))
        except TrailkeeperError as error:
            if error.code not in (NO_SUBSCRIPTION, DISABLED):
                raise
            return Check("", None, "not subscribed yet: the first collection does that")
        return Check("", True, "the feed answers")


def _app_role(said: Mapping[str, object]) -> Check:
    if not said:
        return Check("", None, "the token cannot be read; the feed's answer will tell")
    if APP_ROLE in roles(said):
        return Check("", True, f"the token carries {APP_ROLE}")
    return Check("", False, f"the token lacks the app role {APP_ROLE}", _REMEDY)
