"""What the deployment files say, parsed: the words that several tests ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

from trailkeeper.messages import Queue

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
WORKERS = ("pull", "plan", "keep")
PARTS = {*WORKERS, "beat"}
UID = 10001

Tree = dict[str, Any]


def compose(path: str = "docker-compose.yml") -> Tree:
    tree: Tree = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return tree


def substituted(text: str) -> str:
    """`text` with ${NAME:-default} replaced by its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def manifests() -> Iterator[Tree]:
    """Every object of the Kubernetes base that the kustomization lists, not the generated ones."""
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text("utf-8"))
    for name in listed["resources"]:
        path = DEPLOY / "kubernetes" / name
        if path.is_file():
            yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def pods() -> dict[str, Tree]:
    """Pod specifications by name of what runs them."""
    return {
        tree["metadata"]["name"]: tree["spec"]["template"]["spec"]
        for tree in manifests()
        if tree["kind"] in ("Deployment", "StatefulSet")
    }


def celery_words(command: list[str]) -> Tree:
    """The options of a celery command line, as Celery's own parser reads them.

    Raises click's `UsageError` for an option that Celery does not know.
    """
    words = [substituted(word) for word in command]
    assert words[:2] == ["celery", "-A"], words
    application, name, *options = words[2:]
    parser = {"worker": worker, "beat": beat}[name]
    context = parser.make_context(
        name, options, obj=CLIContext(app=Celery(), no_color=True, workdir="")
    )
    return {**context.params, "application": application, "command": name}


def consumed(commands: list[list[str]]) -> list[str]:
    """Every queue that some of `commands` consumes, once for each that does."""
    parsed = [celery_words(command) for command in commands]
    return sorted(queue for words in parsed for queue in words.get("queues") or [])


SERVICES_USER = compose()["x-trailkeeper"]["user"]
ALL_QUEUES = sorted(queue.value for queue in Queue)
