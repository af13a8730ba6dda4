"""`trailkeeper coverage`, and how coverage is shown wherever a command ends with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit, each_on_its_own
from trailkeeper.cli.options import (
    FROM_HELP,
    ConfigOption,
    EndOption,
    JsonOption,
    VerboseOption,
    opened,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from trailkeeper.bootstrap import World
    from trailkeeper.model.coverage import Coverage, Stretch
    from trailkeeper.model.feed.lag import ContentLag
    from trailkeeper.model.measures.match import Match
    from trailkeeper.model.stream import Source
    from trailkeeper.model.window import Window

_BAR = 20


def coverage(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="One tenant; default: all.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help=FROM_HELP, show_default=False)
    ] = None,
    end: EndOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> int:
    """What is proven collected, what is suspect, what is missing, per tenant and source.

    Without --from: everything that should have been collected by now. That leaves out what was
    lost from the first and lies before `since`, or apart from all the rest. Received and stored
    records are those of all segments that touch the range, whole. Exits with 10 when something is
    suspect or missing.

    Examples:

      trailkeeper coverage

      trailkeeper coverage --tenant contoso --from 2026-10-01 --to 2026-11-01 --json
    """
    with opened(config, verbose) as world:
        asked = _asked(start, end, world.clock.now())
        settings = world.settings
        chosen = [settings.tenant(tenant).name] if tenant else list(settings.tenants)
        if not chosen:
            output.note(f"no tenant is configured yet: write {settings.folder}/tenants/NAME.toml.")
        codes = [
            each_on_its_own(lambda name=name: _of_tenant(world, name, asked, as_json))  # type: ignore[misc]  # bound early
            for name in chosen
        ]
    return max(codes, default=Exit.DONE)


def _asked(start: str | None, end: str | None, now: datetime) -> tuple[datetime, datetime] | None:
    from trailkeeper.cli.ranges import instant, ordered
    from trailkeeper.errors import UsageError

    if start is None and end is None:
        return None
    if start is None:
        raise UsageError("--to needs --from", "Name the beginning of the range as well.")
    return ordered(instant("--from", start), instant("--to", end) if end else now)


def _of_tenant(
    world: World, name: str, asked: tuple[datetime, datetime] | None, as_json: bool
) -> int:
    tenant = world.tenant(name)
    world.lake.require(tenant.name)  # proof of what was stored is worth nothing without it
    world.match(tenant)
    stated = world.cover.of_tenant(tenant, world.clock.now(), asked)
    if len(stated) < len(tenant.sources):
        known = {coverage.stream.source for coverage in stated}
        unknown = ", ".join(s.value for s in tenant.sources if s not in known)
        output.note(
            f"{tenant.name}: nothing was ever planned for {unknown}. "
            f"Start the service, or run `trailkeeper collect --tenant {tenant.name} --from …`."
        )
    shown = show(world.cover.measured(stated), as_json)
    if asked is None:
        _name_earlier(world, stated)
    return shown if len(stated) == len(tenant.sources) else Exit.INCOMPLETE


def _name_earlier(world: World, stated: Sequence[Coverage]) -> None:
    """What was asked for and does not count here is never left out without a word."""
    for each in stated:
        whole = world.ledger.extent(each.stream)
        if whole and whole.start < each.range.start:
            tenant, source = each.stream.tenant, each.stream.source.value
            output.note(
                f"{tenant} {source}: what was asked for before {_short(each.range.start)} is left "
                f"out; `trailkeeper coverage --tenant {tenant} --from {_short(whole.start)}` "
                "names it."
            )


def show(coverages: Sequence[Coverage], as_json: bool) -> Exit:
    """Print coverage to standard output; INCOMPLETE when anything is suspect or missing."""
    screen = output.console()
    for each in coverages:
        if as_json:
            output.json_line(each.as_json())
        else:
            _print(screen, each)
    complete = all(each.is_complete for each in coverages)
    return Exit.DONE if complete else Exit.INCOMPLETE


def _print(screen: Console, coverage: Coverage) -> None:
    from trailkeeper.model.window import iso

    screen.print(_headline(screen, coverage))
    if coverage.provisional_from:
        since = iso(coverage.provisional_from)
        screen.print(f"  provisional from {since}: late records may still come", style="dim")
    for stretch in coverage.suspect:
        screen.print(_missing("suspect", "yellow", stretch))
    for stretch in coverage.gaps:
        screen.print(_missing("lost" if stretch.lost else "gap", "red", stretch))
    for lag in coverage.lags:
        screen.print(_lag(lag), style="dim")
    if coverage.match:
        screen.print(_matched(coverage.match, coverage.stream.source), style="dim")


def _matched(match: Match, source: Source) -> str:
    """What this source missed of what it and another one should both have brought."""
    from trailkeeper.model.measures.match import rate
    from trailkeeper.model.measures.spread import rough

    others = " and ".join(sorted(other.value for other in match.missed if other is not source))
    missed, total = match.missed_by(source), match.total
    text = f"  matched {match.hours:,} h with {others}: missed {missed:,} of {total:,} records"
    text += f" ({rate(missed, total)}), all repaired" if missed else ""
    if spread := match.lags.get(source):
        seen = [rough(spread.quantile(share)) for share in (0.5, 0.95)]
        text += f"; seen {seen[0]} after they happened (p95 {seen[1]})"
    return text


def _lag(lag: ContentLag) -> str:
    """Of each half of the way the median and what 19 in 20 do not exceed."""
    from trailkeeper.model.measures.spread import rough

    theirs = [rough(lag.theirs.quantile(share)) for share in (0.5, 0.95)]
    text = (
        f"  lag     {lag.content_type}  available {theirs[0]} after it happened (p95 {theirs[1]})"
    )
    if lag.ours.total:
        ours = [rough(lag.ours.quantile(share)) for share in (0.5, 0.95)]
        text += f", stored {ours[0]} later (p95 {ours[1]})"
    return text


def _headline(screen: Console, coverage: Coverage) -> Text:
    from rich.text import Text

    share = coverage.complete_time / coverage.range.duration
    colour = "green" if coverage.is_complete else "red" if coverage.gaps else "yellow"
    text = Text(f"{coverage.stream.tenant} {coverage.stream.source.value}  ", style="bold")
    if screen.is_terminal:
        full = int(share * _BAR)
        text.append("█" * full + "░" * (_BAR - full) + " ", style=colour)
    # Never rounded up: 100 % is said only of what is complete.
    text.append(f"{int(share * 1000) / 10:g} %", style=colour)
    counts = coverage.counts
    text.append(
        f"  {between(coverage.range)}  {counts.received:,} received, {counts.stored:,} stored, "
        f"{counts.duplicates:,} duplicates, {counts.conflicts:,} conflicts",
        style="default not bold",
    )
    return text


def between(window: Window) -> str:
    """`2026-10-01 .. 2026-11-01`, with times where they are not midnight UTC."""
    return f"{_short(window.start)} .. {_short(window.end)}"


def _short(moment: datetime) -> str:
    from trailkeeper.model.window import iso

    return iso(moment.replace(microsecond=0)).removesuffix("T00:00:00Z")


def _missing(word: str, colour: str, stretch: Stretch) -> Text:
    from rich.text import Text

    return Text(f"  {word:<7} ", style=colour).append(
        f"{between(stretch.window)}  {stretch.reason}", style="default"
    )
