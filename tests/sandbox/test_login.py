"""The login site, asked by unmodified msal."""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sandbox.callers import Caller, Pair, make_pair

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def assertion(caller: Caller, pair: Pair, claims: dict[str, Any], **header: Any) -> str:
    """A hand-made client assertion."""
    digest = pair.certificate.fingerprint(hashes.SHA256())
    client, now = caller.tenant["client_id"], time.time()
    audience = f"{caller.box['login']}/{caller.tenant['tenant_id']}/oauth2/v2.0/token"
    made = {
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": "same",
        "iat": now,
        "exp": now + 300,
        **claims,
    }
    words = {"x5t#S256": base64.urlsafe_b64encode(digest).decode(), **header}
    return jwt.encode(
        {k: v for k, v in made.items() if v is not None},
        pair.key,
        algorithm=header.get("alg", "PS256"),
        headers=words,
    )


def ask(caller: Caller, signed: str, **form: str) -> requests.Response:
    body = {
        "client_id": caller.tenant["client_id"],
        "grant_type": "client_credentials",
        "scope": "https://outlook.office365.com/.default",
        "client_assertion": signed,
        "client_assertion_type": ASSERTION_TYPE,
        **form,
    }
    url = f"{caller.box['login']}/{caller.tenant['tenant_id']}/oauth2/v2.0/token"
    return caller.session.post(url, data={k: v for k, v in body.items() if v})


def code(answer: requests.Response) -> int:
    return int(answer.json()["error_codes"][0])


def test_msal_logs_in_with_a_pfx(caller: Caller, tmp_path: Path) -> None:
    """Unmodified msal gets a token with a password-protected PFX (PS256, x5t#S256)."""
    path = tmp_path / "app.pfx"
    path.write_bytes(caller.pair.pfx("secret"))
    credential = {"private_key_pfx_path": str(path), "passphrase": "secret"}
    answer = caller.ask_token(credential=credential)
    assert answer["token_source"] == "identity_provider", answer


def test_msal_logs_in_with_pem_and_thumbprint(caller: Caller) -> None:
    """Unmodified msal gets a token with the older RS256 and x5t form."""
    answer = caller.ask_token(
        credential={"private_key": caller.pair.key_pem, "thumbprint": caller.pair.sha1.hex()}
    )
    assert "access_token" in answer, answer


def test_msal_logs_in_by_domain(caller: Caller) -> None:
    """The initial domain in the authority means the same tenant as its GUID."""
    assert "access_token" in caller.ask_token(tenant=caller.tenant["domain"])


def test_claims_of_the_token(caller: Caller) -> None:
    """A token carries the v1 claims, the app role and the directory roles."""
    claims = jwt.decode(caller.token, options={"verify_signature": False})
    assert claims["roles"] == ["Exchange.ManageAsApp"]
    assert claims["tid"] == caller.tenant["tenant_id"]
    assert claims["appid"] == caller.tenant["client_id"]
    assert claims["ver"] == "1.0"
    assert "17315797-102d-40b4-93e0-432062caca18" in claims["wids"]


def test_token_without_consent_lacks_roles(caller: Caller) -> None:
    """Without consent the token is issued all the same, only its `roles` claim is absent."""
    caller.box.control.alter(caller.name, consented=False)
    claims = jwt.decode(caller.token, options={"verify_signature": False})
    assert "roles" not in claims


def test_roles_are_frozen_at_issue(caller: Caller) -> None:
    """A directory role granted later does not reach a token that was issued before."""
    caller.box.control.alter(caller.name, directory_roles=[])
    assert caller.search().status_code == 403
    caller.box.control.alter(caller.name, directory_roles=["29232cdf-9323-42fd-ade2-1d097af3e4de"])
    assert caller.search().status_code == 403
    caller.forget_token()
    assert caller.search().status_code == 200


def test_grants_take_time_to_spread(caller: Caller) -> None:
    """With a propagation delay a revoked consent still shows in tokens until it has spread."""
    caller.box.control.alter(caller.name, propagation_seconds=3600.0)
    caller.box.control.alter(caller.name, consented=False)
    assert "roles" in jwt.decode(caller.token, options={"verify_signature": False})
    caller.box.control.set_clock(identity_offset=3700)
    later = caller.box.control.tenant(caller.name)
    assert later["switches"]["consented"] is False


