"""What `doctor` looks at, one function a part; each says what to do where it fails."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trailkeeper.cli.output import counted
from trailkeeper.errors import ConfigurationError, TrailkeeperError, Transient

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from trailkeeper.bootstrap import World
    from trailkeeper.microsoft.certificates.loading import Slot
    from trailkeeper.settings import Settings, TenantSettings

LARGEST_SKEW_SECONDS = 60
"""a login is refused when the clock is about five minutes off (identity-and-exchange.md, 1.3)"""
LEAST_FREE_BYTES = 2 << 30
CERTIFICATE_DAYS = 30
_NAMED = 3
"""open files that are named; the rest is counted"""
RECORDS = "records"
"""begins the name of a line about a tenant's name that stands for another directory"""
_REDIS_SECONDS = 3
_MAIL_REMEDY = (
    "See what the server's words ask for; reports wait in the outbox until it takes mail."
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of doctor. `passed` None: it works, but look at it; `detail` ends without a stop."""

    name: str
    passed: bool | None
    detail: str
    remedy: str = ""


def check_all(world: World) -> Iterator[Check]:
    """Every part in turn, cheapest first; a failing one does not keep the others from being seen.

    The configuration itself was read already: a broken one never gets here.
    """
    settings = world.settings
    yield _configuration(settings)
    yield from _overlooked(settings)
    if missing := partner_missing(settings, settings.tenants.values()):
        yield Check("feed", None, *missing)
    yield check_redis(settings)
    ledger = _guarded("ledger", lambda: _ledger(world))
    yield ledger
    foreign = _foreign(world) if ledger.passed is not False else {}
    yield from _records(foreign)
    yield _guarded("lake", lambda: _lake(world, ledger.passed is not False, foreign))
    yield _guarded("landing", lambda: _landing(settings.service.data))
    yield _guarded("permissions", lambda: _permissions(settings.service.data))
    yield _guarded("mail", lambda: _mail(world))
    for cloud in sorted({tenant.cloud for tenant in settings.tenants.values()}):
        yield _guarded(f"clock ({cloud})", lambda cloud=cloud: _clock(world, cloud))  # type: ignore[misc]  # bound early
    for tenant, slot in world.certificates.all():
        yield check_certificate(world, tenant, slot)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except TrailkeeperError as error:
        return Check(name, False, error.summary, error.remedy)


def _configuration(settings: Settings) -> Check:
    detail = f"{settings.folder}, {counted(len(settings.tenants), 'tenant')}"
    if not settings.tenants:
        remedy = f"Write {settings.folder}/tenants/NAME.toml for the first one."
        return Check("configuration", None, detail, remedy)
    if twins := _twins(settings):
        remedy = "Correct tenant_id, or remove one: it is collected twice, into two tables."
        return Check("configuration", None, f"{detail}; the same tenant_id in {twins}", remedy)
    return Check("configuration", True, detail)


def _overlooked(settings: Settings) -> Iterator[Check]:
    from trailkeeper.settings import overlooked

    for text in overlooked(settings.folder):
        found, _, remedy = text.partition(": ")
        yield Check("configuration", None, found, f"{remedy[:1].upper()}{remedy[1:]}")


def partner_missing(
    settings: Settings, tenants: Iterable[TenantSettings]
) -> tuple[str, str] | None:
    """What it means for the feed of one of these that our own tenant is not named, and the remedy.

    The feed counts the requests of all callers that name nobody together, so that it may answer
    late or not at all (management-api-and-graph.md, section 1).
    """
    from trailkeeper.model.stream import Source

    named = settings.service.partner_tenant_id is not None
    if named or not any(Source.ACTIVITY in tenant.sources for tenant in tenants):
        return None
    return (
        "service.partner_tenant_id is missing: the feed shares one quota among all callers that "
        "name nobody, and may look as if it hung",
        f"Set it to your own tenant's ID in {settings.folder}/trailkeeper.toml.",
    )


def _twins(settings: Settings) -> str:
    """Tenants' files that name one directory: a copied file whose tenant_id was not changed."""
    named: dict[UUID, list[str]] = {}
    for name, tenant in sorted(settings.tenants.items()):
        named.setdefault(tenant.tenant_id, []).append(name)
    return "; ".join(" and ".join(names) for names in named.values() if len(names) > 1)


def check_redis(settings: Settings) -> Check:
    """Reachable, and does it keep its queue over a restart?"""
    import redis

    try:
        url = settings.redis_url
    except ConfigurationError as error:
        return Check("redis", False, error.summary, error.remedy)
    if url is None:
        return _redis_of_up(settings)
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
        ) as client:
            version = client.info("server").get("redis_version", "?")
            keeps = _appendonly(client)
    except (redis.RedisError, ValueError, OSError) as error:
        return Check(
            "redis",
            False,
            f"Redis cannot be used at {_without_password(url)}: {_words(error)}",
            "Start it, or correct service.redis and its password; the work waits in the ledger.",
        )
    if faults := settings.redis_dangers():
        said = f"version {version}, allowed by insecure_redis though: {'; '.join(faults)}"
        return Check("redis", None, said, "Right on an encrypted private network only.")
    if keeps == "no":
        remedy = "Nothing is lost without it: the ledger enqueues all work again."
        return Check("redis", True, f"version {version}, no append-only file", remedy)
    return Check("redis", True, f"version {version}, append-only file: {keeps}")


