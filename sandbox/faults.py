"""Named faults: which there are, and which are due on this very call.

A fault names a tenant (or all), the n-th matching call on which it begins and how often it
plays. What it does is in `disruptions.py` (any HTTP call), `lies.py` (searches), `feed/lies.py`
(the feed), `entra.py` (AADSTS refusals) and `mailbox.py` (SMTP).
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

# What a fault of HTTP meets unless its `calls` say otherwise; logins want to be named.
_LISTING = frozenset({"content", "content_page"})
_BLOB = frozenset({"blob"})
_FEED = _LISTING | _BLOB | {"start", "stop", "subscriptions", "notifications", "dlp_types"}
HTTP_CALLS = frozenset({"search", "next_page", "config", "cmdlet", "vault", "graph"}) | _FEED

_EXCHANGE = frozenset({"search", "next_page", "config", "cmdlet"})
_SEARCH = frozenset({"search"})
_SESSION = frozenset({"session"})
_AT_ONCE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kind:
    """A fault by name: the calls that it can meet, and what it does in one sentence."""

    name: str
    calls: frozenset[str]
    does: str
    alias: str = ""


KINDS: tuple[Kind, ...] = (
    Kind(
        "duplicate_rows",
        frozenset({"query"}),
        "repeats rows (`rate` 0.04) inside and between pages",
        "D1",
    ),
    Kind(
        "bogus_row",
        _SEARCH,
        "worthless page: ResultIndex -1, ResultCount 0 (`form` row|empty|page); the session "
        "moves on",
        "D2",
    ),
    Kind(
        "count_zero",
        _SEARCH,
        "ResultCount 0 with rows present, and only `keep` (0.8) of them",
        "D3",
    ),
    Kind("count_is_page_size", _SEARCH, "ResultCount is the number of rows in the page", "D4"),
    Kind(
        "session_restarts",
        _SESSION,
        "the session overshoots its end and starts again, `rounds` times (0 = for ever)",
        "D5",
    ),
    Kind(
        "short_first_page",
        _SESSION,
        "short first page (`keep` 0.3), then a wrong set, never finished",
        "D6",
    ),
    Kind(
        "stall",
        _SESSION,
        "stalls at `at` (0.91) of the set, then empty pages or repeats (`form` empty|repeat) "
        "for ever",
        "D7",
    ),
    Kind(
        "crowded_second",
        _AT_ONCE,
        "adds `count` (6000) records in the one second `at`, of `operation`",
        "D8",
    ),
    Kind(
        "warning_zero_rows",
        _SEARCH,
        "200 with zero rows and the error only as a warning (`text`)",
        "D9",
    ),
    Kind(
        "first_large_empty",
        _SEARCH,
        "a window longer than `min_span_seconds` (3600) that holds more than `min_rows` (any) "
        "returns nothing, without a warning",
        "D10",
    ),
    Kind(
        "foreign_rows",
        _SEARCH,
        "`share` (0.2) of the rows are another window's; the true ones are missing (`replace`"
        " true)",
        "D11",
    ),
    Kind(
        "invalid_json",
        _SEARCH,
        "AuditData of `share` (0.05) of the records is cut short; always the same records",
        "D12",
    ),
    Kind(
        "late_arrival",
        _AT_ONCE,
        "`share` (0.2) of the records of [`from`, `to`) arrive only `seconds` (3600) from now",
        "D13",
    ),
    Kind(
        "ingestion_off",
        frozenset({"search", "config"}),
        "success with zero rows; the config says ingestion is off",
        "D14",
    ),
    Kind("warning_partial_rows", _SEARCH, "`keep` (0.5) of the rows and a warning (`text`)"),
    Kind(
        "more_results_warning",
        _SEARCH,
        "cut after `rows` (1000), and only a warning says that there are more",
    ),
    Kind("errors_in_200", _SEARCH, "200 with zero rows and the reason only in @adminapi.errors"),
    Kind(
        "aadsts",
        frozenset({"token", "discovery"}),
        "refuses with AADSTS `code`, `status` and `reason` as wished",
    ),
    Kind("token_without_role", frozenset({"token"}), "the token lacks its `roles` claim"),
    Kind("unauthorized", _EXCHANGE | _FEED, "401, JSON or empty body (`form` json|empty)"),
    Kind("nul_403", _EXCHANGE, "403 with 4 KB of NUL bytes labelled gzip"),
    Kind("transient_400", _EXCHANGE, "400 whose exception type is transient (`type`)"),
    Kind(
        "expired_skip_token",
        frozenset({"next_page"}),
        "400 Expired or Invalid pagination request",
    ),
    Kind(
        "throttled",
        HTTP_CALLS,
        "429 (`form` retry_after|message|text|bare, `seconds` 5, `status` 429)",
    ),
    Kind("server_error", HTTP_CALLS, "`status` 503 with or without `retry_after`"),
    Kind(
        "gzip_mislabelled",
        HTTP_CALLS,
        "an error (`status` 500) in plain JSON that claims to be gzip",
    ),
    Kind("not_json", HTTP_CALLS, "`status` 200 with an HTML page"),
    Kind(
        "redirect",
        HTTP_CALLS,
        "`status` 302 to another host, which notes any Authorization it sees",
    ),
    Kind(
        "reset",
        HTTP_CALLS,
        "connection reset before any answer; the server's state has moved on",
    ),
    Kind("reset_mid_body", HTTP_CALLS, "connection reset after `share` (0.5) of the body"),
    Kind("cut_body", HTTP_CALLS, "clean close after `share` (0.5) of the promised body"),
    Kind("slow", HTTP_CALLS, "answers only after `seconds` (2)"),
    Kind(
        "af429",
        _FEED,
        "AF429 as `status` 403 (or 429), its body in the `form` json|single_quoted|empty",
    ),
    Kind(
        "af_error",
        _FEED,
        "any AF `code` (AF50000), with its usual or another `status`, `message` and `form`",
    ),
    Kind("tenant_does_not_exist", _FEED, "400 with a sentence in `code`, as without auditing"),
    Kind("listed_twice", _LISTING, "`rate` (0.05) of the blobs, at least one, are listed twice"),
    Kind(
        "foreign_next_page",
        _LISTING,
        "NextPageUri leads to another host (`form` host|userinfo|http), also where none was due",
    ),
    Kind(
        "foreign_content_uri",
        _LISTING,
        "`share` (0.2) of the contentUris, at least one, lead to another host (`form` as above)",
    ),
    Kind("endless_pages", _LISTING, "NextPageUri leads to the very page that it comes with"),
    Kind("blob_in_pages", _BLOB, "half of the records, the rest behind a NextPageUri"),
    Kind("expired_blob", _BLOB, "AF20051, from then on for good: expired between list and get"),
    Kind("missing_blob", _BLOB, "AF20050 with `status` 404, from then on for good"),
    Kind(
        "poisoned_blob",
        _BLOB,
        "bad from then on for good (`form` error|not_json|not_a_list|not_utf8|not_objects)",
    ),
    Kind(
        "smtp_reply",
        frozenset({"smtp_data"}),
        "answers `code` (451) at `stage` (data|rcpt|mail)",
    ),
    Kind(
        "smtp_drop_after_data",
        frozenset({"smtp_data"}),
        "keeps the message, then drops the connection without a reply",
    ),
)
_BY_NAME = {name: kind for kind in KINDS for name in (kind.name, kind.alias) if name}


class FaultRefused(ValueError):
    """A fault that does not exist, or that cannot be set so."""


@dataclass
class Fault:
    """One fault that somebody set."""

    kind: Kind
    tenant: str | None = None
    on: int = 1  # begins on the n-th matching call, counted from the moment of setting
    times: int = 1  # plays on so many matching calls; 0 = on all from then on
    params: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    calls: int = 0
    played: int = 0

    def meets(self, call: str, tenant: str, span_seconds: float) -> bool:
        wanted = self.params.get("calls") or self.kind.calls
        # Any search fault can be kept to windows longer than this.
        least = self.params.get("min_span_seconds", 3600 if self.kind.alias == "D10" else 0)
        return self.tenant in (None, tenant) and call in wanted and span_seconds >= least

    def strike(self) -> bool:
        """Count one matching call; is the fault due on it?

        With a `chance` (and `seed`) it plays by lot, at most `times` times: seeded mixtures.
        """
        self.calls += 1
        chance = self.params.get("chance")
        if chance is None:
            left = not self.times or self.calls < self.on + self.times
        else:
            left = not self.times or self.played < self.times
            left = left and self._lot() < float(chance)
        due = self.calls >= self.on and left
        self.played += due
        return due

    def _lot(self) -> float:
        seed = self.params.get("seed", 0)
        return random.Random(f"{seed}/{self.kind.name}/{self.calls}").random()

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "name": self.kind.name,
            "tenant": self.tenant,
            "on": self.on,
            "times": self.times,
            "params": self.params,
            "calls": self.calls,
            "played": self.played,
        }


class Plan:
    """The faults due on one call."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def get(self, name: str) -> dict[str, Any] | None:
        """The parameters of the named fault when it is due, else None."""
        return next((f.params for f in self._faults if f.kind.name == name), None)

    def names(self) -> list[str]:
        return [f.kind.name for f in self._faults]


