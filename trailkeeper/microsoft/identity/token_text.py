"""What is kept of one tenant's logins, as text: tokens by scope, and refusals for those who wait.

The tokens are msal's own AccessToken entries, in the form that it serialises. A text that cannot be
read counts as empty.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Self

from trailkeeper.errors import Bug, NeedsPerson, Throttled, TrailkeeperError

_MARGIN_SECONDS = 300.0
_REFUSAL_SECONDS = 60.0
"""A refusal is only for those who were waiting already; none waits longer behind one login."""
_ENTRY = ("secret", "client_id", "target", "cached_at", "expires_on")
# What Entra said holds for every worker; a broken connection or a missing file only for one.
_SHARED: dict[str, type[TrailkeeperError]] = {
    kind.__name__: kind for kind in (NeedsPerson, Throttled, Bug)
}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """One tenant's tokens and refusals by scope. Never shown: entries hold the tokens."""

    entries: dict[str, Entry] = field(default_factory=dict, repr=False)
    refusals: dict[str, Entry] = field(default_factory=dict, repr=False)

    @property
    def logged_in(self) -> str:
        """SHA-1 thumbprint of the certificate that the newest token was got with; empty: none."""
        newest = max(self.entries.values(), key=lambda e: float(e["cached_at"]), default={})
        return str(newest.get("certificate", ""))

    def fresh(self, scope: str, now: float) -> str:
        """The token that stays good for five minutes (half its life if shorter), else empty."""
        entry = self.entries.get(scope)
        return str(entry["secret"]) if entry and _good_until(entry) > now else ""

    def refusal(self, scope: str, since: float) -> TrailkeeperError | None:
        """How Entra refused this scope at `since` or later."""
        found = self.refusals.get(scope)
        if found is None or found["at"] < since:
            return None
        return _SHARED[found["kind"]](*found["args"])

    def with_entry(self, entry: Entry) -> Self:
        scope = entry["target"]
        refusals = {name: one for name, one in self.refusals.items() if name != scope}
        return replace(self, entries={**self.entries, scope: entry}, refusals=refusals)

    def with_refusal(self, scope: str, error: TrailkeeperError, now: float) -> Self:
        """Unchanged unless the refusal is Entra's own word."""
        kind = type(error).__name__
        if kind not in _SHARED or not error.code.startswith("AADSTS"):
            return self
        refusal = {"at": now, "kind": kind, "args": list(error.args)}
        return replace(self, refusals={**self.refusals, scope: refusal})

    def without(self, scope: str, token: str | None) -> Self:
        """Less the scope's token, if it is `token` or none is named."""
        entry = self.entries.get(scope)
        if entry is None or token not in (None, entry["secret"]):
            return self
        return replace(self, entries={k: v for k, v in self.entries.items() if k != scope})

    def alive(self, now: float) -> Self:
        """Less what has passed."""
        return replace(
            self,
            entries={k: v for k, v in self.entries.items() if float(v["expires_on"]) > now},
            refusals={k: v for k, v in self.refusals.items() if v["at"] + _REFUSAL_SECONDS > now},
        )

    def seconds(self, now: float) -> float:
        """How long any of it is of use."""
        ends = [float(entry["expires_on"]) for entry in self.entries.values()]
        ends += [refusal["at"] + _REFUSAL_SECONDS for refusal in self.refusals.values()]
        return max([end - now for end in ends], default=1.0)

    def text(self) -> str:
        """Empty when there is nothing to keep."""
        if not self.entries and not self.refusals:
            return ""
        return json.dumps({"AccessToken": self.entries, "Refused": self.refusals})


def parsed(text: str) -> Kept:
    """Read what `Kept.text` wrote."""
    try:
        found = json.loads(text) if text else {}
        entries = {k: v for k, v in found.get("AccessToken", {}).items() if _is_entry(v)}
        refusals = {k: v for k, v in found.get("Refused", {}).items() if _is_refusal(v)}
    except (ValueError, AttributeError, RecursionError):
        return Kept()
    return Kept(entries, refusals)


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in _ENTRY)


def _is_refusal(refusal: object) -> bool:
    return (
        isinstance(refusal, dict)
        and isinstance(refusal.get("at"), float | int)
        and refusal.get("kind") in _SHARED
        and isinstance(refusal.get("args"), list)
    )


def _good_until(entry: Entry) -> float:
    """Expiry less five minutes, or less half the token's life if that is shorter."""
    begins, ends = float(entry["cached_at"]), float(entry["expires_on"])
    return ends - min(_MARGIN_SECONDS, (ends - begins) / 2)
