"""[mail]: who sends, and through what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trailkeeper.settings.fields import Duration, MailAddress, SecretReference, Section


class SmtpSettings(Section):
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


class GraphMailSettings(Section):
    tenant: str
    mailbox: MailAddress


class MailSettings(Section):
    sender: MailAddress
    smtp: SmtpSettings | None = None
    graph: GraphMailSettings | None = None

    @classmethod
    def ways(cls) -> list[str]:
        """The transports by name: every table of this section is one."""
        return [key for key in cls.model_fields if key != "sender"]

    @property
    def way(self) -> str:
        """The transport that is configured."""
        (chosen,) = (key for key in self.ways() if getattr(self, key) is not None)
        return chosen

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(getattr(self, key) is not None for key in self.ways()) != 1:
            tables = " and ".join(f"{key} = {{…}}" for key in self.ways())
            raise ValueError(f"choose exactly one of {tables}")
        return self
