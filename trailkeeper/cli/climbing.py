"""`tenants check`: one tenant's ladder, rung by rung, for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import Console

    from trailkeeper.bootstrap import World
    from trailkeeper.model.stream import Source
    from trailkeeper.ports.source import Rung


def climb(world: World, screen: Console, tenant: str, source: Source, as_json: bool) -> Exit:
    """Print each rung: PERSON when one fails, OTHER when the provider could not be asked."""
    rungs: list[Rung] = []
    if not as_json:
        screen.print(f"{tenant} {source.value}", style="bold")
    climbing = _rungs(world, tenant, source)
    waits_for = _waits_for(world, tenant, source)
    if not sys.stderr.isatty():
        output.note(f"{tenant} {source.value}: {waits_for}")
    while rung := _next(climbing, f"{tenant} {source.value}", waits_for):
        rungs.append(rung)
        if not as_json:
            _print_rung(screen, rung)
    if as_json:
        output.json_line({"tenant": tenant, "source": source.value, **_ladder_json(rungs)})
    if any(rung.passed is False for rung in rungs):
        return Exit.PERSON
    return Exit.OTHER if _is_stuck(rungs) else Exit.DONE


def _next(climbing: Iterator[Rung], title: str, waits_for: str) -> Rung | None:
    """The next rung; on a terminal a line says meanwhile what is waited for, and for how long."""
    if not sys.stderr.isatty():
        return next(climbing, None)
    with output.progress(title) as shown:
        shown(0, 0, waits_for)
        return next(climbing, None)


def _waits_for(world: World, tenant: str, source: Source) -> str:
    from trailkeeper.model.stream import Source

    cloud = world.settings.cloud(world.settings.tenants[tenant])
    api = {Source.EXCHANGE: cloud.exchange, Source.ACTIVITY: cloud.management}
    return f"asking {cloud.login} and {api.get(source, cloud.graph)}, a minute or two at most …"


def _is_stuck(rungs: Sequence[Rung]) -> bool:
    """The last rung is unknown and says what to do: the provider could not be asked."""
    return bool(rungs) and rungs[-1].passed is None and bool(rungs[-1].remedy)


def _rungs(world: World, tenant: str, source: Source) -> Iterator[Rung]:
    from trailkeeper.errors import ConfigurationError
    from trailkeeper.ports.source import Rung

    try:
        world.tenant(tenant)  # Microsoft is asked nothing for a name that is another directory's
    except ConfigurationError as error:
        yield Rung("records", False, error.summary, error.remedy)
        return
    reader = world.sources.get(source)
    if reader is None:
        yield Rung("reader", None, f"this version has no reader for {source.value} yet")
        return
    yield from reader.check(tenant)


def _ladder_json(rungs: Sequence[Rung]) -> dict[str, Any]:
    failed = next((rung for rung in rungs if rung.passed is False), None)
    return {
        "passed": False if failed else None if any(r.passed is None for r in rungs) else True,
        "first_failing": failed.name if failed else None,
        "remedy": failed.remedy if failed else "",
        "rungs": [
            {"name": r.name, "passed": r.passed, "detail": r.detail, "remedy": r.remedy}
            for r in rungs
        ],
    }


def _print_rung(screen: Console, rung: Rung) -> None:
    from trailkeeper.cli.doctor import mark

    mark(screen, rung.passed, rung.name, rung.detail, rung.remedy)
