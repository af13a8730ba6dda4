"""The Key Vault site: secrets, certificates, keys and remote signing (reference 5).

A request without token gets the challenge that names authority and resource; the resource is
the parent domain of the host asked, as `vault.azure.net` is of a vault's, so that the published
SDKs keep their check of it.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import disruptions
from sandbox.box import Box, box_of
from sandbox.faults import Plan
from sandbox.tenants import Tenant
from sandbox.tokens import TokenRefused
from sandbox.vault_objects import Version, b64url

_API_VERSION = re.compile(r"\d+\.\d+(-preview\.\d+)?|\d{4}-\d\d-\d\d(-preview)?")
_KINDS = {"secrets": "Secret", "certificates": "Certificate", "keys": "Key"}


class VaultRefused(Exception):
    """A vault call that is turned down: status, code, message, and perhaps an inner code."""

    def __init__(self, status: int, code: str, message: str, inner: str = "") -> None:
        super().__init__(status, code, message, inner)
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner


def routes(app: web.Application) -> None:
    kinds = "{kind:secrets|certificates|keys}"
    app.router.add_get(f"/{kinds}", _served("list", list_objects))
    app.router.add_get(f"/{kinds}/{{name}}/versions", _served("list", list_versions))
    app.router.add_get(f"/{kinds}/{{name}}", _served("get", get_object))
    app.router.add_get(f"/{kinds}/{{name}}/", _served("get", get_object))
    app.router.add_get(f"/{kinds}/{{name}}/{{version}}", _served("get", get_object))
    app.router.add_post("/{kind:keys}/{name}/sign", _served("sign", sign))
    app.router.add_post("/{kind:keys}/{name}/{version}/sign", _served("sign", sign))


def resource_of(host: str) -> str:
    """`lab.vault.localhost:8443` asks for a token of `https://vault.localhost:8443`."""
    name, _, port = host.partition(":")
    parent = name.partition(".")[2]
    if not parent:
        return "https://vault.azure.net"
    return f"https://{parent}:{port}" if port else f"https://{parent}"


Body = dict[str, Any]
Answer = Callable[[Box, web.Request, Body], Body]


def _served(operation: str, answer: Answer) -> Callable[[web.Request], Any]:
    """One operation behind token, permission, api-version and faults."""

    async def step(request: web.Request) -> web.StreamResponse:
        box = box_of(request)
        tenant = owner(box)
        box.counters.count("vault", tenant.name)
        box.counters.count(f"vault_{request.match_info['kind']}_{operation}", tenant.name)
        try:
            return await _answered(request, box, tenant, operation, answer)
        except TokenRefused:
            return _challenge(request, box, tenant)
        except VaultRefused as refused:
            return _refusal(refused)

    return step


async def _answered(
    request: web.Request, box: Box, tenant: Tenant, operation: str, answer: Answer
) -> web.StreamResponse:
    _authorise(request, box, tenant, operation)
    plan: Plan = box.book.draw("vault", tenant.name)
    box.counters.faults.update(plan.names())
    if played := await disruptions.instead(request, plan, box.urls["elsewhere"]):
        return played
    if not _API_VERSION.fullmatch(request.query.get("api-version", "")):
        raise VaultRefused(400, "BadParameter", "api-version must be specified")
    body = await request.json() if request.can_read_body else {}
    response = web.json_response(answer(box, request, body), headers=_headers())
    return await disruptions.deliver(request, plan, response)


def owner(box: Box) -> Tenant:
    """The tenant whose directory guards the vault."""
    tenants = box.directory.tenants
    if not tenants:
        raise VaultRefused(404, "ResourceNotFound", "the sandbox has no tenant")
    return tenants.get(box.vault.tenant) or next(iter(tenants.values()))


def _headers() -> dict[str, str]:
    return {
        "x-ms-request-id": str(uuid.uuid4()),
        "x-ms-keyvault-service-version": "1.9.0",
        "Cache-Control": "no-cache",
    }


def _challenge(request: web.Request, box: Box, tenant: Tenant) -> web.Response:
    authority = f"{box.urls['login']}/{tenant.tenant_id}"
    resource = resource_of(request.host)
    box.resources.by_site["vault"].names.add(resource)
    challenge = f'Bearer authorization="{authority}", resource="{resource}"'
    error = {
        "error": {
            "code": "Unauthorized",
            "message": "AKV10000: Request is missing a Bearer or PoP token.",
        }
    }
    return web.json_response(
        error, status=401, headers={**_headers(), "WWW-Authenticate": challenge}
    )


def _refusal(refused: VaultRefused) -> web.Response:
    error: dict[str, Any] = {"code": refused.code, "message": refused.message}
    if refused.inner:
        error["innererror"] = {"code": refused.inner}
    return web.json_response({"error": error}, status=refused.status, headers=_headers())


def _authorise(request: web.Request, box: Box, tenant: Tenant, operation: str) -> None:
    audiences = box.resources.by_site["vault"].audiences
    claims = box.issuer.verify(request.headers.get("Authorization", ""), audiences)
    if claims.get("tid") != tenant.tenant_id:
        raise TokenRefused("a token of another tenant")
    permission = f"{request.match_info['kind']}/{operation}"
    if permission not in tenant.switches.vault_permissions:
        raise VaultRefused(
            403,
            "Forbidden",
            "Caller is not authorized to perform action on resource.\r\n"
            f"Action: 'Microsoft.KeyVault/vaults/{permission}/action'",
            "ForbiddenByRbac",
        )


def _version(box: Box, request: web.Request) -> Version:
    words = request.match_info
    kind, name, version = _KINDS[words["kind"]], words["name"], words.get("version", "")
    found = box.vault.find(name, version)
    if found is None:
        raise VaultRefused(
            404,
            f"{kind}NotFound",
            f"A {kind.lower()} with (name/id) {name}"
            f"{'/' + version if version else ''} was not found in this key vault. If you recently "
            f"deleted this {kind.lower()} you may be able to recover it.",
        )
    if not found.enabled and words["kind"] != "certificates":
        raise VaultRefused(
            403,
            "Forbidden",
            f"Operation get is not allowed on a disabled {kind.lower()}.",
            f"{kind}Disabled",
        )
    return found


def _id(box: Box, request: web.Request, kind: str, name: str, version: str = "") -> str:
    base = f"https://{request.host}/{kind}/{name}"
    return f"{base}/{version}" if version else base


def get_object(box: Box, request: web.Request, body: Body) -> Body:
    """A secret with its value, a certificate with its DER, or a public key."""
    version, kind, name = (
        _version(box, request),
        request.match_info["kind"],
        request.match_info["name"],
    )
    links = {
        "kid": _id(box, request, "keys", name, version.version),
        "sid": _id(box, request, "secrets", name, version.version),
    }
    own = _id(box, request, kind, name, version.version)
    if kind == "secrets":
        return {
            "value": version.secret_value(),
            "contentType": version.content_type,
            "id": own,
            "managed": True,
            "kid": links["kid"],
            "attributes": version.attributes(),
        }
    if kind == "keys":
        return {
            "key": {"kid": own, **version.jwk()},
            "attributes": version.attributes(),
            "managed": True,
        }
    return {
        "id": own,
        **links,
        "x5t": version.x5t(),
        "cer": _der(version),
        "attributes": version.attributes(),
        "policy": _policy(box, request, name, version),
    }


def _der(version: Version) -> str:
    return base64.b64encode(version.certificate.public_bytes(Encoding.DER)).decode()


def _policy(box: Box, request: web.Request, name: str, version: Version) -> Body:
    return {
        "id": f"{_id(box, request, 'certificates', name)}/policy",
        "key_props": {
            "exportable": version.exportable,
            "kty": "RSA",
            "key_size": version.key.key_size,
            "reuse_key": False,
        },
        "secret_props": {"contentType": version.content_type},
        "x509_props": {
            "subject": version.certificate.subject.rfc4514_string(),
            "sans": {},
            "ekus": ["1.3.6.1.5.5.7.3.2"],
            "key_usage": ["digitalSignature"],
            "validity_months": 12,
        },
        "issuer": {"name": "Self"},
        "attributes": {"enabled": True},
    }


def list_objects(box: Box, request: web.Request, body: Body) -> Body:
    """All names, without values."""
    return {
        "value": [
            _item(box, request, name, versions[-1], with_version=False)
            for name in box.vault.names()
            if (versions := box.vault.versions(name))
        ],
        "nextLink": None,
    }


def list_versions(box: Box, request: web.Request, body: Body) -> Body:
    """All versions of one name, without values."""
    name = request.match_info["name"]
    found = box.vault.versions(name)
    return {
        "value": [_item(box, request, name, each, with_version=True) for each in found],
        "nextLink": None,
    }


def _item(box: Box, request: web.Request, name: str, version: Version, with_version: bool) -> Body:
    kind = request.match_info["kind"]
    own = _id(box, request, kind, name, version.version if with_version else "")
    item: Body = {"kid" if kind == "keys" else "id": own, "attributes": version.attributes()}
    if kind == "secrets":
        item |= {"contentType": version.content_type, "managed": True}
    if kind == "certificates":
        item |= {"x5t": version.x5t()}
    return item


def sign(box: Box, request: web.Request, body: Body) -> Body:
    """Sign a digest; the key never leaves."""
    version = _version(box, request)
    try:
        digest = base64.urlsafe_b64decode(str(body["value"]) + "==")
        signature = version.sign(str(body["alg"]), digest)
    except (KeyError, ValueError) as error:
        raise VaultRefused(400, "BadParameter", f"Property has invalid value: {error}") from error
    name = request.match_info["name"]
    return {"kid": _id(box, request, "keys", name, version.version), "value": b64url(signature)}
