"""`trailkeeper up`: the whole service on this machine, until it is told to stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import ConfigOption

if TYPE_CHECKING:
    from trailkeeper.settings import Settings


def up(config: ConfigOption = None) -> int:
    """Run the whole service here: Redis unless one is configured, the workers, and beat.

    Every tenant of the configuration folder is collected from then on, and each month is reported
    when it has ended and settled. A file that is added or changed is read at the next start;
    certificates and secrets are read when they are used. What dies is started again. Ctrl-C or
    SIGTERM stops everything in order; a second one stops at once. Either way nothing is lost: the
    ledger knows what is left.

    Logs go to standard error, one line an event; service.log_level says how many.

    Examples:

      trailkeeper up

      trailkeeper up --config /etc/trailkeeper 2>> trailkeeper.log
    """
    from trailkeeper import logs
    from trailkeeper.process.children import Supervisor
    from trailkeeper.process.stopping import StopRequest
    from trailkeeper.settings import find_folder, load, overlooked
    from trailkeeper.supervisor.service import WORKER_STOP_SECONDS, running_service

    say = output.console().print
    settings = load(find_folder(config))
    logs.configure(settings.service.log_level)
    for text in overlooked(settings.folder):
        output.note(f"warning: {text}")
    if closed := settings.keep_private():
        output.note(
            f"closed to others: {output.counted(closed, 'part')} of {settings.service.data}"
        )
    with (
        StopRequest() as stop,
        Supervisor() as supervisor,
        running_service(settings, supervisor, lambda: stop.asked) as service,
    ):
        for line in _banner(settings, service.redis):
            say(line)
        supervisor.run(lambda: stop.asked, service.watch)
        say(f"stopping; tasks under way get {WORKER_STOP_SECONDS:.0f} seconds …")
        supervisor.stop(lambda: stop.urgent)
    say("stopped")
    return Exit.DONE


def _banner(settings: Settings, redis: str) -> Iterator[str]:
    """What runs, where things lie, how to stop."""
    from trailkeeper.supervisor.service import KEEPING

    tenants, kept = len(settings.tenants), settings.service
    yield f"trailkeeper is up: {tenants} tenant{'' if tenants == 1 else 's'}, {settings.folder}"
    yield f"  redis    {redis}"
    yield f"  workers  {kept.workers} pulling, {KEEPING} keeping, one planning; beat ticks"
    yield f"  data     {kept.data}"
    yield f"  lake     {kept.lake}"
    if not settings.mail:
        yield "  mail     not configured: months are collected, no report is sent"
    if not tenants:
        yield f"  No tenant yet: write {settings.folder}/tenants/NAME.toml, then start again."
    yield "Stop it with Ctrl-C or SIGTERM."
