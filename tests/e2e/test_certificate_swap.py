"""Certificates change while beat and the workers collect: nothing fails, nothing is restarted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import Sandbox
from tests.configured import PFX_PASSWORD, Configured
from tests.days import recent
from tests.e2e.running import Service, coverage, exported, service, until
from tests.microsoft.identity import Pair, make_pair
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

START, END = recent("2026-10-01T00:00:00Z"), recent("2026-11-01T00:00:00Z")
TENANT = "contoso"
SWAPS = 3


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """A month that takes a while, and tokens so short-lived that logins go on all the time."""
    with Sandbox(tmp_path / "box", tenants=(TENANT,), rate=300, start=START, end=END) as box:
        box.control.alter(TENANT, seconds_per_call=0.4, token_seconds=4)
        yield box


@pytest.fixture
def folder(box: Sandbox, tmp_path: Path) -> Path:
    return Configured(
        tmp_path / "conf",
        box,
        [TENANT],
        collection={"segment_length": "24h"},
        tenant={"since": recent("2026-10-01")},
        recipients=(),
    ).write()


def put(folder: Path, pair: Pair, name: str = f"{TENANT}.pfx") -> None:
    """As an editor or a secrets mount does: whole, by a rename."""
    fresh = folder / f".{name}.new"
    fresh.write_bytes(pair.pfx(PFX_PASSWORD))
    os.replace(fresh, folder / name)


def upload(box: Sandbox, pair: Pair) -> None:
    box.control.register(TENANT, pair.certificate.public_bytes(Encoding.DER))


def tokens(box: Sandbox) -> int:
    return int(box.control.counters()["requests"].get("token", 0))


def events(running: Service, *names: str) -> list[dict[str, object]]:
    """Lines of the service's log with one of these events."""
    found = []
    for line in running.log.read_text("utf-8", "replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") in names:
            found.append(event)
    return found


def pids(running: Service) -> set[int]:
    return {child.pid for name in ("pull", "keep") for child in running.children(name)} | {
        process.pid for process in running.processes.values()
    }


def finish(box: Sandbox, running: Service, tmp_path: Path) -> None:
    """October is proven and exact, no attempt failed and nobody was parked."""

    def proven() -> bool:
        found = coverage(running.configuration, TENANT, START, END)
        return not found["gaps"] and not found["suspect"]

    until(proven, f"October proven; see {running.log.read_text()[-3000:]}", 240)
    truth = Counter(record["AuditData"] for record in box.control.records(TENANT))
    assert exported(running.configuration, TENANT, tmp_path / "export.jsonl") == truth
    trouble = (
        "segment_failed",
        "segment_postponed",
        "segment_lost",
        "tenant_parked",
        "task_failed",
    )
    assert events(running, *trouble) == []


def test_a_certificate_swapped_in_mid_collection(
    box: Sandbox, folder: Path, redis: RedisServer, tmp_path: Path
) -> None:
    """Three times the file is replaced and the old certificate revoked in Entra: no window fails,
    no process is restarted, and each certificate in turn is logged in with."""
    pairs = [make_pair(name=f"swap {number}") for number in range(SWAPS + 1)]
    upload(box, pairs[0])
    put(folder, pairs[0])
    with service(folder, redis, tmp_path) as running:
        until(lambda: tokens(box) > 1, "the first logins")
        before = pids(running)
        for old, new in pairwise(pairs):
            upload(box, new)
            put(folder, new)
            box.control.unregister(TENANT, old.sha1)
            seen = tokens(box)
            until(lambda seen=seen: tokens(box) > seen + 1, "logins after the swap")
        finish(box, running, tmp_path)
        assert pids(running) == before
        used = [event["thumbprint"] for event in events(running, "token_acquired")]
        assert list(dict.fromkeys(used)) == [pair.sha1 for pair in pairs]


def test_two_certificates_during_a_roll_over(
    box: Sandbox, folder: Path, redis: RedisServer, tmp_path: Path
) -> None:
    """With a next certificate configured, removing the old one's registration in mid-collection
    fails no window; log, `certificate list` and `tenants check` say which one works."""
    old, new = make_pair(name="old"), make_pair(name="new")
    upload(box, old)
    put(folder, old)
    put(folder, new, "next.pfx")
    path = folder / "tenants" / f"{TENANT}.toml"
    path.write_text(
        path.read_text() + '[next_certificate]\npfx = "next.pfx"\npassword = "file:pfx-password"\n'
    )
    with service(folder, redis, tmp_path) as running:
        until(lambda: tokens(box) > 1, "the first logins")
        assert in_use(running) == {"certificate": True, "next_certificate": False}
        upload(box, new)
        box.control.unregister(TENANT, old.sha1)
        seen = len(events(running, "token_acquired"))
        until(lambda: len(events(running, "token_acquired")) > seen + 3, "logins after the change")
        finish(box, running, tmp_path)
        assert events(running, "token_acquired")[-1]["slot"] == "next_certificate"
        box.control.alter(TENANT, token_seconds=3600)
        said = command(running, "tenants", "check", TENANT)
        assert f"to {new.sha1}" in said
        assert in_use(running) == {"certificate": False, "next_certificate": True}


def command(running: Service, *words: str) -> str:
    """What an operator's command prints, with the Redis that the workers share."""
    done = subprocess.run(
        [sys.executable, "-m", "trailkeeper.cli", *words],
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def in_use(running: Service) -> dict[str, bool]:
    """What `certificate list` says of the two as soon as there is a token to say it of."""
    found: dict[str, bool] = {}

    def said() -> bool:
        rows = map(json.loads, command(running, "certificate", "list", "--json").splitlines())
        found.update({row["slot"]: row["in_use"] for row in rows})
        return None not in found.values()

    until(said, "a token in use")
    return found
