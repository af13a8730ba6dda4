"""The command line and the control endpoint."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from sandbox import Control, ControlRefused, Sandbox
from tests.days import recent
from tests.sandbox.callers import Caller, TrustingSession, make_pair


def serve(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox", "serve", "--dir", str(folder), *words],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_serves_until_sigterm(tmp_path: Path) -> None:
    """`serve` writes sandbox.json for its owner only, prints one line, and reports at the end."""
    running = serve(
        tmp_path,
        "--tenants",
        "one,two",
        "--rate",
        "50",
        "--from",
        recent("2026-10-01"),
        "--to",
        recent("2026-10-08"),
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("sandbox ready:")
        said = json.loads((tmp_path / "sandbox.json").read_text("utf-8"))
        assert [tenant["name"] for tenant in said["tenants"]] == ["one", "two"]
        assert {
            "login",
            "exchange",
            "management",
            "graph",
            "control",
            "vault",
            "smtp_port",
            "ca",
            "control_key",
        } <= said.keys()
        mode = stat.S_IMODE((tmp_path / "sandbox.json").stat().st_mode)
        assert mode == 0o600
        assert Control.of(tmp_path).tenant("one")["records"] > 0
    finally:
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=20)
    assert running.returncode == 0
    assert "never served" in out
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["tenants"]["one"]["never"] > 0


def test_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """A taken port ends in one line and exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = serve(
            tmp_path, "--tenants", "one", "--rate", "0", "--port-base", str(taken.getsockname()[1])
        )
        _, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert err.startswith("sandbox: ")
    assert "Traceback" not in err


def test_a_restart_keeps_ids_authority_and_uploads(tmp_path: Path) -> None:
    """The same folder keeps tenants' ids, the CA and registered certificates across a restart."""
    pair = make_pair()
    with Sandbox(tmp_path, tenants=["one"]) as first:
        first.control.register("one", pair.pem)
        before = first.tenant("one"), Path(first.ca).read_bytes()
    with Sandbox(tmp_path, tenants=["one"]) as second:
        assert (second.tenant("one"), Path(second.ca).read_bytes()) == before
        assert "access_token" in Caller(second, "one", pair).ask_token()


def test_control_wants_its_key(box: Sandbox) -> None:
    """Without the key of sandbox.json the control endpoint is closed."""
    answer = TrustingSession(box.ca).get(f"{box['control']}/tenants")
    assert answer.status_code == 401


def test_control_refuses_with_reasons(caller: Caller) -> None:
    """Unknown switches, wrong types and unknown tenants are refused in words."""
    for change, words in (
        ({"colour": 1}, "no switch"),
        ({"consented": "yes"}, "wants bool"),
        ({"order": "sideways"}, "is one of"),
    ):
        with pytest.raises(ControlRefused, match=words):
            caller.box.control.alter(caller.name, **change)
    with pytest.raises(ControlRefused, match="no tenant"):
        caller.box.control.alter("nobody", consented=True)


def test_certificates_come_and_go(caller: Caller) -> None:
    """A removed certificate no longer logs in; a new one takes effect after its propagation."""
    control = caller.box.control
    assert (
        control.unregister(
            caller.name, control.tenant(caller.name)["certificates"][0]["thumbprint"]
        )
        == 1
    )
    assert caller.ask_token()["error_codes"] == [700027]
    control.alter(caller.name, propagation_seconds=0.6)
    control.register(caller.name, caller.pair.pem)
    assert caller.ask_token()["error_codes"] == [700027]
    deadline = time.monotonic() + 10
    while "access_token" not in (answer := caller.ask_token()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)


def test_tenants_can_go(caller: Caller) -> None:
    """A removed tenant is unknown to the login from then on."""
    caller.box.control.remove_tenant(caller.name)
    url = f"{caller.box['login']}/{caller.tenant['tenant_id']}/oauth2/v2.0/token"
    assert caller.session.post(url, data={}).json()["error_codes"] == [90002]


def test_large_logs_load_fast(tmp_path: Path) -> None:
    """Half a million records are there in seconds, and a full page does not take one."""
    begun = time.monotonic()
    with Sandbox(
        tmp_path, tenants=["big"], rate=23_000, start=recent("2026-10-01"), end=recent("2026-11-01")
    ) as box:
        assert box.tenant("big")["records"] > 300_000  # type: ignore[operator]
        assert time.monotonic() - begun < 30
        pair = make_pair()
        box.control.register("big", pair.pem)
        caller = Caller(box, "big", pair)
        assert caller.token
        begun = time.monotonic()
        answer = caller.search(
            StartDate=recent("2026-10-01"), EndDate=recent("2026-11-01"), ResultSize=5000
        )
        assert answer.status_code == 200
        assert time.monotonic() - begun < 2  # generous: the machine may be busy with others


def test_stopped_sites_do_not_answer(tmp_path: Path) -> None:
    """After the context nothing listens any more."""
    with Sandbox(tmp_path, tenants=[]) as box:
        url, ca = box["login"], box.ca
    with pytest.raises(requests.ConnectionError):
        TrustingSession(ca).get(url)
