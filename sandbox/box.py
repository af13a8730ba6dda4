"""Everything that the sites of one sandbox share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.clock import Clock
from sandbox.counters import Counters
from sandbox.faults import FaultBook
from sandbox.feed.cache import BlobCache
from sandbox.feed.listing import Pages
from sandbox.feed.quota import Quotas
from sandbox.pages import SkipTokens
from sandbox.resources import Resources
from sandbox.search import SearchEngine
from sandbox.tenants import Directory
from sandbox.tokens import TokenIssuer
from sandbox.vault_objects import Vault


@dataclass
class Box:
    """One Microsoft 365 in a box: its state, and the URLs of its sites once they listen."""

    folder: Path
    seed: int
    clock: Clock
    directory: Directory
    resources: Resources
    issuer: TokenIssuer
    counters: Counters
    book: FaultBook
    engine: SearchEngine
    vault: Vault = field(default_factory=Vault)
    skip_tokens: SkipTokens = field(default_factory=SkipTokens)
    urls: dict[str, str] = field(default_factory=dict)
    blobs: BlobCache = field(default_factory=lambda: BlobCache(64 * 2**20))
    feed_pages: Pages = field(default_factory=Pages)
    quotas: Quotas = field(default_factory=Quotas)
    listings: Counter[tuple[str, str]] = field(default_factory=Counter)  # (tenant, content type)
    seen_elsewhere: list[dict[str, Any]] = field(default_factory=list)


BOX = web.AppKey("box", Box)


def box_of(request: web.Request) -> Box:
    return request.app[BOX]
