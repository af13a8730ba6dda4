"""What was asked of the sandbox: requests by kind and tenant, rows served."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Counts by (kind, tenant); kinds are `token`, `discovery`, `search`, `next_page`, ..."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def count(self, kind: str, tenant: str) -> None:
        self.requests[kind, tenant] += 1

    def clear(self) -> None:
        self.requests.clear()
        self.rows.clear()
        self.faults.clear()

    def shown(self) -> dict[str, object]:
        by_kind: Counter[str] = Counter()
        by_tenant: dict[str, dict[str, int]] = {}
        for (kind, tenant), count in self.requests.items():
            by_kind[kind] += count
            by_tenant.setdefault(tenant, {})[kind] = count
        return {
            "requests": dict(by_kind),
            "by_tenant": by_tenant,
            "rows_served": dict(self.rows),
            "total_rows": self.rows.total(),
            "faults_played": dict(self.faults),
        }
