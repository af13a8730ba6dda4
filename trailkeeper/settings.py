"""The configuration folder, read once and checked whole: TOML in, frozen settings out.

The only module that reads the environment. A secret is never written in these files, only a
reference (`env:NAME`, `file:PATH`) that is resolved at the moment of use.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args
from urllib.parse import SplitResult, quote, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from trailkeeper.errors import ConfigurationError, Unavailable
from trailkeeper.model.feed import FeedCadence
from trailkeeper.model.planning import Cadence
from trailkeeper.model.stream import Source
from trailkeeper.model.window import parse_instant

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_LONGEST_DURATION = 1e6
"""of any unit: more is a slip of the hand, and is refused where a setting has a bound"""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return timedelta(**{_UNITS[match[2]]: min(float(match[1]), _LONGEST_DURATION)})
    if isinstance(value, timedelta):
        return value
    raise ValueError('write a duration as a number and a unit, for example "30m", "24h" or "7d"')


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0  # none at all means 443
    except ValueError:
        return False


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not _has_port(parts):
        raise ValueError("must be an https:// URL: tokens never travel in the clear")
    return url.rstrip("/")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write one like Europe/Berlin") from None
    return name


def _secret_reference(text: str) -> str:
    if not text.startswith(("env:", "file:")):
        raise ValueError(
            "a secret is never written here: put it into an environment variable or a file and "
            'write "env:NAME" or "file:PATH"'
        )
    return text


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return parse_instant(str(value))


def _at_least_3_seconds(value: timedelta) -> timedelta:
    if value < timedelta(seconds=3):
        raise ValueError("must be at least 3s: it is renewed three times before it ends")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
ZoneName = Annotated[str, AfterValidator(_zone)]
SecretReference = Annotated[str, AfterValidator(_secret_reference)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CloudSettings(_Section):
    """The four hosts of one Microsoft cloud; nothing else in the code names a host."""

    login: HttpsUrl
    exchange: HttpsUrl
    management: HttpsUrl
    graph: HttpsUrl
    vault: HttpsUrl = "https://vault.azure.net"
    """audience of Key Vault tokens in this cloud"""
    exchange_audience: HttpsUrl | None = None
    """what Entra calls Exchange, where that is not the URL of `exchange`"""
    management_audience: HttpsUrl | None = None
    """what Entra calls the feed, where that is not the URL of `management`"""
    ca_bundle: Path | None = None
    """PEM file trusted instead of the system's authorities"""


# identity-and-exchange.md, section 1.5; management-api-and-graph.md, section 1.1
CLOUD_PRESETS: Mapping[str, CloudSettings] = {
    "public": CloudSettings(
        login="https://login.microsoftonline.com",
        exchange="https://outlook.office365.com",
        management="https://manage.office.com",
        graph="https://graph.microsoft.com",
    ),
    "gcc": CloudSettings(
        login="https://login.microsoftonline.com",
        exchange="https://outlook.office365.com",
        management="https://manage-gcc.office.com",
        graph="https://graph.microsoft.com",
    ),
    "gcc-high": CloudSettings(
        login="https://login.microsoftonline.us",
        exchange="https://outlook.office365.us",
        management="https://manage.office365.us",
        graph="https://graph.microsoft.us",
        vault="https://vault.usgovcloudapi.net",
    ),
    "dod": CloudSettings(
        login="https://login.microsoftonline.us",
        exchange="https://webmail.apps.mil",
        management="https://manage.protection.apps.mil",
        graph="https://dod-graph.microsoft.us",
        vault="https://vault.usgovcloudapi.net",
    ),
    "china": CloudSettings(
        login="https://login.partner.microsoftonline.cn",
        exchange="https://partner.outlook.cn",
        management="https://manage.office365.cn",
        graph="https://microsoftgraph.chinacloudapi.cn",
        vault="https://vault.azure.cn",
    ),
}