@pytest.mark.parametrize(
    ("tenant", "wanted"),
    [
        ("11111111-2222-4333-8444-555555555555", "invalid_tenant"),
        ("nobody.onmicrosoft.com", "invalid_tenant"),
    ],
)
def test_unknown_tenant_fails_discovery(caller: Caller, tenant: str, wanted: str) -> None:
    """msal's constructor raises for an unknown tenant, and the body says invalid_tenant."""
    with pytest.raises(ValueError, match="authority"):
        caller.app(tenant=tenant)
    url = f"{caller.box['login']}/{tenant}/v2.0/.well-known/openid-configuration"
    answer = caller.session.get(url)
    assert (answer.status_code, answer.json()["error"]) == (400, wanted)
    assert code(answer) == 90002


def test_malformed_tenant(caller: Caller) -> None:
    """A segment that is neither GUID nor domain is 900023 at the token endpoint."""
    url = f"{caller.box['login']}/not_a_tenant/oauth2/v2.0/token"
    assert code(caller.session.post(url, data={"grant_type": "client_credentials"})) == 900023


def test_unknown_client(caller: Caller) -> None:
    """A client id without service principal in the tenant is 700016, in the exact shape."""
    answer = caller.ask_token(client_id="99999999-8888-4777-8666-555555555555")
    assert answer["error"] == "unauthorized_client"
    assert answer["error_codes"] == [700016]
    assert answer["error_description"].startswith("AADSTS700016: ")
    assert {"trace_id", "correlation_id", "timestamp", "error_uri"} <= answer.keys()
    assert "\r\nTrace ID: " in answer["error_description"]


def test_unregistered_certificate(caller: Caller) -> None:
    """A certificate that was not uploaded is 700027 with the reason that the key was not found."""
    other = make_pair()
    answer = caller.ask_token(
        credential={"private_key": other.key_pem, "public_certificate": other.pem.decode()}
    )
    assert answer["error_codes"] == [700027]
    assert "key was not found" in answer["error_description"]


