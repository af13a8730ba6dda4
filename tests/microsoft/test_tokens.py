from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
import structlog

from sandbox import Sandbox
from tests.microsoft.identity import (
    Enrolled,
    SetClock,
    enrol,
    login_counts,
    make_pair,
    tokens_for,
    write_cloud,
    write_tenant,
)
from tests.servers.redis import RedisServer, redis_server
from trailkeeper.errors import (
    ConfigurationError,
    NeedsPerson,
    Throttled,
    TrailkeeperError,
    Transient,
)
from trailkeeper.microsoft.certificates.loading import Slot
from trailkeeper.microsoft.http.fault_table import Kind
from trailkeeper.microsoft.identity.faults import AADSTS
from trailkeeper.microsoft.identity.tokens import claims
from trailkeeper.settings import load

CLASS_OF = {
    Kind.RETRY: Transient,
    Kind.THROTTLED: Throttled,
    Kind.PERSON: NeedsPerson,
}


def test_a_pfx_logs_in(enrolled: Enrolled) -> None:
    """The configured PFX gets a token with the app role, and its claims can be read."""
    token = enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert claims(token)["roles"] == ["Exchange.ManageAsApp"]
    assert claims(token)["tid"] == enrolled.tenant.tenant_id.__str__()


@pytest.mark.parametrize("form", ["store-pfx", "store-pem", "store-pem-encrypted"])
def test_a_thumbprint_logs_in(enrolled: Enrolled, form: str) -> None:
    """A certificate found by its thumbprint in the store logs in, whatever its form."""
    store = enrolled.folder / "certificates"
    store.mkdir()
    pair = enrolled.pair
    secret = "" if form == "store-pem" else "locked"
    if form == "store-pfx":
        (store / "a.pfx").write_bytes(pair.pfx(secret))
    else:
        (store / "a.pem").write_bytes(pair.pem + pair.key_pem(secret))
    (enrolled.folder / "password").write_text("locked")
    tenant = enrolled.box.control.tenant(enrolled.name)
    lines = f'thumbprint = "{pair.sha1.lower()}"\npassword = "file:password"'
    write_tenant(enrolled.folder, tenant, lines)
    assert enrolled.tokens().get(enrolled.tenant, enrolled.audience)


def test_a_certificate_of_an_authority_logs_in(enrolled: Enrolled) -> None:
    """A leaf issued by an authority, with its chain in the PFX, logs in like a self-signed one."""
    leaf = make_pair(issued_by=make_pair(name="authority"), name="leaf")
    enrolled.box.control.register(enrolled.name, leaf.pem)
    enrolled.write_pfx(leaf)
    assert enrolled.tokens().get(enrolled.tenant, enrolled.audience)


def test_a_token_is_asked_for_once(enrolled: Enrolled) -> None:
    """While the token is fresh, one login serves every request; another audience is another."""
    tokens = enrolled.tokens()
    first = tokens.get(enrolled.tenant, enrolled.audience)
    assert tokens.get(enrolled.tenant, enrolled.audience + "/") == first
    assert enrolled.logins() == 1
    other = tokens.get(enrolled.tenant, enrolled.box["management"])
    assert other != first
    assert tokens.get(enrolled.tenant, enrolled.audience) == first
    assert enrolled.logins() == 2


def test_a_token_is_renewed_five_minutes_before_its_end(enrolled: Enrolled) -> None:
    """A token is used until five minutes before `expires_in` has passed, and not longer."""
    clock = SetClock()
    tokens = enrolled.tokens(clock=clock)
    first = tokens.get(enrolled.tenant, enrolled.audience)
    clock.offset = timedelta(seconds=3599 - 310)
    assert tokens.get(enrolled.tenant, enrolled.audience) == first
    clock.offset = timedelta(seconds=3599 - 290)
    enrolled.box.control.set_clock(identity_offset=clock.offset.total_seconds())
    assert tokens.get(enrolled.tenant, enrolled.audience) != first
    assert enrolled.logins() == 2


def test_a_short_token_is_used_for_half_its_life(enrolled: Enrolled) -> None:
    """A token that lives for four minutes is not asked for again at every request."""
    enrolled.box.control.alter(enrolled.name, token_seconds=240)
    tokens = enrolled.tokens()
    assert tokens.get(enrolled.tenant, enrolled.audience) == tokens.get(
        enrolled.tenant, enrolled.audience
    )


