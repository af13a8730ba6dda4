"""docker-compose.yml: what it refers to exists, and what it starts fits together."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.deployment import (
    ALL_QUEUES,
    DEPLOY,
    PARTS,
    ROOT,
    WORKERS,
    Tree,
    celery_words,
    compose,
    consumed,
    substituted,
)
from trailkeeper.settings import load
from worker.health import Role

FILE = compose()
SERVICES: dict[str, Tree] = FILE["services"]
EXAMPLE = DEPLOY / "trailkeeper.d.example"


def test_queues_consumed() -> None:
    """Every queue is consumed by exactly one service, so that only the keeper merges."""
    assert consumed([SERVICES[name]["command"] for name in WORKERS]) == ALL_QUEUES


def test_one_beat() -> None:
    """Exactly one service is the clock, and it is never scaled."""
    clocks = [
        name for name in PARTS if celery_words(SERVICES[name]["command"])["command"] == "beat"
    ]
    assert clocks == ["beat"]
    assert "deploy" not in SERVICES["beat"]
    assert "scale" not in SERVICES["beat"]


@pytest.mark.parametrize("name", sorted(PARTS))
def test_health_asks_the_right_node(name: str) -> None:
    """Each part's check names a role that exists, and a worker runs under that role's node name."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"] == ["CMD", "python", "-m", "worker.health", name]
    assert Role(name)
    if name != Role.BEAT:
        assert f"{name}@%h" in service["command"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_locked_in(name: str) -> None:
    """Every service runs without root, capabilities or a writable root file system, and bounded."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_references_are_declared(name: str) -> None:
    """Every secret, network, volume and dependency that a service names is declared."""
    service = SERVICES[name]
    assert set(service.get("secrets", ())) <= set(FILE["secrets"])
    assert set(service["networks"]) <= set(FILE["networks"])
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    for volume in service["volumes"]:
        source, target = substituted(volume).split(":")[:2]
        assert target.startswith("/")
        known = (ROOT / source).exists() or source in ("./trailkeeper.d", "./secrets/tenants")
        assert source in FILE["volumes"] or known, source


def test_nothing_is_published() -> None:
    """On one host no port is open, and Redis sits on a network without a way out."""
    assert not [name for name, service in SERVICES.items() if "ports" in service]
    assert SERVICES["redis"]["networks"] == ["inside"]
    assert FILE["networks"]["inside"]["internal"] is True


def test_variables_have_defaults() -> None:
    """The file works without any variable set: each one it reads has a default."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{[^}]*\}", text)) == set(re.findall(r"\$\{\w+:-[^}]*\}", text))


def test_stop_outlives_a_segment() -> None:
    """Workers get ten minutes to end what they hold, and come back after a crash."""
    for name in ("pull", "keep"):
        assert SERVICES[name]["stop_grace_period"] == "10m"
    for name in {*PARTS, "redis"}:
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_example_configuration_fits() -> None:
    """The example loads, and every secret and path in it is mounted in the workers."""
    settings = load(EXAMPLE)
    secrets = {f"file:/run/secrets/{name}" for name in FILE["secrets"]}
    service = settings.service
    named = {service.redis_password, service.token_key, service.token_key_previous}
    assert named <= secrets
    for name in (*WORKERS, "cli"):
        assert {f"file:/run/secrets/{held}" for held in SERVICES[name]["secrets"]} >= named
        targets = {substituted(volume).split(":")[1] for volume in SERVICES[name]["volumes"]}
        assert {str(service.data), "/run/tenants", "/etc/trailkeeper"} <= targets
    assert "file:/run/secrets/ledger_password" in secrets
    certificate = settings.tenants["contoso"].certificate
    assert str(certificate.pfx).startswith("/run/tenants/")
    assert str(certificate.password).startswith("file:/run/tenants/")


def test_beat_sees_little() -> None:
    """Beat has the one secret it needs, no way out, and a place of its own for its sign of life."""
    beat = SERVICES["beat"]
    assert beat["secrets"] == ["redis_password", "message_key"]
    assert beat["networks"] == ["inside"]
    assert "beat:/var/lib/trailkeeper" in beat["volumes"]
    assert not any("/var/lib" in mount for mount in beat["tmpfs"])


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the secrets")
def test_secrets_are_made(tmp_path: Path) -> None:
    """The script makes every secret that is declared, closed to others, and replaces none."""
    folder = tmp_path / "secrets"
    command = ["sh", str(DEPLOY / "secrets.example/create.sh"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    subprocess.run(command, check=True, capture_output=True)
    assert set(first) == set(FILE["secrets"])
    assert first == {name: (folder / name).read_bytes() for name in first}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(set(first.values())) == len(first)


def test_secrets_are_described() -> None:
    """The page about the secrets folder has a row for each secret."""
    page = (DEPLOY / "secrets.example/README.md").read_text(encoding="utf-8")
    assert [name for name in FILE["secrets"] if f"| `{name}` |" not in page] == []


def test_override_fits() -> None:
    """The override for several hosts changes only what exists, and refuses to guess an address."""
    override = compose("deploy/compose.several-hosts.yml")
    assert set(override["services"]) <= set(SERVICES)
    assert set(override["volumes"]) <= set(FILE["volumes"])
    for service in override["services"].values():
        assert set(service["networks"]) <= set(FILE["networks"])
        assert all(port.startswith("${PRIVATE_ADDRESS:?") for port in service["ports"])


def test_no_yaml_surprises() -> None:
    """Commands and environment values are text: YAML turns bare yes, on and 1:20 into others."""
    for service in SERVICES.values():
        words = [*service.get("command", ()), *service.get("entrypoint", ())]
        assert all(isinstance(word, str) for word in words)
    assert yaml.safe_load((DEPLOY / "alerts/loki-rules.yaml").read_text("utf-8"))["groups"]
