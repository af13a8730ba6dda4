"""`trailkeeper up`: the whole service on this machine, until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from trailkeeper import logs
from trailkeeper.settings import Settings, find_folder, load
from trailkeeper.supervisor.children import POLL_SECONDS, Supervisor
from trailkeeper.supervisor.service import WORKER_STOP_SECONDS, Service, running_service
from trailkeeper.supervisor.stopping import StopRequest


def up(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="DIR",
            help="Configuration folder. Default: TRAILKEEPER_CONFIG, ./trailkeeper.d, "
            "/etc/trailkeeper.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the whole service here: Redis unless one is configured, the workers, and beat.

    Every tenant of the configuration folder is collected from then on, and each month is reported
    when it has ended and settled. What dies is started again. Ctrl-C or SIGTERM stops everything in
    order; a second one stops at once. Either way nothing is lost: the ledger knows what is left.

    Logs go to standard error, one line an event.

    Examples:

      trailkeeper up

      trailkeeper up --config /etc/trailkeeper 2>> /var/log/trailkeeper.log
    """
    settings = load(find_folder(config))
    logs.configure(settings.service.log_level)
    with (
        StopRequest() as stop,
        Supervisor() as supervisor,
        running_service(settings, supervisor, lambda: stop.asked) as service,
    ):
        for line in _banner(settings, service):
            typer.echo(line)
        _tend(supervisor, stop)
        typer.echo(f"stopping; tasks under way get {WORKER_STOP_SECONDS:.0f} seconds …")
        supervisor.stop(lambda: stop.urgent)
    typer.echo("stopped")


def _tend(supervisor: Supervisor, stop: StopRequest) -> None:
    while not stop.asked:
        supervisor.tend()
        time.sleep(POLL_SECONDS)


def _banner(settings: Settings, service: Service) -> Iterator[str]:
    """What runs, where things lie, how to stop."""
    tenants, kept = len(settings.tenants), settings.service
    yield f"trailkeeper is up: {tenants} tenant{'' if tenants == 1 else 's'}, {settings.folder}"
    yield f"  redis    {service.redis}"
    yield f"  workers  {kept.workers} pulling, 1 keeping; beat ticks every minute"
    yield f"  data     {kept.data}"
    yield f"  lake     {kept.lake}"
    if not settings.mail:
        yield "  mail     not configured: months are collected, no report is sent"
    if not tenants:
        yield f"  No tenant yet: write {settings.folder}/tenants/NAME.toml, then start again."
    yield "Stop it with Ctrl-C or SIGTERM."
