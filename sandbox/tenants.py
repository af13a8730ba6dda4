"""The directories that the sandbox plays: tenants, their app registrations, their switches."""

from __future__ import annotations

import dataclasses
import typing
import uuid
from dataclasses import dataclass, field
from typing import Any

from sandbox.clock import Clock
from sandbox.feed import switches as feed_switches
from sandbox.feed.blobs import Feed
from sandbox.feed.flow import Flow
from sandbox.feed.subscriptions import Subscriptions
from sandbox.feed.switches import FeedSwitches
from sandbox.keys import KeyCredential
from sandbox.store import EventStore

COMPLIANCE_ADMINISTRATOR = "17315797-102d-40b4-93e0-432062caca18"
# Directory roles whose Exchange role groups carry the audit cmdlets (reference 2.2).
AUDIT_ROLES = frozenset(
    {
        "62e90394-69f5-4237-9190-012177145e10",
        "29232cdf-9323-42fd-ade2-1d097af3e4de",
        COMPLIANCE_ADMINISTRATOR,
        "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
    }
)
_NAMESPACE = uuid.UUID("7a1c0a9e-5b7c-4d0e-9d54-2f6a9a9b1c11")


def fixed_guid(*words: object) -> str:
    """The same words give the same GUID, so that a restarted sandbox keeps its tenants' ids."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, words))))


class SettingRefused(ValueError):
    """A switch that does not exist, or a value that it cannot take."""


@dataclass
class Application:
    """An app registration: a client id with its certificates; tenants may share one."""

    client_id: str
    keys: list[KeyCredential] = field(default_factory=list)


@dataclass
class Switches(FeedSwitches):
    """What the control endpoint may alter in a tenant, at any time."""

    consented: bool = True  # app role on Exchange; without it tokens come without `roles`
    directory_roles: list[str] = field(default_factory=lambda: [COMPLIANCE_ADMINISTRATOR])
    management_roles: list[str] = field(default_factory=lambda: ["ActivityFeed.Read"])
    graph_roles: list[str] = field(default_factory=lambda: ["AuditLogsQuery.Read.All", "Mail.Send"])
    app_disabled: bool = False  # 7000112
    vault_permissions: list[str] = field(
        default_factory=lambda: [
            "secrets/get",
            "secrets/list",
            "certificates/get",
            "certificates/list",
            "keys/get",
            "keys/list",
            "keys/sign",
        ]
    )  # what this tenant's app may do in the vault, if it is theirs
    exchange_licensed: bool = True  # 500011 without
    blocked_by_policy: bool = False  # 53003
    token_seconds: int = 3599
    ingestion: bool = True  # D14: off = success with zero rows, for ever
    result_count: str = "page"  # total | page | zero; `page` is what 2026 shows (D4)
    more_records: str = "object"  # object | string | off
    order: str = "newest"  # of a page without a session: newest | oldest | shuffled | arbitrary
    start_inclusive: bool = True
    end_inclusive: bool = False
    odata_split: bool = False  # cut answers at Prefer: odata.maxpagesize
    skip_token_seconds: float = 1800
    rate_headers: bool = True
    compressed: bool = False  # honest gzip of successes, when the client accepts it
    unsearched_share: float = 0.0  # of the records is returned by no search, ever
    retention_days: float = 180
    duplicate_rate: float = 0.0  # share of rows repeated within a result set
    seconds_per_call: float = 0.0
    seconds_per_row: float = 0.0
    concurrency_limit: int = 0  # simultaneous cmdlets; 0 = none
    concurrency_status: int = 429  # of the refusal beyond it; perhaps not 429 in reality
    propagation_seconds: float = 0.0  # until a changed consent, role or certificate takes effect


_CHOICES = {
    "result_count": {"total", "page", "zero"},
    "more_records": {"object", "string", "off"},
    "order": {"newest", "oldest", "shuffled", "arbitrary"},
    **feed_switches.CHOICES,
}
_SLOW_TO_SPREAD = {"consented", "directory_roles", "management_roles", "graph_roles"}


@dataclass
class Tenant:
    """One directory with its app, its switches and its audit log."""

    name: str
    tenant_id: str
    domain: str
    vanity_domain: str
    application: Application
    switches: Switches = field(default_factory=Switches)
    store: EventStore = field(default_factory=EventStore)
    feed: Feed = field(init=False)
    flow: Flow = field(default_factory=Flow)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    running: int = 0  # cmdlets under way, for the concurrency limit
    busiest: int = 0
    _coming: list[tuple[float, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.feed = Feed(self.store)

    def occur(self, now: int) -> None:
        """Let the records occur that occur live up to `now`."""
        self.flow.advance(self.store, (self.tenant_id, self.domain), self.switches, now)

    def advance(self, now: int) -> None:
        """The same, and make the blobs that are due: what nobody asks for is not made."""
        self.occur(now)
        self.feed.advance(now, self.switches)

    @property
    def service_principal(self) -> str:
        return fixed_guid("service principal", self.tenant_id, self.application.client_id)

    def settle(self, now: float) -> Switches:
        """The switches as they are now: changes whose propagation has ended are applied."""
        due = [each for each in self._coming if each[0] <= now]
        self._coming = [each for each in self._coming if each[0] > now]
        for _, key, value in due:
            setattr(self.switches, key, value)
        return self.switches

    def alter(self, changes: dict[str, Any], now: float) -> None:
        """Set switches; grants take `propagation_seconds` to reach new tokens."""
        for key, value in changes.items():
            checked(key, value)
        if "propagation_seconds" in changes:
            self.switches.propagation_seconds = changes["propagation_seconds"]
        for key, value in changes.items():
            delay = self.switches.propagation_seconds if key in _SLOW_TO_SPREAD else 0
            self._coming.append((now + delay, key, value))
        self.settle(now)


def checked(key: str, value: Any) -> None:
    """Refuse what `Switches` does not have, naming what it has."""
    kinds = typing.get_type_hints(Switches)
    if key not in kinds:
        raise SettingRefused(f"no switch {key!r}; there are: {', '.join(sorted(kinds))}")
    wanted = typing.get_origin(kinds[key]) or kinds[key]
    accepted = (int, float) if wanted is float else wanted
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        raise SettingRefused(f"switch {key!r} wants {wanted.__name__}, not {value!r}")
    if key == "feed_lag":
        _check_lag(str(value))
    if key in _CHOICES and value not in _CHOICES[key]:
        raise SettingRefused(f"switch {key!r} is one of {sorted(_CHOICES[key])}, not {value!r}")


def _check_lag(value: str) -> None:
    try:
        feed_switches.lag_seconds(value)
    except ValueError as error:
        raise SettingRefused(
            "switch 'feed_lag' is arrival, instant, typical, seconds or seconds-seconds, "
            f"not {value!r}"
        ) from error


class Directory:
    """All tenants and app registrations."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tenants: dict[str, Tenant] = {}
        self.applications: dict[str, Application] = {}
        self._by_segment: dict[str, Tenant] = {}

    def create(self, name: str, **ids: str) -> Tenant:
        """A tenant with ids that follow from its name, unless given."""
        if name in self.tenants:
            raise SettingRefused(f"tenant {name!r} exists")
        client = (ids.get("client_id") or fixed_guid("client", name)).lower()
        application = self.applications.setdefault(client, Application(client))
        tenant = Tenant(
            name,
            (ids.get("tenant_id") or fixed_guid("tenant", name)).lower(),
            ids.get("domain") or f"{name}.onmicrosoft.com",
            ids.get("vanity_domain") or f"{name}.example",
            application,
        )
        self.tenants[name] = tenant
        for segment in (tenant.vanity_domain, tenant.domain, tenant.tenant_id):
            self._by_segment[segment.lower()] = tenant
        return tenant

    def remove(self, tenant: Tenant) -> None:
        """The tenant no longer exists; its app registration stays."""
        del self.tenants[tenant.name]
        self._by_segment = {k: t for k, t in self._by_segment.items() if t is not tenant}

    def find(self, segment: str) -> Tenant | None:
        """By GUID, initial or vanity domain, as the first path segment names it."""
        return self._by_segment.get(segment.lower())

    def description(self, tenant: Tenant) -> dict[str, Any]:
        """What the control endpoint shows of a tenant."""
        switches = tenant.settle(self.clock.identity_now())
        return {
            "name": tenant.name,
            "tenant_id": tenant.tenant_id,
            "domain": tenant.domain,
            "vanity_domain": tenant.vanity_domain,
            "client_id": tenant.application.client_id,
            "records": len(tenant.store),
            "switches": dataclasses.asdict(switches),
            "certificates": [key.shown() for key in tenant.application.keys],
        }
