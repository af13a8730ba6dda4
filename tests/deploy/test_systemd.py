"""The systemd units: their commands exist, and they lock the service in."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.deploy.deployment import DEPLOY, celery_words
from trailkeeper.cli import COMMANDS

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
LOCKS = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "UMask": "0077",
    "User": "trailkeeper",
}


def _keys(unit: Path) -> dict[str, str]:
    """The last value of each key; later lines of the same key add to it for the keys not asked."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def test_units_found() -> None:
    """There is a unit for the whole service and one that only pulls."""
    assert [unit.name for unit in UNITS] == ["trailkeeper-pull.service", "trailkeeper.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_locked_in(unit: Path) -> None:
    """The unit runs as its own user, writes nowhere but to its folder, and may gain nothing."""
    keys = _keys(unit)
    assert {key: keys.get(key) for key in LOCKS} == LOCKS
    assert keys["MemoryMax"]
    assert keys["RestartPreventExitStatus"] == "2"


def test_commands_exist() -> None:
    """One unit runs a command of the CLI, the other a worker that consumes the pull queue."""
    whole = shlex.split(_keys(DEPLOY / "systemd/trailkeeper.service")["ExecStart"])
    assert whole[0].endswith("/bin/trailkeeper")
    assert whole[1] in COMMANDS
    pulling = _keys(DEPLOY / "systemd/trailkeeper-pull.service")["ExecStart"]
    words = pulling.replace("%%", "%").replace("${PULL_PROCESSES}", "4").split()
    parsed = celery_words(["celery", *words[1:]])
    assert parsed["queues"] == ["pull"]
    assert parsed["application"] == "worker.app"