def test_a_dropped_token_is_replaced_once(enrolled: Enrolled, shared_redis: RedisServer) -> None:
    """`drop` forgets the token given out here; one that another worker renewed already stays."""
    mine, other = (enrolled.tokens(shared_redis.url) for _ in range(2))
    tenant, audience = enrolled.tenant, enrolled.audience
    first = mine.get(tenant, audience)
    assert other.get(tenant, audience) == first
    mine.drop(tenant, audience)
    second = mine.get(tenant, audience)
    assert second != first
    other.drop(tenant, audience)
    assert other.get(tenant, audience) == second
    assert enrolled.logins() == 2


def test_a_new_grant_reaches_a_new_token(enrolled: Enrolled) -> None:
    """Roles live in the token: after a grant and `drop_all` the next token carries them."""
    enrolled.box.control.alter(enrolled.name, consented=False)
    tokens = enrolled.tokens()
    assert "roles" not in claims(tokens.get(enrolled.tenant, enrolled.audience))
    enrolled.box.control.alter(enrolled.name, consented=True)
    tokens.drop_all(enrolled.tenant)
    assert "roles" in claims(tokens.get(enrolled.tenant, enrolled.audience))


@pytest.mark.parametrize("code", sorted(AADSTS))
def test_every_row_of_the_table_ends_in_its_class(enrolled: Enrolled, code: int) -> None:
    """Each AADSTS code of the reference, played by the sandbox, becomes the error of its row."""
    enrolled.box.control.set_fault("aadsts", enrolled.name, times=0, calls=["token"], code=code)
    with pytest.raises(TrailkeeperError) as caught:
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    error = caught.value
    assert type(error) is CLASS_OF[AADSTS[code].kind]
    assert error.code == f"AADSTS{code}"
    assert error.remedy
    assert "trace=" in error.request_id
    assert "correlation=" in error.request_id
    assert "Trace ID" not in str(error)


def test_the_discovery_may_refuse_too(enrolled: Enrolled) -> None:
    """A tenant that Entra does not know is refused at discovery, with the same error."""
    enrolled.box.control.set_fault(
        "aadsts", enrolled.name, times=0, calls=["discovery"], code=90002
    )
    with pytest.raises(NeedsPerson, match="AADSTS90002") as caught:
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert "tenant_id" in caught.value.remedy
    assert enrolled.logins() == 0


def test_a_repaired_refusal_works_at_once(enrolled: Enrolled) -> None:
    """msal's memory of a refusal does not outlive it: what was mended works at the next call."""
    tokens = enrolled.tokens()
    enrolled.box.control.set_fault("aadsts", enrolled.name, times=1, calls=["token"], code=700016)
    with pytest.raises(NeedsPerson, match="AADSTS700016"):
        tokens.get(enrolled.tenant, enrolled.audience)
    assert tokens.get(enrolled.tenant, enrolled.audience)


def test_throttling_is_obeyed_in_full(enrolled: Enrolled) -> None:
    """Retry-After of a refused login reaches the caller as it was sent."""
    enrolled.box.control.set_fault(
        "throttled", enrolled.name, times=1, calls=["token"], form="retry_after", seconds=4321
    )
    with pytest.raises(Throttled) as caught:
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert caught.value.retry_after == 4321


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("not_json", {}),
        ("reset", {}),
        ("cut_body", {}),
        ("server_error", {"status": 503}),
        ("gzip_mislabelled", {"status": 500}),
        ("redirect", {}),
    ],
)
def test_a_broken_login_is_transient(
    enrolled: Enrolled, fault: str, params: dict[str, object]
) -> None:
    """A login broken in any way of the wire is Transient, once, and nothing follows a redirect."""
    enrolled.box.control.set_fault(fault, enrolled.name, times=1, calls=["token"], **params)
    tokens = enrolled.tokens()
    with pytest.raises(Transient):
        tokens.get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == 1
    assert tokens.get(enrolled.tenant, enrolled.audience)


def test_an_unregistered_certificate_needs_a_person(enrolled: Enrolled) -> None:
    """A certificate that the app does not know is waited for three times, then needs a person."""
    enrolled.write_pfx(make_pair())
    tokens = enrolled.tokens()
    with pytest.raises(NeedsPerson, match="AADSTS700027") as caught:
        tokens.get(enrolled.tenant, enrolled.audience)
    assert "Upload" in caught.value.remedy
    assert enrolled.logins() == 4
    with pytest.raises(NeedsPerson, match="AADSTS700027"):
        tokens.get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == 5  # it was waited for once: the next task does not wait again


