"""Putting records into a tenant's log: generated, loaded, or sent over the control endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from sandbox import loader, rhythm
from sandbox.clock import MICROSECOND
from sandbox.generator import GeneratedSource, arrivals
from sandbox.store import KeptSource
from sandbox.templates import KINDS
from sandbox.tenants import Tenant


def generate(
    tenant: Tenant,
    seed: str,
    start: int,
    end: int,
    rate: float,
    shape: str = "office",
    arrival: str = "instant",
) -> int:
    """Records of [start, end) at `rate` a weekday; how many."""
    timeline = rhythm.Week(seed, rate, shape).fill(start, end)
    return _add(tenant, seed, timeline, arrival)


def crowd(
    tenant: Tenant,
    seed: str,
    start: int,
    seconds: int,
    count: int,
    operation: str = "",
    arrival: str = "instant",
) -> int:
    """D8: `count` records within `seconds`, all of one operation or people's mix."""
    names = [kind.operation for kind in KINDS]
    if operation and operation not in names:
        raise ValueError(f"no operation {operation!r}; there are: {', '.join(names)}")
    kind = names.index(operation) if operation else None
    return _add(tenant, seed, rhythm.burst(seed, start, seconds, count, kind), arrival)


def _add(tenant: Tenant, seed: str, timeline: rhythm.Timeline, arrival: str) -> int:
    # The count so far keeps two additions with one seed from making the same records.
    word = f"{seed}/{tenant.tenant_id}/{len(tenant.store)}"
    source = GeneratedSource(word, tenant.tenant_id, tenant.domain, timeline)
    times = [second * MICROSECOND for second in timeline.seconds]
    return len(tenant.store.add(source, times, arrivals(times, arrival, word)))


def load(
    tenant: Tenant, paths: Iterable[Path], start: int, end: int, keep_times: bool, arrival: str
) -> int:
    """Real records from files, shifted together into [start, end) unless `keep_times`."""
    found = [record for path in paths for record in loader.read(path)]
    return _keep(tenant, loader.placed(found, start, end, keep_times), arrival)


def take(tenant: Tenant, lines: list[str], arrival: str, now: int) -> int:
    """Lines as they are; what has no readable time of its own occurs now."""
    found = [loader.record(line) for line in lines]
    return _keep(tenant, loader.placed(found, now, now, keep_times=True), arrival)


def _keep(tenant: Tenant, found: list[loader.Record], arrival: str) -> int:
    times = [record.time or 0 for record in found]
    source = KeptSource([loader.kept(record) for record in found])
    due = arrivals(times, arrival, tenant.tenant_id)
    return len(tenant.store.add(source, times, due))


def hold_back(tenant: Tenant, start: int, end: int, share: float, until: int) -> int:
    """D13: a share of the records of [start, end) has not arrived yet."""
    ids = tenant.store.between(start, end, after_start=False, with_end=False)
    chosen = [i for i in ids if crc32(b"late%d" % i) / 2**32 < share]
    return tenant.store.delay(chosen, until)


def truth(tenant: Tenant, start: int, end: int) -> Iterator[dict[str, Any]]:
    """What a perfect collector would have: every record of [start, end), arrived or not."""
    store = tenant.store
    for i in store.between(start, end, after_start=False, with_end=False):
        yield {"Identity": store.identity(i), "AuditData": store.text(i)}
