"""`trailkeeper report`: one tenant's month, rendered into a folder and sent when asked to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import ConfigOption, JsonOption, TenantOption, VerboseOption, opened

if TYPE_CHECKING:
    from trailkeeper.bootstrap import World
    from trailkeeper.model.coverage import Coverage
    from trailkeeper.model.report import Month, Queued
    from trailkeeper.settings import TenantSettings

_SendOption = Annotated[
    bool, typer.Option("--send", help="Put it into the outbox and deliver it now, once.")
]
_AgainOption = Annotated[
    bool, typer.Option("--again", help="With --send: although it was sent already.")
]
_FolderOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="DIR",
        help="Where to. Default: reports/TENANT/MONTH under the data folder.",
        show_default=False,
    ),
]


def report(
    tenant: TenantOption,
    month: Annotated[
        str, typer.Option("--month", metavar="YYYY-MM", help="In the tenant's time zone.")
    ],
    send: _SendOption = False,
    again: _AgainOption = False,
    folder: _FolderOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> int:
    """Render one tenant's month as it stands now: HTML, text, chart and zipped CSV.

    Prints the paths of what was written. Exits with 10 when the month's coverage is incomplete;
    the gaps are printed, and they stand in the report as well.

    Examples:

      trailkeeper report --tenant contoso --month 2026-10

      trailkeeper report --tenant contoso --month 2026-10 --send

      trailkeeper report --tenant contoso --month 2026-10 --send --again
    """
    from trailkeeper.model.coverage import proves

    with opened(config, verbose) as world:
        chosen, asked = _asked(world, tenant, month, send, again, folder)
        outcome = (
            _send(world, chosen, asked, again) if send else _render(world, chosen, asked, folder)
        )
        coverages = world.report.coverage(chosen, asked.window(chosen.zone))
        complete = proves(coverages)
        if as_json:
            summary = {"tenant": tenant, "month": str(asked), "complete": complete}
            output.json_line({**summary, **outcome, "coverage": [c.as_json() for c in coverages]})
        else:
            for path in _listed(outcome["files"]):
                output.line(path)
            _tell_gaps(asked, coverages)
    return Exit.DONE if complete else Exit.INCOMPLETE


def _asked(
    world: World, name: str, month: str, send: bool, again: bool, folder: Path | None
) -> tuple[TenantSettings, Month]:
    """Everything that can be refused is refused before anything is rendered."""
    from trailkeeper.cli import ranges
    from trailkeeper.errors import ConfigurationError, UsageError

    tenant, asked = world.settings.tenant(name), ranges.month(month)
    if asked.window(tenant.zone).start >= world.clock.now():
        raise UsageError(f"{asked} has not begun yet", "Name a month that has begun, as YYYY-MM.")
    if again and not send:
        raise UsageError("--again needs --send", "Add it, or leave --again out.")
    if send and folder:
        raise UsageError(
            "--output and --send do not go together", "What is sent lies under the data folder."
        )
    if send and not tenant.report.to:
        raise ConfigurationError(
            f"{world.settings.folder}/tenants/{name}.toml names no recipient",
            'Add [report] with to = ["…"].',
        )
    if send:
        _ = world.mailer  # raises when mail is not configured
    return world.tenant(name), asked


def _render(
    world: World, tenant: TenantSettings, month: Month, folder: Path | None
) -> dict[str, object]:
    if folder is None:
        _require_writable(world.settings.service.data)
    output.note(f"rendering {month} of {tenant.name} …")
    rendered = world.report.render(tenant, month, folder.resolve() if folder else None)
    return {"folder": rendered.folder, "files": _files(Path(rendered.folder))}


def _require_writable(data: Path) -> None:
    """Raises `UsageError` before anything is read: a copy of the data folder is looked at."""
    from trailkeeper.errors import UsageError

    if data.is_dir() and not os.access(data, os.W_OK):
        raise UsageError(f"{data} cannot be written", "Name a folder for the report with -o DIR.")


def _files(folder: Path) -> list[str]:
    """What lies there; nothing when somebody cleared an old report away."""
    return sorted(str(path) for path in folder.glob("*") if path.is_file())


def _listed(files: object) -> list[str]:
    return files if isinstance(files, list) else []


def _send(world: World, tenant: TenantSettings, month: Month, again: bool) -> dict[str, object]:
    """Put it into the outbox unless it is there, and deliver what is not delivered yet."""
    from trailkeeper.model.report import ReportState

    if again or not world.report.is_there(tenant, month):
        output.note(f"rendering {month} of {tenant.name} …")
    world.report.enqueue(tenant, month, again=again)
    before = world.outbox.newest(tenant.name, month)
    assert before is not None  # noqa: S101 - it has just been put there, or was there before
    if before.state in (ReportState.SENT, ReportState.REFUSED):
        _tell_finished(month, tenant.name, before)
    else:
        # Whoever asks has mended the mail server, say: the wait after a failed try is over.
        world.outbox.hurry(before.outbox_id, world.clock.now())
        world.deliver(before.outbox_id)
    after = world.outbox.newest(tenant.name, month) or before
    _raise_unsent(world, after)
    if after.state is ReportState.SENT and before.state is not ReportState.SENT:
        output.note(f"sent to {', '.join(after.recipients)}.")
    files = _files(Path(after.folder))
    return {
        "folder": after.folder,
        "files": files,
        "state": after.state.value,
        "recipients": list(after.recipients),
    }


def _tell_finished(month: Month, tenant: str, queued: Queued) -> None:
    from trailkeeper.model.window import iso

    when = f" at {iso(queued.finished_at.replace(microsecond=0))}" if queued.finished_at else ""
    output.note(
        f"the report of {month} for {tenant} was {queued.state.value} already{when}; "
        "add --again to send it once more."
    )


def _raise_unsent(world: World, queued: Queued) -> None:
    from trailkeeper.errors import DeliveryRefused, Unavailable
    from trailkeeper.model.report import ReportState

    if queued.state is ReportState.REFUSED:
        raise DeliveryRefused(
            f"the mail server refused the report: {queued.error}",
            "Correct the recipients or the sender, then use --send --again.",
        )
    if queued.state is not ReportState.SENT:
        why = queued.error or "another process is sending it at this moment"
        raise Unavailable(
            f"the report is in the outbox but not sent yet: {why}",
            "The service tries again by itself; `trailkeeper doctor` looks at the mail server.",
        )


def _tell_gaps(month: Month, coverages: Sequence[Coverage]) -> None:
    """On standard error: standard output holds the paths."""
    from trailkeeper.cli.coverage import between

    if not coverages:
        output.note(f"{month}: nothing was ever collected.")
    for coverage in coverages:
        for word, stretches in (("suspect", coverage.suspect), ("gap", coverage.gaps)):
            for stretch in stretches:
                source = coverage.stream.source.value
                said = "lost" if stretch.lost else word
                output.note(f"{said}: {source} {between(stretch.window)}  {stretch.reason}")
