from __future__ import annotations

import base64
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.microsoft.identity import PFX_PASSWORD, Enrolled, make_pair
from tests.servers.redis import RedisServer
from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.identity.tokens import Tokens

FAULTS = ("none", "aadsts", "reset", "not_json", "wrong password", "unregistered")


def secrets_of(enrolled: Enrolled) -> list[bytes]:
    """What must be found nowhere: password, key in several spellings, any JWT."""
    key = enrolled.pair.key
    assert isinstance(key, rsa.RSAPrivateKey)
    private = key.private_numbers().d
    lines = enrolled.pair.key_pem().splitlines()[2:-2]
    return [
        PFX_PASSWORD.encode(),
        str(private).encode(),
        f"{private:x}".encode()[:64],
        private.to_bytes(512, "big").lstrip(b"\0")[:32],
        base64.b64encode(PFX_PASSWORD.encode()).rstrip(b"="),
        *lines[:6],
        b"eyJ",
        b"BEGIN PRIVATE",
    ]


def provoke(enrolled: Enrolled, fault: str) -> None:
    if fault == "wrong password":
        (enrolled.folder / "app.pfx").write_bytes(enrolled.pair.pfx("another"))
    elif fault == "unregistered":
        enrolled.box.control.unregister(enrolled.name, enrolled.pair.sha1)
    elif fault != "none":
        code = {"code": 50027} if fault == "aadsts" else {}
        enrolled.box.control.set_fault(fault, enrolled.name, times=0, calls=["token"], **code)


def outcome(tokens: Tokens, enrolled: Enrolled) -> tuple[str, TrailkeeperError | None]:
    try:
        return tokens.get(enrolled.tenant, enrolled.audience), None
    except TrailkeeperError as error:
        return "", error


@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_found_where_anybody_may_look(
    enrolled: Enrolled,
    shared_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    """Redis, logs at debug, reprs, pickled errors and tracebacks with variables hold no secret."""
    shared_redis.client().flushall()
    provoke(enrolled, fault)
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as events:
        tokens = enrolled.tokens(shared_redis.url)
        token, error = outcome(tokens, enrolled)
        if token:
            tokens.drop(enrolled.tenant, enrolled.audience)
            tokens.get(enrolled.tenant, enrolled.audience)
    assert bool(token) is (fault == "none")
    certificates = tokens._certificates
    places = {
        "redis": _all_of(shared_redis),
        "logs": caplog.text.encode() + repr(events).encode(),
        "output": "".join(capfd.readouterr()).encode(),
        "reprs": repr([tokens, certificates._held, tokens._logins, enrolled.settings]).encode(),
    }
    if error is not None:
        places["pickle"] = pickle.dumps(error)
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        places["traceback"] = "".join(shown.format()).encode()
    for place, content in places.items():
        for secret in secrets_of(enrolled):
            assert secret not in content, (place, secret[:12])


def _all_of(server: RedisServer) -> bytes:
    client = server.client()
    found = b""
    for key in client.keys("*"):
        found += key + b" " + (client.dump(key) or b"")
    return found


def test_a_crashed_worker_leaves_no_core(tmp_path: Path) -> None:
    """After `forbid_core_files` an aborting process dumps nothing, whatever the limits were."""
    words = (
        "import os, resource;"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1];"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard));"
        "from trailkeeper.process.memory import forbid_core_files;"
        "forbid_core_files();"
        "os.chdir(os.environ['CRASH_FOLDER']); os.abort()"
    )
    environment = {**os.environ, "CRASH_FOLDER": str(tmp_path), "PYTHONPATH": os.getcwd()}
    worker = subprocess.Popen([sys.executable, "-c", words], env=environment)
    _, status = os.waitpid(worker.pid, 0)
    worker.returncode = -os.WTERMSIG(status)
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


def test_the_search_finds_what_is_planted(enrolled: Enrolled) -> None:
    """The search above is not blind: each canary is found where it does lie."""
    key_file = enrolled.pair.key_pem()
    assert any(secret in key_file for secret in secrets_of(enrolled))
    assert any(secret in PFX_PASSWORD.encode() for secret in secrets_of(enrolled))
    assert any(
        secret in enrolled.tokens().get(enrolled.tenant, enrolled.audience).encode()
        for secret in secrets_of(enrolled)
    )
    assert not any(secret in make_pair().pem for secret in secrets_of(enrolled))
