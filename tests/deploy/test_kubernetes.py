"""The Kubernetes base: what it refers to exists, and the strictest profile admits it."""

from __future__ import annotations

import pytest
import yaml

from tests.deploy.deployment import (
    ALL_QUEUES,
    DEPLOY,
    PARTS,
    SERVICES_USER,
    WORKERS,
    Tree,
    celery_words,
    compose,
    consumed,
    manifests,
    pods,
)
from trailkeeper.settings import load
from worker.health import Role

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
SCRIPTS = yaml.safe_load((DEPLOY / "redis/kustomization.yaml").read_text(encoding="utf-8"))
PODS = pods()
SECRETS: dict[str, Tree] = {
    tree["metadata"]["name"]: tree["stringData"]
    for tree in yaml.safe_load_all((FOLDER / "secret.example.yaml").read_text(encoding="utf-8"))
}


def _container(name: str) -> Tree:
    (container,) = PODS[name]["containers"]
    return dict(container)


def test_listed_files_exist() -> None:
    """Everything that the kustomizations name is there, and no manifest is left out."""
    assert [name for name in KUSTOMIZATION["resources"] if not (FOLDER / name).exists()] == []
    generated = [file for g in KUSTOMIZATION["configMapGenerator"] for file in g["files"]]
    assert [name for name in generated if not (FOLDER / name).is_file()] == []
    scripts = SCRIPTS["configMapGenerator"][0]["files"]
    assert [name for name in scripts if not (DEPLOY / "redis" / name).is_file()] == []
    here = {path.name for path in FOLDER.glob("*.yaml")}
    left_out = here - set(KUSTOMIZATION["resources"]) - {"kustomization.yaml"}
    assert left_out == {"secret.example.yaml"}


def test_queues_consumed() -> None:
    """Every queue is consumed by exactly one deployment."""
    assert consumed([_container(name)["command"] for name in WORKERS]) == ALL_QUEUES


def test_same_commands_as_compose() -> None:
    """Both ways of running start each part with the same words."""
    services = compose()["services"]
    for name in PARTS:
        ours, theirs = _container(name)["command"], services[name]["command"]
        assert celery_words(ours) == celery_words(theirs)


@pytest.mark.parametrize("name", sorted(PODS))
def test_references_exist(name: str) -> None:
    """Each mount has its volume, each volume its claim, secret or ConfigMap, each key its value."""
    pod, container = PODS[name], _container(name)
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    claimed = {"data"} if name == "redis" else set()
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes) | claimed
    maps = {
        g["name"] for g in (*KUSTOMIZATION["configMapGenerator"], *SCRIPTS["configMapGenerator"])
    }
    claims = {t["metadata"]["name"] for t in manifests() if t["kind"] == "PersistentVolumeClaim"}
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] in maps
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in claims
        if "secret" in volume:
            held = SECRETS[volume["secret"]["secretName"]]
            assert {item["key"] for item in volume["secret"].get("items", ())} <= set(held)


def test_secrets_as_in_compose() -> None:
    """Kubernetes and compose hold the same secrets under the same names."""
    assert set(SECRETS["trailkeeper-secrets"]) == set(compose()["secrets"])
    assert all(
        str(value).startswith("REPLACE") for held in SECRETS.values() for value in held.values()
    )


@pytest.mark.parametrize("name", sorted(PODS))
def test_locked_in(name: str) -> None:
    """Every pod obeys the restricted profile, has a read-only root and a bound on its memory."""
    pod, container = PODS[name], _container(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    if name in PARTS:
        user = pod["securityContext"]
        assert f"{user['runAsUser']}:{user['runAsGroup']}" == SERVICES_USER
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", sorted(PARTS))
def test_probes(name: str) -> None:
    """Each part is asked by its own role, five times before it is given up."""
    container = _container(name)
    for probe in (container["startupProbe"], container["livenessProbe"]):
        assert probe["exec"]["command"] == ["python", "-m", "worker.health", Role(name).value]
        assert probe["timeoutSeconds"] >= 20
    assert container["livenessProbe"]["failureThreshold"] >= 5


def test_beat_is_single_and_on_disk() -> None:
    """One clock, never two during a roll-out, with its schedule on a disk and not in memory."""
    (beat,) = [
        t for t in manifests() if t["kind"] == "Deployment" and t["metadata"]["name"] == "beat"
    ]
    assert beat["spec"]["replicas"] == 1
    assert beat["spec"]["strategy"] == {"type": "Recreate"}
    (data,) = [v for v in PODS["beat"]["volumes"] if v["name"] == "data"]
    assert "medium" not in data["emptyDir"]


def test_selectors_match() -> None:
    """Services, budgets and policies select pods that exist."""
    labels = {
        tuple(sorted(tree["spec"]["template"]["metadata"]["labels"].items()))
        for tree in manifests()
        if tree["kind"] in ("Deployment", "StatefulSet")
    }
    for tree in manifests():
        spec = tree.get("spec", {})
        wanted = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }.get(tree["kind"])
        if wanted:
            assert any(wanted.items() <= dict(held).items() for held in labels), tree["kind"]


def test_configuration_loads() -> None:
    """The base's configuration is one that the program accepts, PostgreSQL included."""
    settings = load(FOLDER / "config")
    assert settings.service.ledger.startswith("postgresql+psycopg://")
    assert settings.service.redis == "redis://redis:6379/0"
    held = {f"file:/run/secrets/{name}" for name in SECRETS["trailkeeper-secrets"]}
    assert settings.service.ledger_password in held
    example = (DEPLOY / "trailkeeper.d.example/tenants/contoso.toml").read_bytes()
    assert (FOLDER / "config/contoso.toml").read_bytes() == example