def _redis_of_up(settings: Settings) -> Check:
    from trailkeeper.process.lock import is_held

    if is_held(settings.service.data):
        return Check("redis", True, "the running `trailkeeper up` brings its own")
    return Check(
        "redis",
        None,
        "service.redis is not configured",
        "`trailkeeper up` starts one of its own; several hosts need a common one.",
    )


def _appendonly(client: object) -> str:
    """`yes`, `no`, or `unknown` where the server does not tell (managed ones refuse CONFIG)."""
    import redis

    assert isinstance(client, redis.Redis)  # noqa: S101 - narrows for the type checker
    try:
        return str(client.config_get("appendonly").get("appendonly", "unknown"))
    except redis.RedisError:
        return "unknown"


def _without_password(url: str) -> str:
    return url.rpartition("@")[2].removeprefix("redis://").removeprefix("rediss://")


def _words(error: Exception) -> str:
    """The error's first sentence; Redis' own texts hold no secret."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


def _ledger(world: World) -> Check:
    from trailkeeper.model.window import iso

    now = world.clock.now()
    world.ledger.note("doctor", "looked", now)
    merges = world.ledger.tenants_to_merge()
    parked = len(world.ledger.parkings())
    detail = f"readable and writable at {iso(now.replace(microsecond=0))}"
    if merges:
        detail += f", {counted(len(merges), 'tenant')} with segments to merge"
    if not parked:
        return Check("ledger", True, detail)
    remedy = "Run `trailkeeper tenants list` to see which, and why."
    return Check("ledger", None, f"{detail}, {counted(parked, 'source')} parked or paused", remedy)


def _foreign(world: World) -> dict[str, ConfigurationError]:
    """The tenants under whose names the ledger or the lake keeps another directory's records."""
    found = world.identify.refused()
    for tenant in world.settings.tenants.keys() - found.keys():
        try:
            world.lake.require_ours(tenant)
        except ConfigurationError as error:
            found[tenant] = error
        except TrailkeeperError:  # the lake's own trouble is told by its own line
            continue
    return found


def _records(foreign: Mapping[str, ConfigurationError]) -> Iterator[Check]:
    for tenant, error in sorted(foreign.items()):
        yield Check(f"{RECORDS} ({tenant})", False, error.summary, error.remedy)


def _lake(world: World, ledger_reads: bool, foreign: Collection[str]) -> Check:
    """The ledger's trouble is told once, where it belongs."""
    world.lake.check()
    if not ledger_reads:
        detail = f"{world.settings.service.lake} is writable; what it should hold, the ledger tells"
        return Check("lake", None, detail, "Mend the ledger, then run this again.")
    for tenant in world.settings.tenants.keys() - set(foreign):
        world.lake.require(tenant)
    return Check("lake", True, f"{world.settings.service.lake} is writable")


