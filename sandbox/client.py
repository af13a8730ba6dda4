"""A small client of the control endpoint, for tests and demos."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any


def _text(pem: str | bytes) -> str:
    return pem.decode() if isinstance(pem, bytes) else pem


class ControlRefused(Exception):
    """The control endpoint refused; the text is its reason."""


class Control:
    """Steers a running sandbox; `folder` is where its sandbox.json lies."""

    def __init__(self, url: str, key: str, ca: str | Path) -> None:
        self._url = url
        self._key = key
        self._context = ssl.create_default_context(cafile=str(ca))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )

    @classmethod
    def of(cls, folder: str | Path) -> Control:
        """The client for a sandbox that serves from this folder."""
        said = json.loads(Path(folder, "sandbox.json").read_text("utf-8"))
        return cls(said["control"], said["control_key"], said["ca"])

    def _ask(self, method: str, path: str, wish: Any = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 (the URL is the sandbox's own)
            self._url + path,
            method=method,
            data=None if wish is None else json.dumps(wish).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=120) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise ControlRefused(error.read().decode("utf-8", "replace") or error) from error

    def _json(self, method: str, path: str, wish: Any = None) -> Any:
        return json.loads(self._ask(method, path, wish))

    def tenants(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", "/tenants")
        return found

    def tenant(self, name: str) -> dict[str, Any]:
        return next(t for t in self.tenants() if t["name"] == name)

    def create_tenant(self, name: str, **wish: Any) -> dict[str, Any]:
        made: dict[str, Any] = self._json("POST", "/tenants", {"name": name, **wish})
        return made

    def remove_tenant(self, name: str) -> None:
        self._json("DELETE", f"/tenants/{name}")

    def alter(self, name: str, **switches: Any) -> dict[str, Any]:
        """Set switches, e.g. `alter("contoso", consented=False)`."""
        altered: dict[str, Any] = self._json("PATCH", f"/tenants/{name}", switches)
        return altered

    def register(self, name: str, certificate: bytes, **dates: str) -> dict[str, Any]:
        """Upload a certificate (PEM or DER) to the tenant's app registration."""
        pem = b"-----BEGIN" in certificate
        wish = (
            {"pem": certificate.decode()}
            if pem
            else {"der": base64.b64encode(certificate).decode()}
        )
        made: dict[str, Any] = self._json("POST", f"/tenants/{name}/certificates", wish | dates)
        return made

    def unregister(self, name: str, thumbprint: str = "all") -> int:
        return int(self._json("DELETE", f"/tenants/{name}/certificates/{thumbprint}")["removed"])

    def add_lines(self, name: str, lines: list[str], arrival: str | float = "instant") -> int:
        """Records as AuditData text, or as wrappers {"Identity","CreationDate","AuditData"}."""
        wish = {"lines": lines, "arrival": str(arrival)}
        return int(self._json("POST", f"/tenants/{name}/records", wish)["added"])

    def generate(
        self,
        name: str,
        start: str,
        end: str,
        rate: float,
        rhythm: str = "office",
        arrival: str | float = "instant",
        **wish: Any,
    ) -> int:
        generate = {"from": start, "to": end, "rate": rate, "rhythm": rhythm, **wish}
        body = {"generate": generate, "arrival": str(arrival)}
        return int(self._json("POST", f"/tenants/{name}/records", body)["added"])

    def crowd(self, name: str, at: str, count: int, seconds: int = 1, **wish: Any) -> int:
        """`count` records within `seconds` from `at`."""
        body = {"crowd": {"at": at, "count": count, "seconds": seconds, **wish}}
        return int(self._json("POST", f"/tenants/{name}/records", body)["added"])

    def records(self, name: str, start: str = "", end: str = "") -> list[dict[str, str]]:
        """The truth: every record's Identity and exact AuditData text."""
        query = {k: v for k, v in (("from", start), ("to", end)) if v}
        path = f"/tenants/{name}/records?{urllib.parse.urlencode(query)}"
        return [json.loads(line) for line in self._ask("GET", path).splitlines()]

    def feed_truth(self, name: str, start: str = "", by: str = "") -> list[dict[str, Any]]:
        """Every record that became available in [start, by), once, with its blobs."""
        query = {k: v for k, v in (("from", start), ("by", by)) if v}
        path = f"/tenants/{name}/feed?{urllib.parse.urlencode(query)}"
        return [json.loads(line) for line in self._ask("GET", path).splitlines()]

    def blobs(self, name: str) -> list[dict[str, Any]]:
        """Every blob made so far, with how often it was listed and fetched."""
        return [
            json.loads(line) for line in self._ask("GET", f"/tenants/{name}/blobs").splitlines()
        ]

    def feed(self, since: str = "") -> dict[str, Any]:
        """Listings, publishers, AF429, and delays of blobs created from `since` on."""
        query = urllib.parse.urlencode({"since": since} if since else {})
        found: dict[str, Any] = self._json("GET", f"/feed?{query}")
        return found

    def set_volume(self, total: float, **wish: Any) -> dict[str, float]:
        """`total` live records a second over all tenants (`sigma`, `seed`, `tenants`)."""
        found: dict[str, float] = self._json("PUT", "/feed/volume", {"total": total, **wish})
        return found

    def render_blobs(self, **wish: Any) -> dict[str, int]:
        """Render every blob beforehand (`most_mb`, `tenants`), so that a GET only looks it up."""
        found: dict[str, int] = self._json("POST", "/feed/render", wish)
        return found

    def put_in_vault(
        self,
        name: str,
        key_pem: str | bytes,
        certificate_pem: str | bytes,
        exportable: bool = True,
        content_type: str = "application/x-pkcs12",
    ) -> str:
        """A new version of a certificate in the Key Vault; gives the version."""
        wish = {
            "key_pem": _text(key_pem),
            "certificate_pem": _text(certificate_pem),
            "exportable": exportable,
            "content_type": content_type,
        }
        return str(self._json("POST", f"/vault/{name}", wish)["version"])

    def enable_in_vault(self, name: str, enabled: bool, version: str = "") -> None:
        self._json("PATCH", f"/vault/{name}", {"enabled": enabled, "version": version})

    def set_vault_tenant(self, name: str) -> None:
        """Whose directory guards the vault."""
        self._json("PUT", "/vault", {"tenant": name})

    def set_fault(
        self, name: str, tenant: str | None = None, on: int = 1, times: int = 1, **params: Any
    ) -> int:
        """Set a fault; gives its number. `from` and other keywords go in as `**{"from": ...}`."""
        wish = {"name": name, "tenant": tenant, "on": on, "times": times, **params}
        return int(self._json("POST", "/faults", wish)["id"])

    def faults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", "/faults")
        return found

    def fault_names(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("GET", "/fault-names")
        return found

    def clear_faults(self, number: int | None = None) -> int:
        path = "/faults" if number is None else f"/faults/{number}"
        return int(self._json("DELETE", path)["removed"])

    def counters(self) -> dict[str, Any]:
        found: dict[str, Any] = self._json("GET", "/counters")
        return found

    def clear_counters(self, served: bool = False) -> None:
        """Forget the requests counted so far; `served` forgets what was served, too."""
        self._json("DELETE", "/counters?served=1" if served else "/counters")

    def report(self, ids: int = 100) -> dict[str, Any]:
        found: dict[str, Any] = self._json("GET", f"/report?ids={ids}")
        return found

    def set_clock(self, **offsets: float) -> dict[str, Any]:
        """events_offset, identity_offset: seconds from real time."""
        found: dict[str, Any] = self._json("PUT", "/clock", offsets)
        return found

    def elsewhere(self) -> dict[str, Any]:
        found: dict[str, Any] = self._json("GET", "/elsewhere")
        return found

    def mail(self) -> list[Path]:
        return [Path(path) for path in self._json("GET", "/mail")]
