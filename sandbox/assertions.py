"""Client assertions, really verified: the door that a wrong key does not pass."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import jwt

from sandbox.aadsts import BAD_SIGNATURE, KEY_EXPIRED, KEY_NOT_FOUND, LoginRefused
from sandbox.keys import KeyCredential
from sandbox.tenants import Application

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SKEW_SECONDS = 300


def verify(
    assertion: str, application: Application, audiences: Collection[str], now: float
) -> None:
    """Accept a JWT signed by a registered certificate, or raise LoginRefused.

    The same jti again is accepted, and times may be floats: msal sends both (reference 1.4).
    """
    header, claims = _opened(assertion)
    key = _key_of(header, application, now)
    _check_signature(assertion, header, key)
    _check_validity(key, now)
    _check_claims(claims, application.client_id, audiences, now)


def _opened(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        header = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except (jwt.PyJWTError, json.JSONDecodeError, ValueError) as error:
        raise LoginRefused(50027) from error
    if header.get("alg") not in ("PS256", "RS256") or not _thumbprint(header):
        raise LoginRefused(50027)
    return header, claims


def _thumbprint(header: dict[str, Any]) -> str:
    found = header.get("x5t#S256") or header.get("x5t")
    return found if isinstance(found, str) else ""


def _key_of(header: dict[str, Any], application: Application, now: float) -> KeyCredential:
    wanted = _thumbprint(header)
    for key in application.keys:
        if key.has_thumbprint(wanted) and key.effective_at <= now:
            return key
    reason = KEY_NOT_FOUND.format(thumbprint=wanted)
    raise LoginRefused(700027, reason=reason, client=application.client_id)


def _check_signature(assertion: str, header: dict[str, Any], key: KeyCredential) -> None:
    try:
        jwt.decode(
            assertion,
            key.public_key,
            algorithms=[header["alg"]],
            options={
                "verify_aud": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.PyJWTError as error:
        raise LoginRefused(700027, reason=BAD_SIGNATURE.format(thumbprint=key.sha1)) from error


def _check_validity(key: KeyCredential, now: float) -> None:
    if not key.certificate_valid(now):
        raise LoginRefused(1000502)
    if not key.credential_valid(now):
        raise LoginRefused(700027, reason=KEY_EXPIRED.format(thumbprint=key.sha1))


def _check_claims(
    claims: dict[str, Any], client_id: str, audiences: Collection[str], now: float
) -> None:
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise LoginRefused(700021)
    if claims.get("aud") not in audiences:
        raise LoginRefused(700023)
    expires, begins = _moment(claims.get("exp")), _moment(claims.get("nbf", 0))
    if now > expires + _SKEW_SECONDS or now < begins - _SKEW_SECONDS:
        raise LoginRefused(700024)


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LoginRefused(50027)
    return float(value)