def _landing(data: Path) -> Check:
    folder = data / "landing"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
            os.fsync(probe.fileno())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        remedy = "Give this user write access, or move [service].data."
        return Check("landing", False, f"{folder} cannot be written: {why}", remedy)
    detail = f"{folder} is writable, {free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Check("landing", None, detail, "Free space soon, or move [service].data.")
    return Check("landing", True, detail)


def _permissions(data: Path) -> Check:
    """Records, keys and reports lie there: nobody else on this machine has business with them."""
    from trailkeeper.privacy import open_parts

    found = list(open_parts(data)) if data.is_dir() else []
    if not found:
        return Check("permissions", True, f"{data} is closed to other users")
    named = ", ".join(str(path) for path in found[:_NAMED])
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return Check(
        "permissions",
        None,
        f"open to other users of this machine: {named}{more}",
        f"Run `chmod -R go= {data}`; `trailkeeper up` and the workers do so when they start.",
    )


def _mail(world: World) -> Check:
    if world.settings.mail is None:
        remedy = "Add [mail] to trailkeeper.toml to have the reports sent."
        return Check("mail", None, "not configured: no report is sent", remedy)
    from trailkeeper.mail.replies import SENT_AGAIN

    try:
        return Check("mail", True, world.mailer.check().rstrip(". "))
    except Transient as error:
        remedy = _MAIL_REMEDY if error.remedy == SENT_AGAIN else error.remedy
        return Check("mail", False, error.summary, remedy)


def _clock(world: World, cloud: str) -> Check:
    """Compare with the Date header of the cloud's login host."""
    name, url = f"clock ({cloud})", world.settings.clouds[cloud].login
    try:
        answer = world.sessions.of(cloud).request("GET", f"{url}/", read_timeout=15)
    except Transient as error:
        return Check(name, False, error.summary, _unreachable(cloud, url))
    except ConfigurationError as error:  # TLS or a proxy: its own remedy is the one
        return Check(name, False, error.summary, error.remedy)
    theirs = _date(answer.headers.get("Date", ""))
    if theirs is None:
        return Check(name, None, f"{url} does not tell the time", "Compare the clock by hand.")
    seconds = (world.clock.now() - theirs).total_seconds()
    if abs(seconds) > LARGEST_SKEW_SECONDS:
        side = "ahead" if seconds > 0 else "behind"
        return Check(
            name,
            None,
            f"this machine's clock is {abs(seconds):.0f} s {side} of {url}",
            "Set it by NTP: logins are refused when it is minutes off.",
        )
    return Check(name, True, f"within {LARGEST_SKEW_SECONDS} s of {url}")


def _unreachable(cloud: str, url: str) -> str:
    """Nobody asks again for doctor: what to look at now."""
    from trailkeeper.settings import CLOUD_PRESETS

    ours = cloud not in CLOUD_PRESETS
    named = f"`login` under [clouds.{cloud}]" if ours else "`cloud` in the tenant's file"
    return (
        f"See whether this machine reaches {url} (name server, proxy, firewall), and correct "
        f"{named} if that is not the host you mean."
    )


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def check_certificate(world: World, tenant: TenantSettings, slot: Slot) -> Check:
    """Does it load, and how long is it good for?"""
    from trailkeeper.microsoft.certificates.expiry import days_left

    name = f"certificate ({tenant.name})"
    try:
        certificate = world.certificates.current(tenant, slot)
    except TrailkeeperError as error:
        return Check(name, False, error.summary, error.remedy)
    left = days_left(certificate, world.clock.now())
    detail = f"{certificate.thumbprint_sha1}, {left} days left"
    if left < CERTIFICATE_DAYS:
        remedy = "Make the next one with `trailkeeper certificate create` and upload its .cer."
        return Check(name, None, detail, remedy)
    return Check(name, True, detail)
