"""The configuration folder of the demo, written as an operator would write it."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from trailkeeper.microsoft.certificates.create import certificate_create
from trailkeeper.model.report import Month

SETTLE = timedelta(hours=1)
"""the sandbox has no late records; an hour keeps the demo honest on the first of a month"""


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """One customer of the demo."""

    name: str
    timezone: str
    rate: int
    """records a weekday"""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def recipient(self) -> str:
        return f"security@{self.name}.example"

    def month(self, now: datetime) -> Month:
        """The last month that has ended and settled where the tenant lives."""
        return Month.of(now - SETTLE, self.zone).previous()


TENANTS = (
    DemoTenant("contoso", "Europe/Berlin", 1200),
    DemoTenant("fabrikam", "America/New_York", 400),
    DemoTenant("litware", "Asia/Tokyo", 120),
)

_PASSWORD_FILE = "pfx-password"  # noqa: S105 - the name of a file

_MAIN = """\
# Written by `trailkeeper demo`. Every key: docs/configuration.md.

[service]
data = "../data"
workers = 2

[collection]
settle = "1h"                        # the sandbox has no late records; the default is 24h

[mail]
sender = "audit@msp.example"
smtp = {{ host = "{smtp_host}", port = {smtp_port}, security = "none" }}

[clouds.lab]                         # the sandbox, instead of Microsoft
login = "{login}"
exchange = "{exchange}"
management = "{management}"
graph = "{graph}"
ca_bundle = "lab-ca.pem"
"""

_TENANT = """\
tenant_id = "{tenant_id}"
domain = "{domain}"
cloud = "lab"
client_id = "{client_id}"
sources = ["exchange"]
since = "{since}"

[certificate]
pfx = "{name}.pfx"
password = "file:pfx-password"

[report]
to = ["{recipient}"]
timezone = "{timezone}"
"""


def write_main(folder: Path, said: dict[str, Any]) -> None:
    """trailkeeper.toml, the sandbox's CA and the password of the PFX files."""
    (folder / "tenants").mkdir(parents=True)
    (folder / "trailkeeper.toml").write_text(_MAIN.format_map(said), encoding="utf-8")
    shutil.copyfile(said["ca"], folder / "lab-ca.pem")
    _write_private(folder / _PASSWORD_FILE, f"{secrets.token_urlsafe(24)}\n".encode())


def write_tenant(folder: Path, tenant: DemoTenant, ids: dict[str, Any], month: Month) -> bytes:
    """tenants/NAME.toml and NAME.pfx; the certificate in DER, to be registered."""
    text = _TENANT.format(
        **{key: ids[key] for key in ("tenant_id", "domain", "client_id")},
        name=tenant.name,
        since=f"{month}-01",
        recipient=tenant.recipient,
        timezone=tenant.timezone,
    )
    (folder / "tenants" / f"{tenant.name}.toml").write_text(text, encoding="utf-8")
    password = (folder / _PASSWORD_FILE).read_text("ascii").strip()
    made = certificate_create(folder, tenant.name, password, datetime.now(UTC), bits=2048)
    return made.cer.read_bytes()


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