def test_wrong_key_for_the_certificate(caller: Caller) -> None:
    """A signature by another key under a registered thumbprint is 700027, not matching."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    answer = ask(caller, assertion(caller, Pair(other, caller.pair.certificate), {}))
    assert (answer.status_code, code(answer)) == (401, 700027)
    assert "signature value did not match" in answer.json()["error_description"]


def test_expired_key_credential(caller: Caller) -> None:
    """A stored keyCredential past its own end is 700027 with the reason that it is expired."""
    caller.box.control.unregister(caller.name)
    caller.box.control.register(caller.name, caller.pair.pem, end="2026-01-01T00:00:00Z")
    answer = caller.ask_token()
    assert answer["error_codes"] == [700027]
    assert "key used is expired" in answer["error_description"]


@pytest.mark.parametrize("begins", [timedelta(days=-60), timedelta(days=2)])
def test_certificate_outside_its_validity(caller: Caller, begins: timedelta) -> None:
    """An expired and a not yet valid certificate are 1000502."""
    pair = make_pair(begins)
    caller.box.control.register(caller.name, pair.pem)
    answer = caller.ask_token(
        credential={"private_key": pair.key_pem, "public_certificate": pair.pem.decode()}
    )
    assert answer["error_codes"] == [1000502]


@pytest.mark.parametrize(
    ("claim", "seconds", "kind"),
    [("exp", -400, float), ("nbf", 100_000, float), ("exp", -302, int)],
)
def test_assertion_outside_its_time(
    caller: Caller, claim: str, seconds: int, kind: type[float]
) -> None:
    """An assertion beyond its own times and five minutes of skew is 700024."""
    claims = {claim: kind(time.time() + seconds)}
    assert code(ask(caller, assertion(caller, caller.pair, claims))) == 700024


def test_login_clock_can_disagree(caller: Caller) -> None:
    """Moving the login clock an hour ahead makes fresh assertions too old."""
    caller.box.control.set_clock(identity_offset=3600)
    assert caller.ask_token()["error_codes"] == [700024]


@pytest.mark.parametrize(
    ("seconds", "kind", "more"), [(300, int, {"iat": None}), (299.5, float, {}), (-200, float, {})]
)
def test_times_may_be_floats_or_integers(
    caller: Caller, seconds: float, kind: type[float], more: dict[str, Any]
) -> None:
    """Integer and float times are taken, within five minutes of skew; a jti may come again."""
    change = {"exp": kind(time.time() + seconds), **more}
    for _ in range(2):
        assert ask(caller, assertion(caller, caller.pair, change)).status_code == 200


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_thumbprint_padding(caller: Caller, padded: bool, algorithm: str) -> None:
    """Both algorithms pass, with the thumbprint padded or not."""
    digest = base64.urlsafe_b64encode(caller.pair.certificate.fingerprint(hashes.SHA256())).decode()
    word = digest if padded else digest.rstrip("=")
    signed = assertion(caller, caller.pair, {}, **{"x5t#S256": word, "alg": algorithm})
    assert ask(caller, signed).status_code == 200


@pytest.mark.parametrize(
    ("claims", "wanted"),
    [
        ({"aud": "https://example.org/token"}, 700023),
        ({"sub": "someone else"}, 700021),
        ({"exp": "soon"}, 50027),
        ({"exp": None}, 50027),
    ],
)
def test_wrong_claims(caller: Caller, claims: dict[str, Any], wanted: int) -> None:
    """Audience, issuer, subject and the form of times are checked."""
    assert code(ask(caller, assertion(caller, caller.pair, claims))) == wanted


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"client_assertion": ""}, 7000218),
        ({"scope": "https://outlook.office365.com"}, 70011),
        ({"scope": "https://nowhere.example/.default"}, 500011),
        (
            {"scope": "https://graph.microsoft.com/.default https://manage.office.com/.default"},
            700022,
        ),
        ({"grant_type": "password"}, 70003),
        ({"client_secret": "x"}, 7000215),
    ],
)
def test_wrong_forms(caller: Caller, form: dict[str, str], wanted: int) -> None:
    """Missing credential, malformed or foreign scope, two resources, other grants."""
    signed = assertion(caller, caller.pair, {})
    answer = ask(caller, signed, **form)
    assert code(answer) == wanted


def test_garbage_assertion(caller: Caller) -> None:
    """Something that is no JWT is 50027."""
    assert code(ask(caller, "no.jwt.here")) == 50027


@pytest.mark.parametrize(
    ("switch", "wanted"),
    [
        ({"app_disabled": True}, 7000112),
        ({"exchange_licensed": False}, 500011),
        ({"blocked_by_policy": True}, 53003),
    ],
)
def test_switches_refuse_logins(caller: Caller, switch: dict[str, bool], wanted: int) -> None:
    """A disabled app, a tenant without Exchange and Conditional Access refuse with their codes."""
    caller.box.control.alter(caller.name, **switch)
    assert caller.ask_token()["error_codes"] == [wanted]


def test_every_code_can_be_played(caller: Caller) -> None:
    """Each code of the reference's table comes out as a fault, with its own number."""
    codes = [
        700016,
        90002,
        900023,
        700027,
        700024,
        1000502,
        7000214,
        7000277,
        7000274,
        50027,
        50012,
        700030,
        7000215,
        7000222,
        7000218,
        700025,
        7000112,
        7000229,
        70011,
        500011,
        650051,
        650052,
        650056,
        53003,
        90038,
        900382,
        900432,
        90099,
        5000224,
        90033,
        90006,
        90024,
        90090,
        90055,
        65001,
        50034,
        70016,
        70018,
        70019,
    ]
    signed = assertion(caller, caller.pair, {})
    for number in codes:
        caller.box.control.set_fault("aadsts", caller.name, code=number)
        answer = ask(caller, signed)
        assert answer.status_code >= 400
        assert code(answer) == number
        assert f"AADSTS{number}:" in answer.json()["error_description"]
    assert ask(caller, signed).status_code == 200


def test_transient_code_makes_msal_raise(caller: Caller) -> None:
    """A 5xx from the token endpoint surfaces in msal as its own service error."""
    caller.box.control.set_fault("aadsts", caller.name, code=90033)
    with pytest.raises(msal.exceptions.MsalServiceError):
        caller.ask_token()


def test_throttled_login_is_replayed_by_msal(caller: Caller) -> None:
    """A 429 with Retry-After is answered by msal itself for that long, without asking again."""
    control = caller.box.control
    control.set_fault("throttled", caller.name, seconds=60, calls=["token"])
    app = caller.app()
    before = control.counters()["by_tenant"][caller.name].get("token", 0)
    for _ in range(2):
        answer = app.acquire_token_for_client([f"{caller.box['exchange']}/.default"])
        assert answer["error"] == "temporarily_unavailable"
    assert control.counters()["by_tenant"][caller.name]["token"] - before == 1


def test_instance_discovery_suits_both_versions(caller: Caller) -> None:
    """Discovery of the cloud has the endpoint of api-version 1.0 and the metadata list of 1.1."""
    answer = caller.session.get(
        f"{caller.box['login']}/common/discovery/instance",
        params={"api-version": "1.1", "authorization_endpoint": "x"},
    )
    assert {"tenant_discovery_endpoint", "metadata"} <= answer.json().keys()
