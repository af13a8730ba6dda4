"""The login site: discovery, keys and the token endpoint for client_credentials."""

from __future__ import annotations

import re
import uuid
from typing import Any

from aiohttp import web

from sandbox import assertions, disruptions
from sandbox.aadsts import NO_STORE, LoginRefused, refusal
from sandbox.box import Box, box_of
from sandbox.tenants import Tenant

_DOMAIN = re.compile(r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
_NO_TENANT = {"common", "organizations", "consumers"}


def routes(app: web.Application) -> None:
    app.router.add_get("/common/discovery/instance", instance_discovery)
    app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", openid_configuration)
    app.router.add_get("/{tenant}/discovery/v2.0/keys", key_set)
    app.router.add_post("/{tenant}/oauth2/v2.0/token", token)


async def instance_discovery(request: web.Request) -> web.Response:
    """Both api-versions in one answer: 1.0 wants the endpoint, 1.1 the metadata list."""
    box = box_of(request)
    box.counters.count("instance_discovery", "")
    host = box.urls["login"].removeprefix("https://")
    endpoint = f"{box.urls['login']}/common/v2.0/.well-known/openid-configuration"
    return web.json_response(
        {
            "tenant_discovery_endpoint": endpoint,
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }
    )


async def openid_configuration(request: web.Request) -> web.StreamResponse:
    box = box_of(request)
    segment = request.match_info["tenant"]
    tenant = box.directory.find(segment)
    name = tenant.name if tenant else ""
    box.counters.count("discovery", name)
    plan = box.book.draw("discovery", name)
    if played := await disruptions.instead(request, plan, box.urls["elsewhere"], at_login=True):
        return played
    if (params := plan.get("aadsts")) is not None:
        return _played_refusal(box, params, segment)
    if tenant is None and segment not in _NO_TENANT:
        refused = _unknown_tenant(segment)
        refused.error = "invalid_tenant" if refused.code == 90002 else ""
        return refusal(refused, box.urls["login"])
    response = web.json_response(_configuration(box, segment, tenant))
    return await disruptions.deliver(request, plan, response)


def _configuration(box: Box, segment: str, tenant: Tenant | None) -> dict[str, Any]:
    base = f"{box.urls['login']}/{segment if tenant is None else tenant.tenant_id}"
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_modes_supported": ["query"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token"],
        "scopes_supported": ["openid"],
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "tenant_region_scope": "EU",
        "cloud_instance_name": "sandbox",
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
    }


async def key_set(request: web.Request) -> web.Response:
    return web.json_response(box_of(request).issuer.key_set())


async def token(request: web.Request) -> web.StreamResponse:
    """`client_credentials` with a certificate assertion; everything else is refused."""
    box = box_of(request)
    segment = request.match_info["tenant"]
    tenant = box.directory.find(segment)
    name = tenant.name if tenant else ""
    box.counters.count("token", name)
    plan = box.book.draw("token", name)
    box.counters.faults.update(plan.names())
    if played := await disruptions.instead(request, plan, box.urls["elsewhere"], at_login=True):
        return played
    if (params := plan.get("aadsts")) is not None:
        return _played_refusal(box, params, segment)
    form = {key: str(value) for key, value in (await request.post()).items()}
    try:
        answer = _granted(box, segment, tenant, form, plan.get("token_without_role") is None)
    except LoginRefused as refused:
        refused.words.setdefault("tenant", segment)
        refused.words.setdefault("client", form.get("client_id", ""))
        box.counters.count(f"token_refused_{refused.code}", name)
        return refusal(refused, box.urls["login"])
    response = web.json_response(
        answer,
        headers={
            **NO_STORE,
            "x-ms-request-id": str(uuid.uuid4()),
            "x-ms-ests-server": "2.1 sandbox",
        },
    )
    response.set_cookie("fpc", uuid.uuid4().hex, secure=True, httponly=True)
    response.set_cookie("x-ms-gateway-slice", "estsfd", secure=True, httponly=True)
    return await disruptions.deliver(request, plan, response)


def _played_refusal(box: Box, params: dict[str, Any], segment: str) -> web.Response:
    words = {"tenant": segment, "reason": str(params.get("reason", "The key was not found."))}
    refused = LoginRefused(int(params["code"]), **words)
    answer = refusal(refused, box.urls["login"], int(params.get("status", 0)))
    if "retry_after" in params:
        answer.headers["Retry-After"] = str(params["retry_after"])
    return answer


def _unknown_tenant(segment: str) -> LoginRefused:
    if segment in _NO_TENANT:
        return LoginRefused(50059)
    try:
        uuid.UUID(segment)
    except ValueError:
        known_form = bool(_DOMAIN.match(segment))
        return LoginRefused(90002 if known_form else 900023, tenant=segment)
    return LoginRefused(90002, tenant=segment)


def _granted(
    box: Box, segment: str, tenant: Tenant | None, form: dict[str, str], with_roles: bool
) -> dict[str, Any]:
    if tenant is None:
        raise _unknown_tenant(segment)
    if form.get("grant_type") != "client_credentials":
        raise LoginRefused(70003 if form.get("grant_type") else 900144, parameter="grant_type")
    _check_application(tenant, form)
    _check_credential(box, segment, tenant, form)
    if tenant.settle(box.clock.identity_now()).blocked_by_policy:
        raise LoginRefused(53003)
    return _issued(box, tenant, form.get("scope", ""), with_roles)


def _check_application(tenant: Tenant, form: dict[str, str]) -> None:
    client = form.get("client_id", "").lower()
    if not client:
        raise LoginRefused(900144, parameter="client_id")
    if client != tenant.application.client_id:
        raise LoginRefused(700016)
    if tenant.switches.app_disabled:
        raise LoginRefused(7000112)


def _check_credential(box: Box, segment: str, tenant: Tenant, form: dict[str, str]) -> None:
    if form.get("client_secret"):
        raise LoginRefused(7000215)
    assertion = form.get("client_assertion", "")
    if not assertion or form.get("client_assertion_type") != assertions.ASSERTION_TYPE:
        raise LoginRefused(7000218)
    names = {segment, tenant.tenant_id, tenant.domain}
    audiences = {
        f"{box.urls['login']}/{name}{path}"
        for name in names
        for path in ("/oauth2/v2.0/token", "/v2.0", "/oauth2/token")
    }
    now = box.clock.identity_now()
    assertions.verify(assertion, tenant.application, audiences, now)


def _issued(box: Box, tenant: Tenant, scope: str, with_roles: bool) -> dict[str, Any]:
    scopes = [s for s in scope.split() if s not in ("openid", "profile", "offline_access")]
    if len(scopes) > 1:
        raise LoginRefused(700022)
    if not scopes or not scopes[0].endswith("/.default"):
        raise LoginRefused(70011)
    found = box.resources.of_scope(scopes[0])
    if found is None or (found[0].needs_exchange and not tenant.switches.exchange_licensed):
        raise LoginRefused(500011, resource=scopes[0].removesuffix("/.default"), tenant=tenant.name)
    seconds = tenant.switches.token_seconds
    return {
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": box.issuer.issue(tenant, *found, with_roles=with_roles),
    }
