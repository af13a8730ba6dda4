"""Rendered blobs, kept up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict

from sandbox.tenants import Tenant


class BlobCache:
    """Bodies by (tenant, blob); the one unused for longest goes first."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    @property
    def count(self) -> int:
        return len(self._kept)

    def body(self, tenant: Tenant, index: int) -> bytes:
        """The blob's JSON array."""
        if index in tenant.feed.partial:
            return tenant.feed.body(index)
        key = tenant.tenant_id, index
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        found = self._kept[key] = tenant.feed.body(index)
        self.bytes += len(found)
        while self.bytes > self.most_bytes:
            self.bytes -= len(self._kept.popitem(last=False)[1])
        return found
