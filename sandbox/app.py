"""A whole sandbox: built, started, stopped; in a process of its own or in a test's thread."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from sandbox import additions, certificates, mailbox, registrations
from sandbox.box import Box
from sandbox.client import Control
from sandbox.clock import Clock, iso, micros, parse_instant
from sandbox.counters import Counters
from sandbox.faults import FaultBook
from sandbox.feed import steering
from sandbox.report import closing_report
from sandbox.resources import Resources
from sandbox.search import SearchEngine
from sandbox.sites import SITES, open_site
from sandbox.tenants import Directory, fixed_guid
from sandbox.tokens import TokenIssuer


@dataclass
class Options:
    """What a sandbox is started with."""

    folder: Path
    tenants: Sequence[str] = ("contoso", "fabrikam", "litware")
    seed: int = 1
    rate: float = 0.0  # generated records a weekday and tenant; 0 = none
    rhythm: str = "office"
    records: Sequence[str] = ()  # PATH (for every tenant) or NAME=PATH
    start: str = ""  # of the period; default: the first of last month
    end: str = ""  # default: now
    keep_times: bool = False
    keep_rows: int = 50_000  # rendered rows kept in memory a tenant, some 2 kB each
    arrival: str = "instant"  # instant | typical | seconds
    port_base: int = 0  # 0 = free ports
    smtp_port: int = 0
    smtp_security: str = "none"
    smtp_login: tuple[str, str] | None = None
    switches: dict[str, Any] = field(default_factory=dict)
    fleet: int = 0  # so many more tenants, t0001 on
    one_app: bool = False  # one multi-tenant app registration for all of them
    live: float = 0.0  # records a second that occur while it runs, all tenants together
    feed_cache_mb: float = 64  # rendered blobs kept in memory

    def __post_init__(self) -> None:
        self.tenants = [*self.tenants, *(f"t{n:04}" for n in range(1, self.fleet + 1))]


def period(options: Options) -> tuple[int, int]:
    """[start, end) of the records, microseconds since 1970."""
    now = datetime.now(UTC)
    first = (now.replace(day=1) - timedelta(days=1)).replace(day=1)
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    start = parse_instant(options.start) if options.start else micros(midnight)
    end = parse_instant(options.end) if options.end else micros(now)
    if start >= end:
        raise ValueError(f"the period is empty: {iso(start)} is not before {iso(end)}")
    return start, end


def build(options: Options) -> Box:
    """The state of a new sandbox, its tenants filled with records."""
    options.folder.mkdir(parents=True, exist_ok=True)
    clock, book, counters = Clock(), FaultBook(), Counters()
    issuer = TokenIssuer(clock, certificates.signing_key(options.folder))
    box = Box(
        options.folder,
        options.seed,
        clock,
        Directory(clock),
        Resources(),
        issuer,
        counters,
        book,
        SearchEngine(clock, book, options.seed),
    )
    for name in options.tenants:
        ids = {"client_id": fixed_guid("client", "fleet")} if options.one_app else {}
        box.directory.create(name, **ids).alter(options.switches, 0)
    registrations.load(options.folder, box.directory)
    box.blobs.most_bytes = int(options.feed_cache_mb * 2**20)
    _fill(box, options)
    if options.live:
        steering.spread(box, list(options.tenants), options.live, 1.0, str(options.seed))
    return box


def _fill(box: Box, options: Options) -> None:
    start, end = period(options)
    paths = _paths_by_tenant(options)
    for name, tenant in box.directory.tenants.items():
        tenant.settle(float("inf"))
        tenant.occur(box.clock.now())
        tenant.store.keep_rows = options.keep_rows
        if options.rate:
            additions.generate(
                tenant,
                f"{options.seed}/{name}",
                start,
                end,
                options.rate,
                options.rhythm,
                options.arrival,
            )
        if paths[name]:
            additions.load(tenant, paths[name], start, end, options.keep_times, options.arrival)


def _paths_by_tenant(options: Options) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {name: [] for name in options.tenants}
    for wish in options.records:
        name, equals, path = wish.partition("=")
        if equals and name in found:
            found[name].append(Path(path))
        else:
            for paths in found.values():
                paths.append(Path(wish))
    return found


class Sandbox:
    """A running sandbox in its own thread: `with Sandbox(folder) as box: box.control...`"""

    def __init__(self, folder: str | Path, **options: Any) -> None:
        self.options = Options(Path(folder), **options)
        self.description: dict[str, Any] = {}
        self.report: dict[str, Any] = {}
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __getitem__(self, key: str) -> Any:
        """A value of sandbox.json."""
        return self.description[key]

    def tenant(self, name: str) -> dict[str, str]:
        """Ids of one of the tenants that it was started with."""
        return next(t for t in self.description["tenants"] if t["name"] == name)

    @property
    def control(self) -> Control:
        return Control(self["control"], self["control_key"], self["ca"])

    @property
    def ca(self) -> str:
        """Path of the CA that clients must trust."""
        return str(self["ca"])

    def start(self) -> Sandbox:
        """Return once every site listens, or raise what went wrong."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def stop(self) -> None:
        """Close every site; the closing report is in `report` and in report.json."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with Serving(self.options) as serving:
            self.description = serving.description
            self._ready.set()
            await self._stopping.wait()
        self.report = serving.report


class Serving:
    """All listening sites of one sandbox, inside a running loop."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._runners: list[web.AppRunner] = []
        self._smtp: asyncio.Server | None = None
        self._key = secrets.token_urlsafe(24)
        self.description: dict[str, Any] = {}
        self.report: dict[str, Any] = {}

    async def __aenter__(self) -> Serving:
        # A file left by a killed run would announce sites that no longer listen.
        Path(self._options.folder, "sandbox.json").unlink(missing_ok=True)
        self._box = build(self._options)
        self._mailbox = mailbox.Mailbox(self._options.folder / "mailbox", self._box.book)
        try:
            await self._listen()
        except BaseException:
            await self._close()
            raise
        self.description = self._described()
        text = json.dumps(self.description, indent=1).encode()
        certificates.write_private(self._options.folder / "sandbox.json", text)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()
        self.report = closing_report(self._box)
        text = json.dumps(self.report, indent=1)
        Path(self._options.folder, "report.json").write_text(text, "utf-8")

    async def _listen(self) -> None:
        options, base = self._options, self._options.port_base
        context = certificates.server_context(certificates.authority(options.folder))
        for at, name in enumerate(SITES):
            self._runners.append(
                await open_site(
                    name, self._box, self._mailbox, self._key, base and base + at, context
                )
            )
        smtp_port = options.smtp_port or (base and base + len(SITES))
        self._smtp = await mailbox.listen(
            self._mailbox, smtp_port, options.smtp_security, context, options.smtp_login
        )

    async def _close(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))

    def _described(self) -> dict[str, Any]:
        start, end = period(self._options)
        smtp_port = self._smtp.sockets[0].getsockname()[1] if self._smtp else 0
        return {
            **self._box.urls,
            "smtp_host": "127.0.0.1",
            "smtp_port": smtp_port,
            "smtp_security": self._options.smtp_security,
            "ca": str((self._options.folder / "ca.pem").resolve()),
            "mailbox": str(self._mailbox.folder.resolve()),
            "control_key": self._key,
            "pid": os.getpid(),
            "from": iso(start),
            "to": iso(end),
            "tenants": [
                {
                    "name": t.name,
                    "tenant_id": t.tenant_id,
                    "domain": t.domain,
                    "vanity_domain": t.vanity_domain,
                    "client_id": t.application.client_id,
                    "records": len(t.store),
                }
                for t in self._box.directory.tenants.values()
            ],
        }
