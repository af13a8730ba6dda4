"""A Key Vault that misbehaves, for what no honest one does; it verifies nothing.

Honest answers come from the sandbox's vault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.tls import Reply, Request, TlsServer, tls_server


@dataclass
class Vault:
    """Its challenge asks for a token of `resource`; every secret is `secret`."""

    resource: str
    authority: str
    secret: str = ""
    server: TlsServer | None = None
    tokens: list[str] = field(default_factory=list)
    """what it was given"""

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    def answer(self, request: Request) -> Reply:
        authorization = request.headers.get("Authorization")
        if not authorization:
            challenge = f'Bearer authorization="{self.authority}", resource="{self.resource}"'
            return Reply(401, b"{}", (("WWW-Authenticate", challenge),))
        self.tokens.append(authorization.removeprefix("Bearer "))
        secret = {
            "id": f"{self.url}/secrets/app/v1",
            "value": self.secret,
            "contentType": "application/x-pkcs12",
            "attributes": {"enabled": True},
        }
        return Reply(200, json.dumps(secret).encode(), (("Content-Type", "application/json"),))


@contextmanager
def vault_server(resource: str, authority: str) -> Iterator[Vault]:
    vault = Vault(resource, authority)
    with tls_server(vault.answer) as server:
        vault.server = server
        yield vault
