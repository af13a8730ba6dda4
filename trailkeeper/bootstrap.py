"""The one place that builds the world: settings in, adapters out, each when it is first used.

Nothing here runs at import, and nothing heavy is imported before it is needed: a worker that only
pulls never loads polars or deltalake, and no process uses them before it forks.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from trailkeeper.errors import ConfigurationError
from trailkeeper.model.identity import Identity
from trailkeeper.model.review.rule import Rule
from trailkeeper.model.sources import known_rules
from trailkeeper.model.stream import Source
from trailkeeper.ports.certificates import CertificateDates
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.lake import Lake
from trailkeeper.ports.landing import Landing
from trailkeeper.ports.ledger import Ledger
from trailkeeper.ports.mail import Mailer
from trailkeeper.ports.outbox import Outbox
from trailkeeper.ports.source import AuditSource
from trailkeeper.process import crash_points
from trailkeeper.settings import MailSettings, Settings, TenantSettings
from trailkeeper.settings.environment import crash_at
from trailkeeper.steps.arrivals import ArrivalStep
from trailkeeper.steps.compact import CompactStep
from trailkeeper.steps.cover import CoverStep
from trailkeeper.steps.deliver import DeliverStep
from trailkeeper.steps.fairness import Fairness
from trailkeeper.steps.identify import IdentifyStep
from trailkeeper.steps.match import MatchStep
from trailkeeper.steps.merge import MergeStep
from trailkeeper.steps.pull import PullStep
from trailkeeper.steps.reap import ReapStep
from trailkeeper.steps.report import CloseMonths, ReportStep
from trailkeeper.steps.review import ReviewStep
from trailkeeper.steps.warn import WarnStep

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trailkeeper.metrics import Metrics
    from trailkeeper.microsoft.certificates.loading import Certificates
    from trailkeeper.microsoft.http.sessions import Sessions
    from trailkeeper.microsoft.identity.token_cache import TokenStore
    from trailkeeper.microsoft.identity.tokens import Tokens

READABLE = frozenset(known_rules())
"""the sources that this version can read"""


def import_pulling() -> None:
    """Import what pulling needs, and nothing heavier: before a fork it is done once for all."""
    import trailkeeper.microsoft.activity.source
    import trailkeeper.microsoft.exchange.source
    import trailkeeper.microsoft.identity.forked_tokens
    import trailkeeper.microsoft.identity.token_cache
    import trailkeeper.microsoft.identity.token_crypto
    import trailkeeper.microsoft.identity.tokens
    import trailkeeper.store.budget
    import trailkeeper.store.landing
    import trailkeeper.store.ledger  # noqa: F401 - here only to be imported


class SystemClock:
    """Implements `ports.Clock` with the machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class World:
    """Every adapter and step of one process. Build it after forking, close it at the end."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        forked_tokens: TokenStore | None = None,
        pullers: int = 0,
    ) -> None:
        """`forked_tokens`: shared with the processes of one command, where there is no Redis.
        `pullers`: how many processes of this host pull for all tenants; 0 is a command's own."""
        if crash := crash_at():
            crash_points.arm(crash)
        self.settings = settings
        self._forked_tokens = forked_tokens
        self._pullers = pullers
        self._read_rules: tuple[Rule, ...] | None = None
        self.clock: Clock = clock or SystemClock()
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        """who holds this process's leases"""

    # --- store ---

    @cached_property
    def _engine(self) -> Engine:
        from trailkeeper.store.database import open_database

        return open_database(self.settings.ledger_url)

    @cached_property
    def ledger(self) -> Ledger:
        from trailkeeper.store.ledger import SqlLedger

        return SqlLedger(self._engine)

    @cached_property
    def outbox(self) -> Outbox:
        from trailkeeper.store.outbox import SqlOutbox

        return SqlOutbox(self._engine)

    @cached_property
    def landing(self) -> Landing:
        from trailkeeper.store.landing import FileLanding

        return FileLanding(self.settings.service.data / "landing")

    @cached_property
    def lake(self) -> Lake:
        from trailkeeper.store.lake import DeltaLake

        return DeltaLake(self.settings.service.lake, expected=self._has_stored, whose=self._whose)

    def _whose(self, tenant: str) -> Identity | None:
        found = self.settings.tenants.get(tenant)
        return found.identity if found else None

    def _has_stored(self, tenant: str) -> bool:
        return self.ledger.has_stored(tenant)  # opened when it is asked: a lake needs no ledger

    # --- Microsoft ---

    @cached_property
    def sessions(self) -> Sessions:
        from trailkeeper.microsoft.http.sessions import Sessions

        return Sessions(self.settings)

    @cached_property
    def certificates(self) -> Certificates:
        from trailkeeper.microsoft.certificates.loading import Certificates

        return Certificates(self.settings, self.clock)

    @cached_property
    def certificate_dates(self) -> CertificateDates:
        from trailkeeper.microsoft.certificates.expiry import ConfiguredCertificates

        return ConfiguredCertificates(self.settings, self.certificates)

    @cached_property
    def tokens(self) -> Tokens:
        """Shared through Redis where there is one, else with who was forked, else ours alone."""
        from trailkeeper.microsoft.identity.token_cache import TokenCache, redis_tokens
        from trailkeeper.microsoft.identity.token_crypto import token_keys
        from trailkeeper.microsoft.identity.tokens import Tokens

        url = self.settings.redis_url
        redis = redis_tokens(url, token_keys(self.settings)) if url else None
        shared = redis or self._forked_tokens
        return Tokens(
            self.settings, self.sessions, TokenCache(shared), self.certificates, self.clock
        )

    @cached_property
    def sources(self) -> Mapping[Source, AuditSource]:
        """The adapter of every source, as `_ADAPTERS` lists them."""
        return {source: adapter(self) for source, adapter in _ADAPTERS.items()}

    # --- mail ---

    @cached_property
    def mailer(self) -> Mailer:
        """The transport that is configured. Raises `ConfigurationError` when no mail is."""
        mail = self.settings.mail
        if mail is None:
            raise ConfigurationError(
                f"{self.settings.folder}/trailkeeper.toml has no [mail] section",
                'Add one with sender = "…" and smtp = { host = "…", port = 587 }.',
            )
        if mail.way not in _MAILERS:
            raise ConfigurationError(
                f"mail through {mail.way} is not built yet", "Configure smtp = {…} in [mail]."
            )
        return _MAILERS[mail.way](self, mail)

    # --- whose records these are ---

    @cached_property
    def identify(self) -> IdentifyStep:
        from trailkeeper.store.lake_identity import kept_under

        in_lake = partial(kept_under, self.settings.service.lake)
        return IdentifyStep(self.settings, self.ledger, self.clock, in_lake)

    def tenant(self, name: str) -> TenantSettings:
        """A tenant whose records the ledger and the lake keep under its name, or nobody's yet.

        Loads what reads the lake. Raises `ConfigurationError` for a name without a file, and for
        one under which another directory's records are kept.
        """
        tenant = self.settings.tenant(name)
        self.identify(name)
        self.lake.require_ours(name)  # also where the ledger was told first
        return tenant

    # --- steps ---

    @cached_property
    def pull(self) -> PullStep:
        service = self.settings.service
        return PullStep(
            self.ledger,
            self.landing,
            self.sources,
            self.clock,
            service.lease,
            service.searches_per_tenant,
            require=self.identify,
            fairness=self._fairness,
        )

    @property
    def _fairness(self) -> Fairness | None:
        host = socket.gethostname()
        return Fairness(self.ledger, self.clock, host, self._pullers) if self._pullers else None

    @cached_property
    def merge(self) -> MergeStep:
        lease = self.settings.service.lease
        return MergeStep(
            self.ledger, self.landing, self.lake, self.clock, lease, require=self.identify
        )

    @cached_property
    def cover(self) -> CoverStep:
        return CoverStep(self.ledger, self.settings.collection, READABLE)

    @cached_property
    def arrivals(self) -> ArrivalStep:
        return ArrivalStep(self.ledger, self.lake, self.settings.collection, self.clock)

    @cached_property
    def compact(self) -> CompactStep:
        return CompactStep(
            self.settings, self.ledger, self.lake, self.arrivals, self.match, self.clock
        )

    @cached_property
    def match(self) -> MatchStep:
        return MatchStep(self.ledger, self.lake, self.cover, self.clock)

    @cached_property
    def report(self) -> ReportStep:
        from trailkeeper.mail.render import ReportRenderer

        return ReportStep(
            self.settings,
            self.ledger,
            self.outbox,
            self.lake,
            ReportRenderer(),
            self.cover,
            self.clock,
            self.reports_folder,
            self.certificate_dates,
            self.match,
            ReviewStep(self.lake, self._rules),
            require=self.identify,
        )

    def _rules(self) -> tuple[Rule, ...]:
        """The shipped rules and the operator's own, read once."""
        if self._read_rules is None:
            from trailkeeper.rules.loading import own, shipped

            written = (*shipped(), *own(self.settings.folder / "rules"))
            self._read_rules = tuple(each.rule for each in written)
        return self._read_rules

    @property
    def reports_folder(self) -> Path:
        return self.settings.service.data / "reports"

    @cached_property
    def close_months(self) -> CloseMonths:
        return CloseMonths(self.settings, self.ledger, self.outbox, self.cover)

    @cached_property
    def deliver(self) -> DeliverStep:
        return DeliverStep(self.outbox, self.mailer, self.clock, require=self.identify)

    @cached_property
    def warn(self) -> WarnStep:
        return WarnStep(self.settings, self.ledger, self.certificate_dates, self.clock)

    @cached_property
    def metrics(self) -> Metrics:
        from trailkeeper.metrics import FILE, Metrics

        path = self.settings.service.data / "metrics" / FILE
        return Metrics(self.settings, self.ledger, self.clock, path)

    @cached_property
    def reap(self) -> ReapStep:
        return ReapStep(self.ledger, self.landing, self.clock)

    def close(self) -> None:
        """Let go of connections; the world cannot be used afterwards."""
        if "sessions" in self.__dict__:
            self.sessions.close()
        if "_engine" in self.__dict__:
            self._engine.dispose()


def _exchange(world: World) -> AuditSource:
    from trailkeeper.microsoft.exchange.source import ExchangeSource

    return ExchangeSource(world.settings, world.tokens, world.sessions, world.clock, world.ledger)


def _activity(world: World) -> AuditSource:
    from trailkeeper.microsoft.activity.source import ActivitySource
    from trailkeeper.store.budget import RequestBudget

    budget = RequestBudget(world.settings.redis_url)
    return ActivitySource(
        world.settings, world.tokens, world.sessions, world.clock, world.ledger, budget
    )


def _smtp(world: World, mail: MailSettings) -> Mailer:
    from trailkeeper.mail.smtp import SmtpMailer

    return SmtpMailer(mail, world.settings.secret)


_ADAPTERS: Mapping[Source, Callable[[World], AuditSource]] = {
    Source.EXCHANGE: _exchange,
    Source.ACTIVITY: _activity,
}
_MAILERS: Mapping[str, Callable[[World, MailSettings], Mailer]] = {
    "smtp": _smtp,
}