class ServiceSettings(_Section):
    data: Path = Path("./data")
    """everything kept on local disk"""
    redis: str | None = None
    """None: `trailkeeper up` starts an embedded one under `data`; TRAILKEEPER_REDIS wins"""
    redis_password: SecretReference | None = None
    ledger: str = ""
    """SQLAlchemy URL; empty: SQLite under `data`, right for one machine"""
    ledger_password: SecretReference | None = None
    lake: str = ""
    """folder, az:// or s3:// URL; empty: a folder under `data`"""
    certificate_store: Path | None = None
    """folder searched by thumbprint; None: `certificates` in the configuration folder"""
    partner_tenant_id: UUID | None = None
    """the MSP's own tenant; without it all callers of the feed share one quota"""
    token_key: SecretReference | None = None
    """32 bytes in base64 that encrypt tokens in Redis; None: a key file under `data`, which only
    the workers of this machine can read. Set it when several hosts share one Redis."""
    token_key_previous: SecretReference | None = None
    """the key before the last change: still read, no longer written"""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """pulling processes that `trailkeeper up` starts"""
    searches_per_tenant: Annotated[int, Field(ge=1, le=10)] = 3
    """most Exchange searches at a time in one tenant. Begins at two, rises to this while answers
    are clean, halves when the service throttles or mixes them; 1 is the slowest and the safest."""
    lease: Annotated[Duration, AfterValidator(_at_least_3_seconds)] = timedelta(minutes=2)
    """how long a dead worker's segment waits for the next one. A living worker renews it; shorter
    is taken over sooner, and a machine that stands still for longer pulls the segment twice."""
    upload_pause: Duration = timedelta(seconds=10)
    """before each of three more logins with a certificate that Entra does not know and that has
    never worked here: an upload takes a while to spread. Shorter parks a tenant whose certificate
    was uploaded a moment ago; longer holds a worker up."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


_OLDEST_RELIST = timedelta(days=6, hours=21)
"""an hour closes, waits for its tick and is listed: two hours and more inside the horizon"""


def _ascends(ages: tuple[timedelta, ...]) -> bool:
    return list(ages) == sorted(set(ages))


class CollectionSettings(_Section):
    """See `trailkeeper.model.planning.Cadence` for what each duration trades."""

    interval: Duration = timedelta(minutes=30)
    safety_lag: Duration = timedelta(minutes=5)
    segment_length: Duration = timedelta(days=31)
    reread_after: tuple[Duration, ...] = Cadence().reread_after
    feed_interval: Duration = FeedCadence().interval
    """how often the Activity feed is asked; see `trailkeeper.model.feed.FeedCadence`"""
    feed_safety_lag: Duration = FeedCadence().safety_lag
    feed_relist_after: tuple[Duration, ...] = FeedCadence().relist_after
    """ages at which the feed's closed hours are listed again for late blobs"""
    settle: Duration = timedelta(hours=24)
    """how long late records are expected; younger time is complete but provisional, and a month
    is not reported before it has settled"""
    report_grace: Duration = timedelta(days=5)
    """longest wait for a month's missing parts before it is reported with its gaps named"""

    @model_validator(mode="after")
    def _durations_agree(self) -> Self:
        minute, day = timedelta(minutes=1), timedelta(days=1)
        rules = (
            (_ascends(self.reread_after), "reread_after must ascend, for example ['6h', '24h']"),
            (_ascends(self.feed_relist_after), "feed_relist_after must ascend, as ['3h', '24h']"),
            (
                not self.reread_after or self.reread_after[-1] <= 180 * day,
                "reread_after must not pass 180d: the audit search forgets after that",
            ),
            (
                not self.feed_relist_after or self.feed_relist_after[-1] <= _OLDEST_RELIST,
                "feed_relist_after must not pass 165h: the feed forgets after 7d",
            ),
            (
                minute <= self.interval <= day,
                "interval must be from 1m, beat's tick, to 24h: a day is asked for as a whole",
            ),
            (minute <= self.feed_interval <= day, "feed_interval must be from 1m to 24h"),
            (self.safety_lag <= day, "safety_lag must not pass 24h: newer time is never asked for"),
            (self.feed_safety_lag <= day, "feed_safety_lag must not pass 24h"),
            (
                self.interval <= self.segment_length <= 366 * day,
                "segment_length must be from interval to 366d",
            ),
            (
                self.settle <= self.report_grace <= 366 * day,
                "report_grace must be from settle to 366d",
            ),
        )
        for holds, text in rules:
            if not holds:
                raise ValueError(text)
        return self

    def feed_cadence(self) -> FeedCadence:
        return FeedCadence(
            interval=self.feed_interval,
            safety_lag=self.feed_safety_lag,
            relist_after=self.feed_relist_after,
        )

    def cadence(self) -> Cadence:
        return Cadence(
            interval=self.interval,
            safety_lag=self.safety_lag,
            segment_length=self.segment_length,
            reread_after=self.reread_after,
        )


