"""The whole configuration, and what is derived from it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import Field

from trailkeeper.errors import ConfigurationError, Unavailable
from trailkeeper.model.text import decoded
from trailkeeper.privacy import close_parts, close_umask
from trailkeeper.settings.brand import BrandSettings
from trailkeeper.settings.clouds import CloudSettings
from trailkeeper.settings.collection import CollectionSettings
from trailkeeper.settings.environment import MAIN_FILE, REDIS_VARIABLE, variable
from trailkeeper.settings.fields import Section, why
from trailkeeper.settings.key_file import decoded_key, key_file
from trailkeeper.settings.mail import MailSettings
from trailkeeper.settings.redis_url import dangers, not_redis
from trailkeeper.settings.service import ServiceSettings
from trailkeeper.settings.tenant import TenantSettings

MESSAGE_KEY_FILE = "message.key"


class Settings(Section):
    """The whole configuration. Every relative path is resolved against `folder`, never against the
    current directory: the same command finds the same ledger from wherever it is run."""

    folder: Path
    service: ServiceSettings = ServiceSettings()
    collection: CollectionSettings = CollectionSettings()
    mail: MailSettings | None = None
    brand: BrandSettings = BrandSettings()
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
        """Where Redis is, password included; None when none is configured.

        Raises `ConfigurationError` for one that others can read or write, unless that is allowed.
        """
        named = variable(REDIS_VARIABLE)
        url, reference = named or self.service.redis, self.service.redis_password
        if not url:
            return None
        if refusal := not_redis(url):
            raise ConfigurationError(refusal, "No other broker is supported.")
        if reference:
            url = _with_password(url, self.secret(reference))
        faults = () if self.service.insecure_redis else self._redis_dangers(url)
        if found := "; ".join(faults):
            raise ConfigurationError(
                f"{self.folder / MAIN_FILE}: service.redis is refused: {found}",
                "Mend it, or write insecure_redis = true where that is meant.",
            )
        return url

    def _redis_dangers(self, url: str) -> list[str]:
        named = variable(REDIS_VARIABLE)
        return list(dangers(url, None if named else self.service.redis))

    def redis_dangers(self) -> list[str]:
        """What `insecure_redis` permits here; each a clause about Redis."""
        url = self.redis_url
        return self._redis_dangers(url) if url else []

    def broker_url(self) -> str:
        """Where workers and beat meet. Raises `ConfigurationError` when no Redis is configured."""
        url = self.redis_url
        if url is None:
            raise ConfigurationError(
                f"{self.folder / MAIN_FILE}: service.redis is missing",
                "Workers and beat meet in Redis: name one, or run `trailkeeper up`, which has it.",
            )
        return url

    def message_key(self) -> bytes:
        """What signs messages between beat and workers; without a setting a file under `data`.

        Raises `ConfigurationError` for a key that is no base64 of 32 bytes, `Unavailable` when the
        data folder cannot be written.
        """
        if reference := self.service.message_key:
            return decoded_key(self.secret(reference), "service.message_key")
        return key_file(self.service.data / MESSAGE_KEY_FILE, "service.message_key")

    def make_data_folder(self) -> Path:
        """`service.data`, made if absent. Raises `Unavailable` when it cannot be."""
        folder = self.service.data
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"the data folder {folder} cannot be made: {why(error)}",
                "Make it writable for this user, or set service.data to a folder that is.",
            ) from None
        return folder

    def keep_private(self) -> int:
        """Call first in every process that writes under `data`: what it creates is for this user
        alone, and what lies there already is closed to others; how many parts were open.

        A folder that holds more than our data (the root, somebody's home, or the configuration
        too) is left as it is: `doctor` names what is open there.
        """
        close_umask()
        data = self.service.data
        holds_more = data in (Path("/"), Path.home()) or self.folder.is_relative_to(data)
        return 0 if holds_more or not data.is_dir() else close_parts(data)

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL, password included."""
        reference = self.service.ledger_password
        url = self.service.ledger
        return _with_password(url, self.secret(reference)) if reference else url

    def secret(self, reference: str) -> str:
        """Resolve `env:NAME` or `file:PATH`.

        Of a file, byte order mark, line ends and blanks around the secret are dropped: `echo` and
        PowerShell write them. A secret that begins or ends with a blank goes into a variable.

        Raises `ConfigurationError` when it is absent or empty; the message never holds the value.
        """
        kind, _, rest = reference.partition(":")
        if kind == "env":
            value = variable(rest)
            if not value:
                raise ConfigurationError(
                    f"the environment variable {rest} is not set", "Set it, or use file:PATH."
                )
            return value
        return _read_secret(self.folder / rest)


def _read_secret(path: Path) -> str:
    try:
        value = decoded(path.read_bytes()).strip()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the secret file {path} is no text in UTF-8 or UTF-16",
            "Save it as UTF-8.",
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"the secret file {path} cannot be read: {why(error)}",
            "Create it, readable by this user only.",
        ) from None
    if not value:
        raise ConfigurationError(f"the secret file {path} is empty", "Write the secret into it.")
    return value


def _with_password(url: str, password: str) -> str:
    """`url` with the password put into its authority, quoted; an existing one is replaced."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()
