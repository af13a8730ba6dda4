"""Whose records a tenant's name stands for: one directory, in one cloud."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Identity:
    """A file's name can be given to the next customer; this cannot."""

    tenant_id: UUID
    """of the Entra directory"""
    cloud: str
    """as the configuration names it"""

    def __str__(self) -> str:
        return f"{self.tenant_id} in the cloud {self.cloud!r}"
