"""Access tokens: signed v1-style JWTs, as Entra issues them to an app (reference 2.1)."""

from __future__ import annotations

import hashlib
import uuid
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from sandbox.clock import Clock
from sandbox.resources import Resource
from sandbox.tenants import Tenant


class TokenRefused(Exception):
    """A bearer token that the resource does not accept; the text says why."""


class TokenIssuer:
    """Signs tokens at the login site and checks them at the resources."""

    def __init__(self, clock: Clock, key: rsa.RSAPrivateKey) -> None:
        self._clock = clock
        self._key = key
        public = key.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._kid = hashlib.sha256(der).hexdigest()[:27]
        self._public = public
        # The same token comes with every request of an hour: its signature is checked once.
        self._signed_by_us = lru_cache(maxsize=4096)(self._decoded)

    def issue(
        self, tenant: Tenant, resource: Resource, audience: str, with_roles: bool = True
    ) -> str:
        """A token with the grants of this moment; later changes do not reach it."""
        switches = tenant.settle(self._clock.identity_now())
        now = int(self._clock.identity_now())
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant.tenant_id}/",
            "ver": "1.0",
            "tid": tenant.tenant_id,
            "appid": tenant.application.client_id,
            "app_displayname": "Sandbox client",
            "appidacr": "2",
            "idtyp": "app",
            "oid": tenant.service_principal,
            "sub": tenant.service_principal,
            "wids": list(switches.directory_roles),
            "uti": uuid.uuid4().hex[:22],
            "iat": now,
            "nbf": now,
            "exp": now + switches.token_seconds + 1,
        }
        roles = resource.roles(switches)
        if roles and with_roles:
            claims["roles"] = roles
        return jwt.encode(
            claims, self._key, algorithm="RS256", headers={"kid": self._kid, "x5t": self._kid}
        )

    def verify(self, authorization: str, audiences: frozenset[str]) -> dict[str, Any]:
        """The claims of a `Bearer ...` header, or TokenRefused."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenRefused("no bearer token")
        try:
            claims = self._signed_by_us(token)
        except jwt.PyJWTError as error:
            raise TokenRefused(f"invalid token: {error}") from error
        if str(claims.get("aud", "")).rstrip("/") not in audiences:
            raise TokenRefused("invalid audience")
        if float(claims.get("exp", 0)) < self._clock.identity_now():
            raise TokenRefused("token expired")
        return claims

    def _decoded(self, token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            self._public,
            algorithms=["RS256"],
            options={
                "verify_aud": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        return claims

    def key_set(self) -> dict[str, Any]:
        """The JWKS document of the login site."""
        key: dict[str, Any] = RSAAlgorithm.to_jwk(self._public, as_dict=True)
        return {"keys": [{**key, "kid": self._kid, "x5t": self._kid, "use": "sig"}]}
