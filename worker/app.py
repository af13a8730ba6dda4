"""The Celery app of the workers: `celery -A worker.app worker -Q pull`."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import (
    heartbeat_sent,
    setup_logging,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
)

from trailkeeper import logs
from trailkeeper.process.garbage import collect_seldom
from trailkeeper.process.leash import die_with_parent
from trailkeeper.process.memory import forbid_core_files
from worker import world
from worker.drops import dropped

app = Celery("trailkeeper", include=["worker.tasks"])
app.config_from_object("worker.config")


@setup_logging.connect
def _logging(**_: object) -> None:
    """Being connected keeps Celery from installing handlers of its own."""
    logs.configure(world.settings().service.log_level)


@worker_init.connect
def _begin(sender: Any = None, **_: object) -> None:
    """Before the fork, so that no child is ever without it."""
    forbid_core_files()
    world.begin(int(getattr(sender, "concurrency", 0) or 0))
    folder = world.settings().service.data / "metrics"
    dropped.begin(str(getattr(sender, "hostname", "")), folder)


@heartbeat_sent.connect
def _say(**_: object) -> None:
    """What the end of a flood left unsaid."""
    dropped.say()


@worker_process_init.connect
def _open(**_: object) -> None:
    """After the fork: nothing of the parent's connections may be used in a child."""
    # A killed master would leave its children waiting for work that nobody sends.
    die_with_parent()
    forbid_core_files()
    world.open_world()
    collect_seldom()


@worker_process_shutdown.connect
def _close(**_: object) -> None:
    world.close_world()