class SmtpSettings(_Section):
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    security: Literal["none", "starttls", "tls"] = "starttls"
    username: SecretReference | None = None
    password: SecretReference | None = None
    ca_bundle: Path | None = None
    timeout: Duration = timedelta(seconds=60)

    @model_validator(mode="after")
    def _secrets_travel_encrypted(self) -> Self:
        if (
            self.password
            and self.security == "none"
            and self.host not in ("127.0.0.1", "::1", "localhost")
        ):
            raise ValueError('a password needs security = "starttls" or "tls"')
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password go together")
        return self


class GraphMailSettings(_Section):
    tenant: str
    mailbox: str


class MailSettings(_Section):
    sender: str
    smtp: SmtpSettings | None = None
    graph: GraphMailSettings | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.smtp is None) == (self.graph is None):
            raise ValueError("choose exactly one of smtp = {…} and graph = {…}")
        return self


class KeyVaultReference(_Section):
    vault: HttpsUrl
    name: str
    sign_remotely: bool = False
    """True: the key never leaves the vault; every assertion is signed there"""
    version: str = ""
    """empty: the newest"""


class CertificateSettings(_Section):
    pfx: Path | None = None
    password: SecretReference | None = None
    thumbprint: str | None = None
    key_vault: KeyVaultReference | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        ways = [self.pfx, self.thumbprint, self.key_vault]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "name the certificate in exactly one way: pfx, thumbprint or key_vault"
            )
        return self


class ReportSettings(_Section):
    to: tuple[str, ...] = ()
    timezone: ZoneName = "UTC"


def _some_once(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    if not sources or len(set(sources)) < len(sources):
        raise ValueError('name at least one source, each once, for example ["exchange"]')
    return sources


class TenantSettings(_Section):
    name: str
    tenant_id: UUID
    domain: str
    cloud: str = "public"
    client_id: UUID
    sources: Annotated[tuple[Source, ...], AfterValidator(_some_once)] = (Source.EXCHANGE,)
    since: Instant | None = None
    """how far back to begin; None: one month before the stream is planned first"""
    dlp: bool = False
    """read DLP.All too: such records can hold the matched secret in clear text"""
    certificate: CertificateSettings
    next_certificate: CertificateSettings | None = None
    """a second certificate during a roll-over; whichever works is used"""
    report: ReportSettings = ReportSettings()

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.report.timezone)


class Settings(_Section):
    """The whole configuration. Every relative path is resolved against `folder`, never against the
    current directory: the same command finds the same ledger from wherever it is run."""

    folder: Path
    service: ServiceSettings = ServiceSettings()
    collection: CollectionSettings = CollectionSettings()
    mail: MailSettings | None = None
    clouds: dict[str, CloudSettings] = Field(default_factory=dict)
    tenants: dict[str, TenantSettings] = Field(default_factory=dict)

    def tenant(self, name: str) -> TenantSettings:
        """Raises `ConfigurationError` for a name without a file."""
        if name not in self.tenants:
            known = ", ".join(sorted(self.tenants)) or "none"
            raise ConfigurationError(
                f"there is no tenant {name!r}",
                f"Write {self.folder}/tenants/{name}.toml, or name one of: {known}.",
            )
        return self.tenants[name]

    def cloud(self, tenant: TenantSettings) -> CloudSettings:
        return self.clouds[tenant.cloud]

    @property
    def redis_url(self) -> str | None:
        """Where Redis is, password included; None when none is configured."""
        url = os.environ.get(REDIS_VARIABLE) or self.service.redis
        reference = self.service.redis_password
        return _with_password(url, self.secret(reference)) if url and reference else url

    def broker_url(self) -> str:
        """Where workers and beat meet. Raises `ConfigurationError` when no Redis is configured."""
        if self.redis_url is None:
            raise ConfigurationError(
                f"{self.folder / MAIN_FILE}: service.redis is missing",
                "Workers and beat meet in Redis: name one, or run `trailkeeper up`, which has it.",
            )
        return self.redis_url

    def make_data_folder(self) -> Path:
        """`service.data`, made if absent. Raises `Unavailable` when it cannot be."""
        folder = self.service.data
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"the data folder {folder} cannot be made: {_why(error)}",
                "Make it writable for this user, or set service.data to a folder that is.",
            ) from None
        return folder

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL, password included."""
        reference = self.service.ledger_password
        url = self.service.ledger
        return _with_password(url, self.secret(reference)) if reference else url

    def secret(self, reference: str) -> str:
        """Resolve `env:NAME` or `file:PATH` (one trailing newline is dropped).

        Raises `ConfigurationError` when it is absent or empty; the message never holds the value.
        """
        kind, _, rest = reference.partition(":")
        if kind == "env":
            value = os.environ.get(rest, "")
            if not value:
                raise ConfigurationError(
                    f"the environment variable {rest} is not set", "Set it, or use file:PATH."
                )
            return value
        path = self.folder / rest
        try:
            value = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the secret file {path} cannot be read: {_why(error)}",
                "Create it, readable by this user only.",
            ) from None
        if not value:
            raise ConfigurationError(
                f"the secret file {path} is empty", "Write the secret into it."
            )
        return value


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _with_password(url: str, password: str) -> str:
    """`url` with the password put into its authority, quoted; an existing one is replaced."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


