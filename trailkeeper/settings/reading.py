"""Reading the folder: TOML in, checked settings out, every path resolved."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from trailkeeper.errors import ConfigurationError
from trailkeeper.model.text import decoded
from trailkeeper.settings.addresses import Mailbox
from trailkeeper.settings.brand import BrandSettings
from trailkeeper.settings.clouds import CLOUD_PRESETS, CloudSettings
from trailkeeper.settings.complaints import validated
from trailkeeper.settings.environment import MAIN_FILE
from trailkeeper.settings.fields import why
from trailkeeper.settings.mail import MailSettings
from trailkeeper.settings.service import ServiceSettings
from trailkeeper.settings.tenant import TenantSettings
from trailkeeper.settings.whole import Settings


def load(folder: Path) -> Settings:
    """Read and check the whole folder. Raises `ConfigurationError` naming file, key and remedy."""
    folder = folder.resolve()
    main = _read_toml(folder / MAIN_FILE)
    clouds = {**CLOUD_PRESETS, **_clouds(main.pop("clouds", {}), folder)}
    tenants = {
        path.stem: _tenant(path, clouds) for path in sorted((folder / "tenants").glob("*.toml"))
    }
    _check_directories(tenants, folder)
    for name in ("folder", "tenants"):
        if name in main:
            raise ConfigurationError(f"{folder / MAIN_FILE}: unknown key {name!r}", "Remove it.")
    values = {**main, "folder": folder, "clouds": clouds, "tenants": tenants}
    settings = validated(Settings, values, folder / MAIN_FILE)
    _check_mail_tenant(settings)
    return settings.model_copy(
        update={
            "service": _placed(settings.service, folder),
            "mail": _placed_mail(settings.mail, folder),
            "brand": _placed_brand(settings.brand, folder),
        }
    )


def _placed_brand(brand: BrandSettings, folder: Path) -> BrandSettings:
    """A logo that is not there is told at start, not when the month's report is due."""
    if brand.logo is None:
        return brand
    logo = folder / brand.logo.expanduser()
    if not logo.is_file():
        raise ConfigurationError(
            f"{folder / MAIN_FILE}: brand.logo = {str(brand.logo)!r} is no file",
            "Name a PNG or JPEG file, relative to the configuration folder.",
        )
    return brand.model_copy(update={"logo": logo})


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
            cloud = _preset(name, value, folder)
        else:
            cloud = validated(CloudSettings, value, folder / MAIN_FILE, f"clouds.{name}")
        if cloud.ca_bundle:
            cloud = cloud.model_copy(update={"ca_bundle": folder / cloud.ca_bundle.expanduser()})
        clouds[name] = cloud
    return clouds


def _preset(name: str, value: object, folder: Path) -> CloudSettings:
    """The preset with what may be said of it: whom to trust, since a proxy that inspects TLS stands
    before Microsoft's own hosts, too."""
    place = f"{folder / MAIN_FILE}: [clouds.{name}]"
    others = sorted(set(value) - {"ca_bundle"}) if isinstance(value, dict) else []
    if others:
        raise ConfigurationError(
            f"{place} would replace a preset: of {', '.join(map(repr, others))}",
            "A preset takes ca_bundle only; for other hosts write a cloud of another name.",
        )
    return validated(
        CloudSettings,
        {**CLOUD_PRESETS[name].model_dump(), **value} if isinstance(value, dict) else value,
        folder / MAIN_FILE,
        f"clouds.{name}",
    )


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
    tenant = validated(TenantSettings, {**values, "name": path.stem}, path)
    if tenant.cloud not in clouds:
        raise ConfigurationError(
            f"{path}: cloud = {tenant.cloud!r} is not known",
            f"Use one of {', '.join(sorted(clouds))}, or add [clouds.{tenant.cloud}].",
        )
    return tenant


def _check_directories(tenants: Mapping[str, TenantSettings], folder: Path) -> None:
    """A file copied for the next customer whose `tenant_id` was left as it was would mail that one
    the first one's records. Two files of one customer are that customer's affair, but one directory
    lives in one cloud."""
    first: dict[UUID, TenantSettings] = {}
    for tenant in tenants.values():
        other = first.setdefault(tenant.tenant_id, tenant)
        if other.cloud != tenant.cloud:
            raise ConfigurationError(
                f"{folder / 'tenants' / tenant.name}.toml: tenant_id is that of {other.name}.toml, "
                f"too, with cloud = {tenant.cloud!r} here and {other.cloud!r} there",
                "One directory lives in one cloud: correct the cloud or the tenant_id.",
            )
        if _customer(other) != _customer(tenant):
            raise ConfigurationError(
                f"{folder / 'tenants' / tenant.name}.toml: tenant_id is that of {other.name}.toml, "
                "too, and their domain or recipients differ",
                "Mend the tenant_id: the reports of one customer would go to the other.",
            )


def _customer(tenant: TenantSettings) -> tuple[str, set[str]]:
    """Lower case and no more: `casefold` takes straße.example and strasse.example for one."""
    mailboxes = map(Mailbox.parse, tenant.report.to)
    return tenant.domain.lower(), {mailbox.address.lower() for mailbox in mailboxes}


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
        return tomllib.loads(decoded(path.read_bytes()))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8", "Save it as UTF-8.") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # also numbers and brackets beyond Python's bounds
        raise ConfigurationError(f"{path} is not valid TOML: {error}", "Mend that line.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {why(error)}", "Check the path and its permissions."
        ) from None
