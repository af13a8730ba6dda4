"""Two sources of one tenant, each of which misses records: what is stored, counted and shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox import Sandbox
from tests.e2e.running import trailkeeper
from tests.e2e.test_feed import (
    DAY,
    HOUR,
    Boxed,
    ShiftedClock,
    boxed,
    configured,
    fill,
    kept,
    opened,
    serve,
)
from trailkeeper.bootstrap import World
from trailkeeper.model.coverage import Coverage
from trailkeeper.model.report import Month
from trailkeeper.model.stream import Source

__all__ = ["boxed"]  # a fixture


def ids(texts: Any) -> set[str]:
    return {json.loads(text)["Id"] for text in texts}


def missed_by_the_search(box: Sandbox) -> set[str]:
    return set(box.control.report(ids=10_000)["tenants"]["contoso"]["never_ids"])


def occurred(box: Sandbox) -> dict[str, datetime]:
    records = (json.loads(r["AuditData"]) for r in box.control.records("contoso"))
    return {
        fields["Id"]: datetime.fromisoformat(fields["CreationTime"]).replace(tzinfo=UTC)
        for fields in records
    }


def measured(world: World, start: datetime) -> dict[Source, Coverage]:
    tenant, now = world.settings.tenant("contoso"), world.clock.now()
    stated = world.cover.measured(world.cover.of_tenant(tenant, now, (start, now)))
    return {coverage.stream.source: coverage for coverage in stated}


def test_a_miss_in_one_is_repaired_from_the_other_and_counted(boxed: Boxed, tmp_path: Path) -> None:
    """Neither source has everything, the lake has; in settled hours the misses are counted exactly,
    what is still on its way is no miss, and days once final stay as they are."""
    with boxed() as box:
        box.control.alter("contoso", unlisted_share=0.15, unsearched_share=0.1)
        now = datetime.now(UTC)
        since = (now - 3 * DAY).replace(minute=0, second=0, microsecond=0)
        fill(box, "contoso", 600, 3 * DAY - HOUR, HOUR)
        sources = ["exchange", "activity"]
        folder = configured(tmp_path, box, sources=sources, since=since.isoformat())
        clock = ShiftedClock()
        with opened(folder, clock) as world:
            tenant = world.settings.tenant("contoso")
            serve(world, "contoso")
            truth, listed = (
                occurred(box),
                ids(r["AuditData"] for r in box.control.feed_truth("contoso")),
            )
            unsearched = missed_by_the_search(box)
            assert unsearched
            assert set(truth) - listed
            assert ids(kept(world, "contoso")) == (set(truth) - unsearched) | listed
            world.match(tenant)
            found = measured(world, since)[Source.EXCHANGE].match
            assert found is not None
            assert 40 <= found.hours <= 49  # of 72: the last day has not settled
            stored = (set(truth) - unsearched) | listed
            settled = {i for i in stored if truth[i] < since + found.hours * HOUR}
            assert found.total == len(settled)
            assert found.missed_by(Source.ACTIVITY) == len(settled - listed) > 0
            assert found.missed_by(Source.EXCHANGE) == len(settled & unsearched) > 0
            # Days later every hour has settled, and in the end nothing of it changes any more.
            for days in (2, 14, 16):
                clock.ahead = days * DAY
                seconds = clock.ahead.total_seconds()
                box.control.set_clock(events_offset=seconds, identity_offset=seconds)
                serve(world, "contoso")
                world.match.then_forget(tenant)
                found = measured(world, since)[Source.ACTIVITY].match
                assert found is not None
                assert found.total == len(stored)
                assert found.missed_by(Source.ACTIVITY) == len(stored - listed)
                assert found.missed_by(Source.EXCHANGE) == len(stored & unsearched)


def test_coverage_and_report_show_it(boxed: Boxed, tmp_path: Path) -> None:
    """`coverage` states each source's misses in words and in JSON, the report in a table."""
    with boxed() as box:
        box.control.alter("contoso", unlisted_share=0.2)
        since = (datetime.now(UTC) - 4 * DAY).replace(minute=0, second=0, microsecond=0)
        fill(box, "contoso", 300, 4 * DAY - HOUR, HOUR)
        sources = ["exchange", "activity"]
        folder = configured(tmp_path, box, sources=sources, since=since.isoformat())
        with opened(folder) as world:
            serve(world, "contoso")
        said = trailkeeper(folder, "coverage", "--tenant", "contoso", "--json", ends=None).stdout
        by_source = {each["source"]: each for each in map(json.loads, said.splitlines())}
        feed, search = by_source["activity"]["matched"], by_source["exchange"]["matched"]
        assert feed["records"] == search["records"] > 100
        assert feed["missed"] == feed["repaired"] > 0 == search["missed"]
        assert sum(each["missed"] for each in feed["workloads"]) == feed["missed"]
        words = trailkeeper(folder, "coverage", "--tenant", "contoso", ends=None).stdout
        assert f"missed {feed['missed']:,} of {feed['records']:,}" in " ".join(words.split())
        with opened(folder) as world:
            month = Month.of(since, world.settings.tenant("contoso").zone)
            rendered = world.report.render(world.settings.tenant("contoso"), month, tmp_path / "r")
        assert "What each source missed" in rendered.text
        assert "came from the other, and are in this report" in " ".join(rendered.text.split())