MAIN_FILE = "trailkeeper.toml"
FOLDER_VARIABLE = "TRAILKEEPER_CONFIG"
REDIS_VARIABLE = "TRAILKEEPER_REDIS"
"""set by `trailkeeper up` for its children, so that the embedded password is in no argv or file"""
DEBUG_VARIABLE = "TRAILKEEPER_DEBUG"
DEFAULT_FOLDERS = (Path("./trailkeeper.d"), Path("/etc/trailkeeper"))


def debugging() -> bool:
    """Whether whoever calls wants a traceback for what nobody has thought of."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def name_folder(folder: Path) -> None:
    """Make `folder` the configuration folder of this process and its children."""
    os.environ[FOLDER_VARIABLE] = str(folder.absolute())


def find_folder(option: Path | None = None) -> Path:
    """The configuration folder: --config, TRAILKEEPER_CONFIG, ./trailkeeper.d, /etc/trailkeeper.

    Raises `ConfigurationError` when there is none.
    """
    variable = os.environ.get(FOLDER_VARIABLE)
    named = option or (Path(variable) if variable else None)
    candidates = (named,) if named else DEFAULT_FOLDERS
    for folder in candidates:
        if (folder / MAIN_FILE).is_file():
            return folder.resolve()
    looked = " and ".join(str(folder) for folder in candidates)
    raise ConfigurationError(
        f"no configuration: there is no {MAIN_FILE} in {looked}",
        "Name the folder with --config DIR or TRAILKEEPER_CONFIG, or try `trailkeeper demo`.",
    )


def load(folder: Path) -> Settings:
    """Read and check the whole folder. Raises `ConfigurationError` naming file, key and remedy."""
    folder = folder.resolve()
    main = _read_toml(folder / MAIN_FILE)
    clouds = {**CLOUD_PRESETS, **_clouds(main.pop("clouds", {}), folder)}
    tenants = {
        path.stem: _tenant(path, clouds) for path in sorted((folder / "tenants").glob("*.toml"))
    }
    for name in ("folder", "tenants"):
        if name in main:
            raise ConfigurationError(f"{folder / MAIN_FILE}: unknown key {name!r}", "Remove it.")
    values = {**main, "folder": folder, "clouds": clouds, "tenants": tenants}
    settings = _validated(Settings, values, folder / MAIN_FILE)
    _check_mail_tenant(settings)
    return settings.model_copy(
        update={
            "service": _placed(settings.service, folder),
            "mail": _placed_mail(settings.mail, folder),
        }
    )


def _placed_mail(mail: MailSettings | None, folder: Path) -> MailSettings | None:
    if mail is None or mail.smtp is None or mail.smtp.ca_bundle is None:
        return mail
    smtp = mail.smtp.model_copy(update={"ca_bundle": folder / mail.smtp.ca_bundle})
    return mail.model_copy(update={"smtp": smtp})


def _clouds(values: object, folder: Path) -> dict[str, CloudSettings]:
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"{folder / MAIN_FILE}: [clouds] must be a table", "Write [clouds.NAME]."
        )
    clouds = {}
    for name, value in values.items():
        if name in CLOUD_PRESETS:
            raise ConfigurationError(
                f"{folder / MAIN_FILE}: [clouds.{name}] would replace a preset",
                "Choose another name.",
            )
        cloud = _validated(CloudSettings, value, folder / MAIN_FILE, f"clouds.{name}")
        if cloud.ca_bundle:
            cloud = cloud.model_copy(update={"ca_bundle": folder / cloud.ca_bundle})
        clouds[name] = cloud
    return clouds


_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _tenant(path: Path, clouds: Mapping[str, CloudSettings]) -> TenantSettings:
    if not _TENANT_NAME.fullmatch(path.stem):
        raise ConfigurationError(
            f"{path}: {path.stem!r} cannot be a tenant's name",
            "Use lower-case letters, digits, '-', '_' and '.', at most 63.",
        )
    values = _read_toml(path)
    if "name" in values:
        raise ConfigurationError(
            f"{path}: unknown key 'name'", "The file's name is the tenant's name."
        )
    tenant = _validated(TenantSettings, {**values, "name": path.stem}, path)
    if tenant.cloud not in clouds:
        raise ConfigurationError(
            f"{path}: cloud = {tenant.cloud!r} is not known",
            f"Use one of {', '.join(sorted(clouds))}, or add [clouds.{tenant.cloud}].",
        )
    return tenant


_LAKE_SCHEMES = ("az://", "abfs://", "abfss://", "s3://", "s3a://", "gs://")


def _placed(service: ServiceSettings, folder: Path) -> ServiceSettings:
    """Fill in what depends on where things lie."""
    data = (folder / service.data.expanduser()).resolve()
    lake = service.lake or str(data / "lake")
    if "://" in lake and not lake.startswith(_LAKE_SCHEMES):
        raise ConfigurationError(
            f"{folder / MAIN_FILE}: service.lake = {lake!r} is of no kind that is known",
            "Name a folder, or a URL that begins with az:// or s3://.",
        )
    if "://" not in lake:
        lake = str((folder / Path(lake).expanduser()).resolve())
    store = service.certificate_store or Path("./certificates")
    ledger = service.ledger or f"sqlite:///{data / 'ledger.db'}"
    relative = re.fullmatch(r"sqlite:///([^/].*)", ledger)
    if relative:
        ledger = f"sqlite:///{(folder / relative[1]).resolve()}"
    return service.model_copy(
        update={
            "data": data,
            "lake": lake,
            "ledger": ledger,
            "certificate_store": folder / store.expanduser(),
        }
    )


def _check_mail_tenant(settings: Settings) -> None:
    mail = settings.mail
    if mail and mail.graph and mail.graph.tenant not in settings.tenants:
        raise ConfigurationError(
            f"{settings.folder / MAIN_FILE}: mail.graph.tenant = {mail.graph.tenant!r} has no file",
            f"Write tenants/{mail.graph.tenant}.toml for the mailbox's tenant.",
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}", "Mend that line.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {_why(error)}", "Check the path and its permissions."
        ) from None


_Model = TypeVar("_Model", bound=BaseModel)


def _validated(model: type[_Model], values: object, path: Path, prefix: str = "") -> _Model:
    """Build `model`, turning the first complaint into a sentence with file, key and remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in (prefix, *first["loc"]) if part != "")
    raise ConfigurationError(*_complaint(path, key, first["type"], first["msg"], model)) from None


def _complaint(
    path: Path, key: str, kind: str, text: str, model: type[BaseModel]
) -> tuple[str, str]:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key.rpartition(".")[2], _known_keys(model), n=1)
        hint = f"Did you mean {near[0]!r}? Otherwise remove it." if near else "Remove it."
        return f"{path}: unknown key {key!r}", hint
    if kind == "missing":
        return f"{path}: the key {key!r} is missing", "Add it; see the configuration reference."
    reason = text.removeprefix("Value error, ")
    place = f"{key!r}: " if key else ""
    return f"{path}: {place}{reason}", "Mend that value."


def _known_keys(model: type[BaseModel]) -> set[str]:
    """Every key of `model` and of the sections inside it."""
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        inner = field.annotation
        for part in (inner, *get_args(inner)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= _known_keys(part)
    return keys