def test_a_fresh_upload_is_waited_for(enrolled: Enrolled) -> None:
    """Refused twice because its upload still spreads, a certificate logs in at the third try."""
    pauses: list[float] = []

    class Watched(SetClock):
        def sleep(self, seconds: float) -> None:
            pauses.append(seconds)

    main = enrolled.folder / "trailkeeper.toml"
    main.write_text(main.read_text().replace('upload_pause = "0s"\n', ""))
    fault = {"calls": ["token"], "code": 700027}
    enrolled.box.control.set_fault("aadsts", enrolled.name, times=2, **fault)
    assert enrolled.tokens(clock=Watched()).get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == 3
    assert pauses == [10.0, 10.0]


def test_a_certificate_that_worked_is_not_waited_for(enrolled: Enrolled) -> None:
    """When the registration of a certificate in use is removed, the tenant needs a person at once.

    Waiting would only hold a worker up: nothing was uploaded.
    """
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    tokens.drop(enrolled.tenant, enrolled.audience)
    enrolled.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    before = enrolled.logins()
    with pytest.raises(NeedsPerson, match="AADSTS700027"):
        tokens.get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == before + 1


def test_an_expired_certificate_is_refused_before_any_login(enrolled: Enrolled) -> None:
    """An expired certificate never reaches Entra."""
    old = make_pair(begins=timedelta(days=-9), ends=timedelta(days=-1))
    enrolled.write_pfx(old)
    with pytest.raises(NeedsPerson, match="expired on"):
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == 0


def test_a_certificate_that_expires_while_in_use_is_refused(enrolled: Enrolled) -> None:
    """The dates are checked at each login, not only when the file is read."""
    clock = SetClock()
    tokens = enrolled.tokens(clock=clock)
    tokens.get(enrolled.tenant, enrolled.audience)
    clock.offset = timedelta(days=400)
    with pytest.raises(NeedsPerson, match="expired on"):
        tokens.get(enrolled.tenant, enrolled.audience)


def test_a_swapped_certificate_is_picked_up(enrolled: Enrolled) -> None:
    """A PFX replaced on disk is used for the next login without a restart."""
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    fresh = make_pair()
    enrolled.box.control.register(enrolled.name, fresh.pem)
    enrolled.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    enrolled.write_pfx(fresh)
    tokens.drop(enrolled.tenant, enrolled.audience)
    assert tokens.get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == 2


def test_a_half_written_certificate_leaves_the_one_before_in_use(enrolled: Enrolled) -> None:
    """A file that became unreadable does not stop a tenant whose key in memory still works."""
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    (enrolled.folder / "app.pfx").write_bytes(b"half")
    tokens.drop(enrolled.tenant, enrolled.audience)
    assert tokens.get(enrolled.tenant, enrolled.audience)


def test_the_source_is_read_again_when_entra_refuses(enrolled: Enrolled) -> None:
    """A refusal that names the certificate reads its source once more, changed stamp or not."""
    fresh = make_pair()
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    tokens.drop(enrolled.tenant, enrolled.audience)
    enrolled.box.control.unregister(enrolled.name, "all")
    enrolled.box.control.register(enrolled.name, fresh.pem)

    held = tokens._certificates._held[enrolled.name, Slot.CERTIFICATE]
    enrolled.write_pfx(fresh)
    held.stamp = held.source.stamp()  # as if the change had not shown in the file's dates
    assert tokens.get(enrolled.tenant, enrolled.audience)


