"""`trailkeeper tenants`: the fleet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import ConfigOption, JsonOption, VerboseOption, opened
from trailkeeper.cli.preflight import run_checks

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from trailkeeper.bootstrap import World
    from trailkeeper.errors import ConfigurationError
    from trailkeeper.model.stream import Stream
    from trailkeeper.ports.parking import Parking
    from trailkeeper.settings import TenantSettings

app = typer.Typer(
    help="The fleet: list, check, pause, resume, remove.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The tenant's configured name.")]
_RECENT = timedelta(days=3)


@app.command("list")
def list_tenants(
    as_json: JsonOption = False, config: ConfigOption = None, verbose: VerboseOption = 0
) -> None:
    """Every configured tenant: its cloud and sources, what stands still, how far it is collected.

    Examples:

      trailkeeper tenants list

      trailkeeper tenants list --json
    """
    with opened(config, verbose) as world:
        refused = world.identify.refused()
        rows = [
            _row(world, tenant, refused.get(tenant.name))
            for tenant in world.settings.tenants.values()
        ]
        if as_json:
            for row in rows:
                output.json_line(row)
        else:
            _print_table(rows)
        if not rows:
            folder = world.settings.folder
            output.note(f"no tenant is configured yet: write {folder}/tenants/NAME.toml.")


def _row(
    world: World, tenant: TenantSettings, refused: ConfigurationError | None
) -> dict[str, Any]:
    from trailkeeper.model.stream import Stream
    from trailkeeper.model.window import iso

    streams = [Stream(tenant.name, source) for source in tenant.sources]
    until = [] if refused else [m for s in streams if (m := _collected_until(world, s))]
    still = [_refused_json(refused)] if refused else []
    still += [_parking_json(parking) for parking in world.ledger.parkings(tenant.name)]
    return {
        "name": tenant.name,
        "tenant_id": str(tenant.tenant_id),
        "domain": tenant.domain,
        "cloud": tenant.cloud,
        "sources": [source.value for source in tenant.sources],
        "standing_still": still,
        "last_collected": iso(max(until)) if until else None,
    }


def _refused_json(error: ConfigurationError) -> dict[str, Any]:
    """What is kept under this name is another directory's: true now, and not since an instant."""
    return {
        "source": None,
        "content_type": None,
        "kind": "refused",
        "since": None,
        "summary": error.summary,
        "remedy": error.remedy,
    }


def _parking_json(parking: Parking) -> dict[str, Any]:
    from trailkeeper.model.window import iso
    from trailkeeper.ports.parking import PAUSED

    return {
        "source": parking.source.value if parking.source else None,
        "content_type": parking.content_type or None,
        "kind": "paused" if parking.code == PAUSED else "parked",
        "since": iso(parking.parked_at),
        "summary": parking.summary,
        "remedy": parking.remedy,
    }


def _collected_until(world: World, stream: Stream) -> datetime | None:
    """The newest instant proven collected: looked for in recent time before in all."""
    from trailkeeper.model.window import Window

    extent = world.ledger.extent(stream)
    if extent is None:
        return None
    recent = Window(max(extent.start, extent.end - _RECENT), extent.end, extent.axis)
    for window in dict.fromkeys((recent, extent)):
        proven = [f.window.end for f in world.ledger.findings(stream, window) if f.verdict.proven]
        if proven:
            return max(proven)
    return None


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    cells = [("TENANT", "CLOUD", "SOURCES", "COLLECTED UNTIL", "STATE")]
    cells += [
        (
            row["name"],
            row["cloud"],
            ",".join(row["sources"]),
            row["last_collected"] or "never",
            _state(row["standing_still"]),
        )
        for row in rows
    ]
    for line in output.aligned(cells):
        output.line(line.rstrip())


def _state(standing_still: Sequence[dict[str, Any]]) -> str:
    if not standing_still:
        return "active"
    first = standing_still[0]
    what = " ".join(filter(None, (first["source"], first["content_type"])))
    where = f" ({what})" if what else ""
    since = f"{first['kind']}{where}"
    since += f" since {first['since'][:16]}Z" if first["since"] else ""
    return f"{since}: {first['summary'].rstrip('.')}. {first['remedy']}"


