"""The Celery app of beat: `celery -A beat.app beat`.

Ticks count from its start, so every one is also sent once when it starts: a service that was down
over the hour does not wait for the next one.
"""

from __future__ import annotations

from celery import Celery
from celery.signals import setup_logging

from trailkeeper import logs
from trailkeeper.settings import find_folder, load

app = Celery("trailkeeper-beat")
app.config_from_object("beat.config")


@setup_logging.connect
def _logging(**_: object) -> None:
    logs.configure(load(find_folder()).service.log_level)