class FaultBook:
    """All faults that are set."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._numbers = itertools.count(1)

    def set(
        self, name: str, tenant: str | None, on: int, times: int, params: dict[str, Any]
    ) -> Fault:
        if name not in _BY_NAME:
            raise FaultRefused(f"no fault {name!r}; there are: {', '.join(sorted(_BY_NAME))}")
        if on < 1 or times < 0:
            raise FaultRefused("`on` counts from 1; `times` is 0 (always) or more")
        if "management" in params.get("calls", ()):  # the whole site, not only unknown paths
            params = {**params, "calls": [*params["calls"], *sorted(_FEED)]}
        if "stage" in params:
            params = {**params, "calls": [f"smtp_{params['stage']}"]}
        fault = Fault(_BY_NAME[name], tenant, on, times, params, next(self._numbers))
        self.faults.append(fault)
        return fault

    def remove(self, number: int | None) -> int:
        """Take one fault away, or all; how many went."""
        before = len(self.faults)
        self.faults = [f for f in self.faults if number is not None and f.number != number]
        return before - len(self.faults)

    def draw(self, call: str, tenant: str, span_seconds: float = 0) -> Plan:
        """Count this call against every fault that it matches, and give those that are due."""
        met = [f for f in self.faults if f.meets(call, tenant, span_seconds)]
        return Plan([f for f in met if f.strike()])