@pytest.mark.parametrize("trouble", ["unregistered", "expired", "absent"])
def test_of_two_certificates_the_one_that_works_is_used(enrolled: Enrolled, trouble: str) -> None:
    """During a roll-over the second certificate takes over when the first is of no use."""
    fresh = make_pair()
    enrolled.box.control.register(enrolled.name, fresh.pem)
    enrolled.write_pfx(fresh, name="next.pfx")
    if trouble == "unregistered":
        enrolled.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    elif trouble == "expired":
        enrolled.write_pfx(make_pair(begins=timedelta(days=-9), ends=timedelta(days=-1)))
    else:
        (enrolled.folder / "app.pfx").unlink()
    tenant = enrolled.box.control.tenant(enrolled.name)
    lines = 'pfx = "{}"\npassword = "file:password"'
    extra = "[next_certificate]\n" + lines.format("next.pfx")
    write_tenant(enrolled.folder, tenant, lines.format("app.pfx"), extra)
    tokens = enrolled.tokens()
    assert tokens.get(enrolled.tenant, enrolled.audience)
    assert tokens.working_certificate(enrolled.tenant) is Slot.NEXT
    assert tokens.thumbprint_in_use(enrolled.tenant) == fresh.sha1
    before = enrolled.logins()
    tokens.drop(enrolled.tenant, enrolled.audience)
    tokens.get(enrolled.tenant, enrolled.audience)
    assert enrolled.logins() == before + 1


def test_a_foreign_authority_is_a_matter_of_configuration(
    enrolled: Enrolled, tmp_path: Path
) -> None:
    """A login host whose TLS certificate the bundle does not cover ends in one sentence, and
    nothing is said against the tenant's own certificate."""
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(make_pair().pem)
    main = enrolled.folder / "trailkeeper.toml"
    main.write_text(main.read_text().replace(str(enrolled.box.ca), str(stranger)))
    with (
        pytest.raises(ConfigurationError, match="not signed by a trusted authority") as caught,
        structlog.testing.capture_logs() as events,
    ):
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert "set ca_bundle" in caught.value.remedy
    assert "login_refused" not in [event["event"] for event in events]


def test_many_threads_make_one_login(enrolled: Enrolled) -> None:
    """Threads of one process that want the same token at once cause one login."""
    tokens = enrolled.tokens()
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(tokens.get(enrolled.tenant, enrolled.audience))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert enrolled.logins() == 1


