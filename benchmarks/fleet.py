"""Many tenants' feeds: settled in a sandbox, followed by `trailkeeper up`, and measured."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from benchmarks.lab import _PASSWORD, TENANT, Lab
from trailkeeper.bootstrap import World
from trailkeeper.model.feed.blob import percentile
from trailkeeper.settings import load

GRACE = timedelta(minutes=3)
"""how long the service goes on after the measured time: what has not come by then never came"""
NEVER = float("inf")


def settle(found: Lab, names: list[str], workers: int, *, cold: bool = False) -> None:
    """A configuration file a tenant, all with the same certificate.

    Followed from now on; `cold`: from as far back as the feed remembers, as a new tenant is.
    """
    first = found.configuration / "tenants" / f"{TENANT}.toml"
    text = first.read_text("utf-8")
    stored = (found.configuration / "key.pfx").read_bytes()
    certificate = pkcs12.load_pkcs12(stored, _PASSWORD.encode()).cert
    assert certificate is not None
    der = certificate.certificate.public_bytes(Encoding.DER)
    known = found.control.tenant(TENANT)
    since = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")

    def one(name: str) -> None:
        made = found.control.create_tenant(name)
        found.control.register(name, der)
        mine = text
        for key in ("tenant_id", "domain", "client_id"):
            mine = mine.replace(str(known[key]), str(made[key]))
        begin = "" if cold else f'since = "{since}"\n'
        mine = f'{begin}sources = ["activity"]\n{mine}'
        (found.configuration / "tenants" / f"{name}.toml").write_text(mine, "utf-8")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, names))
    first.unlink()
    main = found.configuration / "trailkeeper.toml"
    service = f'[service]\nworkers = {workers}\npartner_tenant_id = "{known["tenant_id"]}"\n'
    main.write_text(main.read_text("utf-8").replace("[service]\n", service), "utf-8")


@contextmanager
def running(found: Lab) -> Iterator[Watch]:
    """`trailkeeper up` over the lab's configuration, its log in `up.log`."""
    command = [sys.executable, "-m", "trailkeeper.cli", "--config", str(found.configuration), "up"]
    with (found.folder / "up.log").open("wb") as log:
        service = subprocess.Popen(command, stdout=log, stderr=log)
    watch = Watch(psutil.Process(service.pid))
    try:
        yield watch
    finally:
        watch.ended.set()
        service.terminate()
        service.wait(60)


@dataclass
class Watch:
    """What the service's processes use: the most memory at a time (PSS), looked at every 5 s."""

    root: psutil.Process
    peak: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.ended.wait(5):
            try:
                used = sum(each.memory_full_info().pss for each in self._family())
            except psutil.Error:
                continue
            self.peak = max(self.peak, used)

    def _family(self) -> list[psutil.Process]:
        return [self.root, *self.root.children(recursive=True)]

    def seconds(self) -> Counter[str]:
        """Processor time so far, by what the process is for; the sandbox's beside ours."""
        used: Counter[str] = Counter()
        sandboxes = [p for p in psutil.Process().children() if "sandbox" in p.cmdline()]
        for each in [*self._family(), *sandboxes]:
            try:
                times = each.cpu_times()
                used[_role(each.cmdline())] += times.user + times.system
            except psutil.Error:
                continue
        return used


def _role(words: list[str]) -> str:
    if "sandbox" in words:
        return "sandbox"
    named = next((word for word in words if "@%h" in word), "")
    if named:
        return named.removesuffix("@%h")
    if any("redis" in word for word in words[:1]):
        return "redis"
    return "beat" if "beat" in words else "up"


@dataclass(frozen=True)
class Arrivals:
    """Of the blobs created in a time: (seconds to the lake, records) by tenant; `NEVER` too."""

    by_tenant: dict[str, list[tuple[float, int]]]

    @property
    def all(self) -> list[tuple[float, int]]:
        return sorted(each for found in self.by_tenant.values() for each in found)

    def without(self, *names: str) -> Arrivals:
        return Arrivals({n: found for n, found in self.by_tenant.items() if n not in names})

    def at(self, share: float) -> float:
        return percentile(self.all, share)

    def worst(self) -> tuple[str, float]:
        """The tenant whose last five in a hundred records waited longest."""
        waited = {n: percentile(sorted(f), 0.95) for n, f in self.by_tenant.items() if f}
        name = max(waited, key=lambda n: waited[n])
        return name, waited[name]


class Lake:
    """What the sandbox made, and when each blob of it was in the lake; read once, at the end."""

    def __init__(self, found: Lab, names: list[str]) -> None:
        world = World(load(found.configuration))
        ever = datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
        try:
            stored = {name: world.ledger.blob_lags(name, *ever) for name in names}
        finally:
            world.close()
        self._stored = {
            name: {(lag.created_at, lag.records): lag.our_seconds for lag in lags}
            for name, lags in stored.items()
        }
        self._made = {name: found.control.blobs(name) for name in names}

    def arrivals(self, *spans: tuple[datetime, datetime]) -> Arrivals:
        """Of every blob that the sandbox created in one of `[start, end)`."""
        by_tenant = {}
        for name, blobs in self._made.items():
            came = self._stored[name]
            waits = by_tenant[name] = []
            for blob in blobs:
                created = datetime.fromisoformat(blob["contentCreated"])
                if any(start <= created < end for start, end in spans):
                    waits.append((came.get((created, blob["records"]), NEVER), blob["records"]))
        return Arrivals(by_tenant)


def wait_until(moment: datetime) -> None:
    time.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0.0))


def keep_log(found: Lab, target: str | None) -> None:
    if target:
        Path(target).write_bytes((found.folder / "up.log").read_bytes())
