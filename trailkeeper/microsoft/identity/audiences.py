"""What Entra calls the service behind one of a cloud's URLs: the `aud` that a token is asked for.

A preset cloud's hosts are their own names. A cloud of [clouds.NAME] may stand in front of services
that its Entra knows by the public names only; its settings say so, or the first login finds out.
"""

from __future__ import annotations

import structlog

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.identity.faults import code_number
from trailkeeper.settings import CLOUD_PRESETS, Settings, TenantSettings

_log = structlog.get_logger(__name__)

UNKNOWN_RESOURCE = frozenset({500011, 650057, 70011})
"""resource principal not found; not among the app's permissions; malformed scope"""
_PUBLIC = CLOUD_PRESETS["public"]


class Audiences:
    """The names in use, by cloud and URL; what was found out is remembered for this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[tuple[str, str], str] = {}

    def of(self, tenant: TenantSettings, url: str) -> str:
        """What to ask a token for."""
        cloud = self._settings.cloud(tenant)
        configured = {
            cloud.exchange: cloud.exchange_audience,
            cloud.management: cloud.management_audience,
        }.get(url)
        return configured or self._found.get((tenant.cloud, url), url)

    def other(self, tenant: TenantSettings, url: str, error: TrailkeeperError) -> str:
        """The public name, if it is worth one try after `error`; else empty."""
        if tenant.cloud in CLOUD_PRESETS or code_number(error) not in UNKNOWN_RESOURCE:
            return ""
        if self.of(tenant, url) != url:  # a name that was configured, or found, is the name
            return ""
        cloud = self._settings.cloud(tenant)
        names = {cloud.exchange: _PUBLIC.exchange, cloud.management: _PUBLIC.management}
        public = names.get(url, "")
        return "" if public == url else public

    def remember(self, tenant: TenantSettings, url: str, name: str) -> None:
        """`name` has opened what `url` did not."""
        self._found[tenant.cloud, url] = name
        _log.info("audience_replaced", cloud=tenant.cloud, url=url, audience=name)
