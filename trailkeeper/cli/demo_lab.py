"""The sandbox as a child process, and the few words that the demo says to its control endpoint.

The sandbox shares no code with us, so it is spoken to over HTTP like everything else.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trailkeeper.errors import Unavailable
from trailkeeper.model.window import Window, iso
from trailkeeper.process.children import POLL_SECONDS, Child, ChildSpec, Supervisor
from trailkeeper.supervisor.service import import_path

_START_SECONDS = 60.0
_LAST_STAGE = 0


class Lab:
    """A running sandbox in `folder`; its parts are known once `start` has returned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: dict[str, Any] = {}
        """what the sandbox wrote into sandbox.json: its sites, CA, mailbox and tenants"""

    @property
    def mailbox(self) -> Path:
        return Path(self.said["mailbox"])

    def start(
        self, supervisor: Supervisor, tenants: list[str], stopping: Callable[[], bool]
    ) -> None:
        """Start it and wait until it serves, or until `stopping`. Raises `Unavailable`."""
        for needed in ("sandbox", "aiohttp", "aiosmtpd", "trustme", "jwt"):
            if importlib.util.find_spec(needed) is None:
                raise Unavailable(
                    f"the demo needs the sandbox, whose package {needed} is not installed",
                    "Install trailkeeper[sandbox], or run `make demo` in a checkout.",
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._await(supervisor.start(self._spec(tenants)), stopping)

    def _spec(self, tenants: list[str]) -> ChildSpec:
        words = ("serve", "--dir", str(self.folder), "--tenants", ",".join(tenants), "--rate", "0")
        return ChildSpec(
            name="sandbox",
            argv=(sys.executable, "-m", "sandbox", *words),
            folder=self.folder,
            stage=_LAST_STAGE,
            stop_seconds=5.0,
            variables=import_path(),
            restart=False,
        )

    def _await(self, child: Child, stopping: Callable[[], bool]) -> None:
        ready = self.folder / "sandbox.json"
        deadline = time.monotonic() + _START_SECONDS
        while not ready.is_file() and not stopping():
            if child.code is not None or time.monotonic() > deadline:
                raise Unavailable("the sandbox did not start", "See what it wrote last.")
            time.sleep(POLL_SECONDS)
        if ready.is_file():
            self.said = json.loads(ready.read_text("utf-8"))

    def register(self, tenant: str, certificate: bytes) -> None:
        """Upload a certificate (DER) to the tenant's app registration."""
        encoded = base64.b64encode(certificate).decode("ascii")
        self._post(f"/tenants/{tenant}/certificates", {"der": encoded})

    def generate(self, tenant: str, window: Window, rate: int) -> int:
        """Fill the tenant's audit log, `rate` records a weekday; how many were made."""
        wish = {"from": iso(window.start), "to": iso(window.end), "rate": rate, "seed": tenant}
        made = self._post(f"/tenants/{tenant}/records", {"generate": wish})
        return int(made["added"])

    def tell(self, tenant: str, lines: Sequence[str]) -> int:
        """Put these records into the tenant's audit log; how many."""
        made = self._post(f"/tenants/{tenant}/records", {"lines": list(lines)})
        return int(made["added"])

    def _post(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the sandbox's own https URL
            self.said["control"] + path,
            data=json.dumps(wish).encode(),
            headers={
                "Authorization": f"Bearer {self.said['control_key']}",
                "Content-Type": "application/json",
            },
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # loopback is never behind a proxy
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.said["ca"])),
        )
        try:
            with opener.open(request, timeout=60) as answer:
                made: dict[str, Any] = json.loads(answer.read())
                return made
        except OSError as error:
            raise Unavailable(
                f"the sandbox's control endpoint refused {path}: {error}", "See what it wrote last."
            ) from None

    def mailed_to(self) -> Iterator[str]:
        """The recipients of every message in the mailbox."""
        for message in self.mailbox.glob("*.eml"):
            with message.open("rb") as file:
                for line in file:
                    if not line.startswith(b"X-Sandbox-"):
                        break
                    name, _, value = line.decode("utf-8", "replace").partition(":")
                    if name == "X-Sandbox-To":
                        yield value.strip()
