"""What was asked of the sandbox: requests by kind and tenant, rows served."""

from __future__ import annotations

import time
from collections import Counter


class Counters:
    """Counts by (kind, tenant); kinds are `token`, `discovery`, `search`, `next_page`, ..."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.first_at: dict[str, float] = {}
        """by kind, when the first one came: seconds since 1970, of the real clock"""

    def count(self, kind: str, tenant: str) -> None:
        self.first_at.setdefault(kind, time.time())
        self.requests[kind, tenant] += 1

    def clear(self) -> None:
        self.requests.clear()
        self.rows.clear()
        self.faults.clear()
        self.first_at.clear()

    def shown(self) -> dict[str, object]:
        by_kind: Counter[str] = Counter()
        by_tenant: dict[str, dict[str, int]] = {}
        for (kind, tenant), count in self.requests.items():
            by_kind[kind] += count
            by_tenant.setdefault(tenant, {})[kind] = count
        return {
            "requests": dict(by_kind),
            "first_at": dict(self.first_at),
            "by_tenant": by_tenant,
            "rows_served": dict(self.rows),
            "total_rows": self.rows.total(),
            "faults_played": dict(self.faults),
        }
