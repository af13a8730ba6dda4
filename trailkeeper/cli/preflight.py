"""`tenants check`: one tenant's preflight checks, for people and for programs."""

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
    from trailkeeper.ports.source import Check


def run_checks(world: World, screen: Console, tenant: str, source: Source, as_json: bool) -> Exit:
    """Print each check: PERSON when one fails, OTHER when the provider could not be asked."""
    checks: list[Check] = []
    if not as_json:
        screen.print(f"{tenant} {source.value}", style="bold")
    running = _checks(world, tenant, source)
    waits_for = _waits_for(world, tenant, source)
    if not sys.stderr.isatty():
        output.note(f"{tenant} {source.value}: {waits_for}")
    while check := _next(running, f"{tenant} {source.value}", waits_for):
        checks.append(check)
        if not as_json:
            _print_check(screen, check)
    if as_json:
        output.json_line({"tenant": tenant, "source": source.value, **_preflight_json(checks)})
    if any(check.passed is False for check in checks):
        return Exit.PERSON
    return Exit.OTHER if _is_stuck(checks) else Exit.DONE


def _next(running: Iterator[Check], title: str, waits_for: str) -> Check | None:
    """The next check; on a terminal a line says meanwhile what is waited for, and for how long."""
    if not sys.stderr.isatty():
        return next(running, None)
    with output.progress(title) as shown:
        shown(0, 0, waits_for)
        return next(running, None)


def _waits_for(world: World, tenant: str, source: Source) -> str:
    from trailkeeper.model.stream import Source

    cloud = world.settings.cloud(world.settings.tenants[tenant])
    api = {Source.EXCHANGE: cloud.exchange, Source.ACTIVITY: cloud.management}
    return f"asking {cloud.login} and {api.get(source, cloud.graph)}, a minute or two at most …"


def _is_stuck(checks: Sequence[Check]) -> bool:
    """The last check is unknown and says what to do: the provider could not be asked."""
    return bool(checks) and checks[-1].passed is None and bool(checks[-1].remedy)


def _checks(world: World, tenant: str, source: Source) -> Iterator[Check]:
    from trailkeeper.errors import ConfigurationError
    from trailkeeper.ports.source import Check

    try:
        world.tenant(tenant)  # Microsoft is asked nothing for a name that is another directory's
    except ConfigurationError as error:
        yield Check("records", False, error.summary, error.remedy)
        return
    reader = world.sources.get(source)
    if reader is None:
        yield Check("reader", None, f"this version has no reader for {source.value} yet")
        return
    yield from reader.check(tenant)


def _preflight_json(checks: Sequence[Check]) -> dict[str, Any]:
    failed = next((check for check in checks if check.passed is False), None)
    return {
        "passed": False if failed else None if any(r.passed is None for r in checks) else True,
        "first_failing": failed.name if failed else None,
        "remedy": failed.remedy if failed else "",
        "checks": [
            {"name": r.name, "passed": r.passed, "detail": r.detail, "remedy": r.remedy}
            for r in checks
        ],
    }


def _print_check(screen: Console, check: Check) -> None:
    from trailkeeper.cli.doctor import mark

    mark(screen, check.passed, check.name, check.detail, check.remedy)