@app.command()
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One tenant; default: all.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> int:
    """Run the preflight checks of each tenant: certificate, login, consent, role, auditing.

    Prints each check (✓ passed, ✗ failed, ? not known) and the remedy of the first that fails. It
    asks with a fresh token, so a grant made a minute ago counts. Exits with 20 when a check fails,
    1 when a provider could not be asked.

    Examples:

      trailkeeper tenants check

      trailkeeper tenants check contoso --json
    """
    from trailkeeper.cli.checks import partner_missing

    with opened(config, verbose) as world:
        settings = world.settings
        chosen = [settings.tenant(name)] if name else list(settings.tenants.values())
        if not chosen:
            output.note(f"no tenant is configured yet: write {settings.folder}/tenants/NAME.toml.")
        if missing := partner_missing(settings, chosen):
            output.note("warning: " + ". ".join(missing))
        screen = output.console()
        codes = [
            run_checks(world, screen, tenant.name, source, as_json)
            for tenant in chosen
            for source in tenant.sources
        ]
    return max(codes, default=Exit.DONE)


@app.command()
def pause(name: NameArgument, config: ConfigOption = None, verbose: VerboseOption = 0) -> None:
    """Stop collecting a tenant until it is resumed. What is collected stays.

    Example:

      trailkeeper tenants pause contoso
    """
    from trailkeeper.ports.parking import PAUSED, Parking

    with opened(config, verbose) as world:
        tenant = world.settings.tenant(name).name
        remedy = f"Run `trailkeeper tenants resume {tenant}` to go on."
        now = world.clock.now()
        world.ledger.park(Parking(tenant, None, now, PAUSED, "an operator paused it", remedy, None))
    output.note(f"{name} is paused; what is being pulled at this moment is still finished.")


@app.command()
def resume(name: NameArgument, config: ConfigOption = None, verbose: VerboseOption = 0) -> None:
    """Go on collecting a paused or parked tenant; the time in between is caught up.

    Example:

      trailkeeper tenants resume contoso
    """
    with opened(config, verbose) as world:
        tenant = world.settings.tenant(name)
        lifted = world.ledger.unpark(tenant.name)
        world.tokens.drop_all(tenant)  # what was granted meanwhile reaches only new ones
    output.note(f"{name} goes on." if lifted else f"{name} was neither paused nor parked.")


@app.command()
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Forget a tenant: its stored records, its coverage, what waits to be sent. For good.

    That frees the name for another directory. The rendered reports stay, in a folder of another
    name, and so does the tenant's configuration file; delete the file first and restart a running
    service, or it begins the tenant anew.

    Example:

      trailkeeper tenants remove contoso --yes
    """
    with opened(config, verbose) as world:
        _require_known(world, name)
        if not yes:
            _ask(name)
        _remove(world, name)
        _tell_what_stays(world, name)


def _require_known(world: World, name: str) -> None:
    """A tenant whose file is deleted already is known by what the ledger has of it."""
    if not (world.ledger.streams(name) or world.ledger.parkings(name)):
        world.settings.tenant(name)


def _set_aside(reports: Path, now: datetime) -> Path:
    """Whoever gets the name next shall not find them among their own."""
    aside = reports.with_name(f"{reports.name}.removed-{now:%Y%m%dT%H%M%SZ}")
    reports.rename(aside)
    return aside


def _ask(name: str) -> None:
    from trailkeeper.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"removing {name} cannot be undone", "Add --yes if you mean it.")
    typer.confirm(f"Delete all stored records and coverage of {name}, for good?", abort=True)


def _remove(world: World, name: str) -> None:
    """The ledger first: from then on late workers meet `LeaseLost` and add nothing."""
    world.ledger.forget_tenant(name)
    output.note("deleted: coverage, plans and outbox in the ledger")
    world.lake.remove(name)
    output.note("deleted: all stored records in the lake")
    waiting = world.landing.files(name)
    for file in waiting:
        world.landing.remove(name, file)
    output.note(f"deleted: {output.counted(len(waiting), 'landing file')}")
    if name in world.settings.tenants:
        world.tokens.drop_all(world.settings.tenants[name])
        output.note("deleted: its tokens in the cache")


def _tell_what_stays(world: World, name: str) -> None:
    reports = world.reports_folder / name
    if reports.is_dir():
        output.note(f"kept: rendered reports in {_set_aside(reports, world.clock.now())}")
    if name in world.settings.tenants:
        output.note(
            f"kept: {world.settings.folder}/tenants/{name}.toml. Delete it and restart the "
            "service, or the tenant begins anew."
        )
