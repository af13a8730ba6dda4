"""Where a client gets its tokens from."""

from __future__ import annotations

from typing import Protocol

from trailkeeper.settings import TenantSettings


class TokenSource(Protocol):
    """Tokens by tenant and audience; raises what a refused sign-in means for the tenant."""

    def get(self, tenant: TenantSettings, audience: str) -> str: ...

    def drop(self, tenant: TenantSettings, audience: str) -> None: ...

    def thumbprint_in_use(self, tenant: TenantSettings) -> str: ...
