"""The Celery app of beat: `celery -A beat.app beat`.

Beat's schedule counts from its start, so every tick is also sent once when it starts: a service
that was down over the hour does not wait for the next one.
"""

from __future__ import annotations

from celery import Celery
from celery.signals import beat_init, setup_logging

from beat.ticks import TICKS
from trailkeeper import logs
from trailkeeper.settings import find_folder, load

app = Celery("trailkeeper-beat")
app.config_from_object("beat.config")


@setup_logging.connect
def _logging(**_: object) -> None:
    logs.configure(load(find_folder()).service.log_level)


@beat_init.connect
def _first_ticks(**_: object) -> None:
    for tick in TICKS:
        app.send_task(tick.task.value, queue=tick.queue.value, expires=tick.every.total_seconds())
