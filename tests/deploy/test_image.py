"""deploy/Dockerfile: read, not built; building it needs a base image."""

from __future__ import annotations

import json
import re

from tests.deploy.deployment import DEPLOY, ROOT, SERVICES_USER, UID
from worker.health import Role

TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
LINES = [line.strip() for line in TEXT.replace("\\\n", " ").splitlines()]


def _instructions(word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def test_copies_what_exists_and_may_enter() -> None:
    """Every file that is copied in exists and is let through by .dockerignore."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = [c for c in _instructions("COPY") if not c.startswith("--from")]
    sources = {word for line in copied for word in line.split()[:-1]}
    assert sources == allowed
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_never_root() -> None:
    """The image's user is a number, the same that compose, Kubernetes and systemd use."""
    assert _instructions("USER") == [f"{UID}:{UID}"] == [SERVICES_USER]
    sysusers = (DEPLOY / "systemd/trailkeeper.sysusers").read_text(encoding="utf-8")
    assert f"u trailkeeper {UID} " in sysusers


def test_pinned_by_hash() -> None:
    """Only packages whose hashes are pinned get in, and the source is built without a registry."""
    installs = re.findall(r"pip install ([^&\n]*)", TEXT)
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert len(installs) == 2
    assert "ADD " not in TEXT


def test_base_is_an_argument() -> None:
    """Both stages start from the one base that may be chosen, 3.12 unless it is."""
    assert _instructions("ARG") == ["BASE=python:3.12-slim"]
    assert [line.split()[0] for line in _instructions("FROM")] == ["${BASE}", "${BASE}"]


def test_health_command_fits() -> None:
    """The image's own check names a role that the module knows."""
    command = json.loads(re.findall(r"HEALTHCHECK .*?CMD (\[.*\])", " ".join(LINES))[0])
    assert command == ["python", "-m", "worker.health", Role.PULL.value]
