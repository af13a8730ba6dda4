"""A thousand tenants' feeds, one poll a minute each, on this machine, through beat and workers.

    python -m benchmarks.feed_fleet [--tenants 1000] [--rate 200] [--minutes 10]

The sandbox makes `rate` records a second over all tenants; `trailkeeper up` follows them. Printed
at the end: contentCreated to in the lake, per record, of what was committed after the first two
minutes; how many tenants stored anything; memory of all processes of ours together.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.lab import TENANT, Lab, lab
from trailkeeper.bootstrap import World
from trailkeeper.model.blob import percentile
from trailkeeper.settings import load

WARM_UP = timedelta(minutes=2)
"""every tenant logs in once and its table is made"""


def main() -> None:
    options = _options()
    names = [f"tenant-{number:04}" for number in range(options.tenants)]
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--rate", "0") as found:
        _settle_tenants(found, names, options.workers)
        found.control.set_volume(options.rate, tenants=names)
        with (found.folder / "up.log").open("wb") as log:
            service = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "trailkeeper.cli",
                    "--config",
                    str(found.configuration),
                    "up",
                ],
                stdout=log,
                stderr=log,
            )
        began = datetime.now(UTC)
        memory = _Memory(service.pid)
        try:
            time.sleep(60 * options.minutes)
        finally:
            memory.ended.set()
            service.terminate()
            service.wait(60)
        _print(found, names, began + WARM_UP, memory.peak)
        if options.log:
            shutil.copy(found.folder / "up.log", options.log)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0, help="records a second, overall")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2, help="pulling processes")
    parser.add_argument("--log", help="where to keep the service's log")
    return parser.parse_args()


def _settle_tenants(found: Lab, names: list[str], workers: int) -> None:
    """A configuration file a tenant, all with the same certificate, following from now on."""
    first = found.configuration / "tenants" / f"{TENANT}.toml"
    text = first.read_text("utf-8")
    certificate = _certificate(found)
    known = found.control.tenant(TENANT)
    since = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")

    def settle(name: str) -> None:
        made = found.control.create_tenant(name)
        found.control.register(name, certificate)
        mine = text
        for key in ("tenant_id", "domain", "client_id"):
            mine = mine.replace(str(known[key]), str(made[key]))
        mine = f'since = "{since}"\nsources = ["activity"]\n' + mine
        (found.configuration / "tenants" / f"{name}.toml").write_text(mine, "utf-8")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(settle, names))
    first.unlink()
    main = found.configuration / "trailkeeper.toml"
    service = f'[service]\nworkers = {workers}\npartner_tenant_id = "{known["tenant_id"]}"\n'
    main.write_text(main.read_text("utf-8").replace("[service]\n", service), "utf-8")


def _certificate(found: Lab) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    from benchmarks.lab import _PASSWORD

    stored = (found.configuration / "key.pfx").read_bytes()
    certificate = pkcs12.load_pkcs12(stored, _PASSWORD.encode()).cert
    assert certificate is not None
    return certificate.certificate.public_bytes(Encoding.DER)


class _Memory:
    """The most that a process and its descendants used together (PSS), looked at every 5 s."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self.ended = threading.Event()
        self._root = psutil.Process(pid)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.ended.wait(5):
            try:
                family = [self._root, *self._root.children(recursive=True)]
                used = sum(each.memory_full_info().pss for each in family)
            except psutil.Error:
                continue
            self.peak = max(self.peak, used)


def _print(found: Lab, names: list[str], since: datetime, memory: int) -> None:
    world = World(load(found.configuration))
    until = datetime.now(UTC) + timedelta(days=1)
    lags = world.ledger.blob_lags(None, since, until)
    silent = [n for n in names if not world.ledger.blob_lags(n, since, until)]
    world.close()
    ours = sorted((lag.our_seconds, lag.records) for lag in lags)
    records = sum(weight for _, weight in ours)
    print(f"tenants        {len(names):>8,}, of which {len(silent)} stored nothing")
    print(f"stored         {records:>8,} records in {len(lags):,} blobs after the warm-up")
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        print(
            f"{name}            {percentile(ours, share):>8.1f} s from contentCreated to the lake"
        )
    print(f"memory         {memory / 2**20:>8.0f} MiB, all processes of ours together (PSS)")


if __name__ == "__main__":
    main()
