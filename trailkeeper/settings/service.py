"""[service]: where things are kept, and how much is done at a time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from trailkeeper.settings.fields import Duration, SecretReference, Section, at_least_3_seconds


class ServiceSettings(Section):
    data: Path = Path("./data")
    """everything kept on local disk"""
    redis: str | None = None
    """None: `trailkeeper up` starts an embedded one under `data`; TRAILKEEPER_REDIS wins"""
    redis_password: SecretReference | None = None
    insecure_redis: bool = False
    """allow a Redis beyond this machine without TLS or password, one whose certificate is not
    checked, and a password in the URL"""
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
    message_key: SecretReference | None = None
    """32 bytes in base64 that sign messages between beat and workers; None: a key file under
    `data`. Set it where beat and the workers do not share that folder."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """pulling processes that `trailkeeper up` starts"""
    searches_per_tenant: Annotated[int, Field(ge=1, le=10)] = 3
    """most Exchange searches at a time in one tenant. Begins at two, rises to this while answers
    are clean, halves when the service throttles or mixes them; 1 is the slowest and the safest."""
    lease: Annotated[Duration, AfterValidator(at_least_3_seconds)] = timedelta(minutes=2)
    """how long a dead worker's segment waits for the next one. A living worker renews it; shorter
    is taken over sooner, and a machine that stands still for longer pulls the segment twice."""
    upload_pause: Duration = timedelta(seconds=10)
    """before each of three more logins with a certificate that Entra does not know and that has
    never worked here: an upload takes a while to spread. Shorter parks a tenant whose certificate
    was uploaded a moment ago; longer holds a worker up."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