def _collect_all(folder: str, redis_url: str, audience: str, failures: object) -> None:
    settings = load(Path(folder))
    tokens = tokens_for(settings, redis_url)
    try:
        for tenant in settings.tenants.values():
            tokens.get(tenant, audience)
    except TrailkeeperError as error:
        failures.put(str(error))  # type: ignore[attr-defined]  # a multiprocessing queue


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sixteen_processes_and_fifty_tenants_make_fifty_logins(
    box: Sandbox, tmp_path: Path, fresh_name: Callable[[], str]
) -> None:
    """16 worker processes and 50 tenants starting at once on an empty cache: 50 token requests."""
    pair = make_pair()
    (tmp_path / "app.pfx").write_bytes(pair.pfx("x"))
    (tmp_path / "password").write_text("x")
    write_cloud(tmp_path, box)
    names = [fresh_name() for _ in range(50)]
    for name in names:
        tenant = box.control.create_tenant(name)
        box.control.register(name, pair.pem)
        write_tenant(tmp_path, tenant, 'pfx = "app.pfx"\npassword = "file:password"')
    server = multiprocessing.get_context("forkserver")  # imports once, then forks as workers do
    server.set_forkserver_preload(["tests.microsoft.test_tokens"])
    failures = server.Queue()
    with redis_server() as redis:
        arguments = (str(tmp_path), redis.url, box["exchange"], failures)
        workers = [server.Process(target=_collect_all, args=arguments) for _ in range(16)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(240)
    assert failures.empty(), failures.get()
    assert [worker.exitcode for worker in workers] == [0] * 16
    counts = login_counts(box)
    assert {name: counts[name] for name in names} == dict.fromkeys(names, 1)


def test_tokens_work_while_redis_is_down(enrolled: Enrolled) -> None:
    """Redis gone in between: tokens still come, are kept in process, and it is logged once."""
    with redis_server() as redis:
        tokens = enrolled.tokens(redis.url)
        first = tokens.get(enrolled.tenant, enrolled.audience)
        redis.stop()
        with structlog.testing.capture_logs() as logged:
            second = tokens.get(enrolled.tenant, enrolled.audience)
            assert tokens.get(enrolled.tenant, enrolled.audience) == second
    assert first != second
    assert enrolled.logins() == 2
    assert [each["event"] for each in logged].count("token_cache_unreachable") == 1


def test_an_emptied_redis_costs_one_login(enrolled: Enrolled) -> None:
    """FLUSHALL in mid-run costs the tenant one login and nothing else."""
    with redis_server() as redis:
        tokens = enrolled.tokens(redis.url)
        first = tokens.get(enrolled.tenant, enrolled.audience)
        redis.client().flushall()
        second = tokens.get(enrolled.tenant, enrolled.audience)
        assert tokens.get(enrolled.tenant, enrolled.audience) == second != first
    assert enrolled.logins() == 2


def test_a_forgotten_lock_expires(enrolled: Enrolled, shared_redis: RedisServer) -> None:
    """A lock left by a worker that died does not keep the others from logging in."""
    tokens = enrolled.tokens(shared_redis.url)
    tenant = enrolled.tenant
    lock = f"trailkeeper:tokens-lock:lab:{tenant.tenant_id}:{tenant.client_id}"
    shared_redis.client().set(lock, "dead", px=300)
    assert tokens.get(tenant, enrolled.audience)


def test_the_environment_cannot_move_the_login(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MSAL_FORCE_REGION and REGION_NAME do not send the login to another host."""
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    monkeypatch.setenv("REGION_NAME", "westeurope")
    assert enrolled.tokens().get(enrolled.tenant, enrolled.audience)


def test_no_lookup_beyond_login_is_made(enrolled: Enrolled) -> None:
    """A login is one discovery and one token request; a refused one asks nowhere else either."""
    tokens = enrolled.tokens()
    tokens.get(enrolled.tenant, enrolled.audience)
    enrolled.box.control.set_fault("aadsts", enrolled.name, times=1, calls=["token"], code=53003)
    tokens.drop(enrolled.tenant, enrolled.audience)
    with pytest.raises(NeedsPerson):
        tokens.get(enrolled.tenant, enrolled.audience)
    counted = enrolled.box.control.counters()
    assert counted["by_tenant"][enrolled.name] == {"discovery": 1, "token": 2}
    assert counted["requests"].get("instance_discovery", 0) == 0


def test_another_tenants_trouble_is_its_own(
    box: Sandbox, tmp_path: Path, fresh_name: Callable[[], str]
) -> None:
    """A tenant whose certificate is broken does not keep the other one from its token."""
    good = enrol(box, tmp_path, fresh_name())
    tenant = box.control.create_tenant(fresh_name())
    write_tenant(tmp_path, tenant, 'pfx = "broken.pfx"')
    (tmp_path / "broken.pfx").write_bytes(b"broken")
    settings = load(tmp_path)
    tokens = tokens_for(settings)
    with pytest.raises(NeedsPerson):
        tokens.get(settings.tenants[tenant["name"]], box["exchange"])
    assert tokens.get(settings.tenants[good.name], box["exchange"])


@pytest.mark.parametrize(
    "text", ["", "opaque", "a.b.c", "a.!.c", "a.W10.c", "a." + "A" * 100_000 + ".c"]
)
def test_claims_of_an_opaque_token_are_empty(text: str) -> None:
    """A token that is no JWT has no claims, and reading them never fails."""
    assert claims(text) == {}


def test_claims_are_read_without_padding() -> None:
    """Claims are read whatever the length of their part."""
    for length in range(4):
        token = jwt.encode({"roles": ["x" * length]}, "k" * 32)
        assert claims(token) == {"roles": ["x" * length]}


def test_msal_does_not_log(enrolled: Enrolled, caplog: pytest.LogCaptureFixture) -> None:
    """Even with every logger at debug, msal writes nothing about a login."""
    with caplog.at_level(logging.DEBUG):
        enrolled.tokens().get(enrolled.tenant, enrolled.audience)
    assert [each.name for each in caplog.records if each.name.startswith("msal")] == []


def test_a_refusal_holds_for_those_who_waited(
    enrolled: Enrolled, shared_redis: RedisServer
) -> None:
    """Workers that wait behind a refused login get its error and do not ask each for themselves."""
    control = enrolled.box.control
    control.set_fault("aadsts", enrolled.name, times=0, calls=["token"], code=700016)
    control.set_fault("slow", enrolled.name, times=1, calls=["discovery"], seconds=1)
    errors: list[TrailkeeperError] = []

    def ask() -> None:
        try:
            enrolled.tokens(shared_redis.url).get(enrolled.tenant, enrolled.audience)
        except TrailkeeperError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(type(error), error.code) for error in errors] == [(NeedsPerson, "AADSTS700016")] * 6
    assert enrolled.logins() == 1
    control.clear_faults()
    assert enrolled.tokens(shared_redis.url).get(enrolled.tenant, enrolled.audience)
