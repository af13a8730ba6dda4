"""Which hosts of a cloud may see our tokens, and which scope opens which host.

The hosts themselves are settings (`trailkeeper.settings.CLOUD_PRESETS`, `[clouds.NAME]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit

from trailkeeper.settings import CloudSettings

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_ADDRESS = re.compile(r"[0-9.]+|\[.*\]")
# What urllib3 and urllib.parse may read differently: never a part of an honest URL of ours.
_AMBIGUOUS = re.compile(r"[\x00-\x20\\\x7f-\U0010ffff]")
ODD_PORT = 446
"""Redirects of Exchange name this port; 443 of the same host answers (reference A, section 3.1)."""


def allowed_hosts(cloud: CloudSettings) -> tuple[str, ...]:
    """`host[:port]` of the cloud's four services; subdomains of each count as allowed too."""
    urls = (cloud.login, cloud.exchange, cloud.management, cloud.graph)
    return tuple(dict.fromkeys(urlsplit(url).netloc.lower() for url in urls))


def host_allowed(url: str, allowed: Iterable[str]) -> bool:
    """Whether `url` is https on an allowed host, or on a subdomain of one, and on its very port.

    An address (127.0.0.1) has no subdomains. User names, backslashes, blanks and letters beyond
    ASCII make a URL mean different things to different parsers, so they are refused.
    """
    parts = _parts(url)
    if parts is None:
        return False
    host, port = _host_port(parts.netloc.lower())
    return any(_covers(_host_port(entry.lower()), host, port) for entry in allowed)


def usual_port(url: str, allowed: Sequence[str]) -> str:
    """`url` with Exchange's odd port 446 replaced by 443 where only that makes it allowed."""
    parts = _parts(url)
    if parts is None or host_allowed(url, allowed):
        return url
    host, port = _host_port(parts.netloc)
    return parts._replace(netloc=host).geturl() if port == ODD_PORT else url


def _parts(url: str) -> SplitResult | None:
    if _AMBIGUOUS.search(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that is no number
    except ValueError:
        return None
    return parts if parts.scheme == "https" and "@" not in parts.netloc else None


def _host_port(netloc: str) -> tuple[str, int]:
    host, separator, port = netloc.rpartition(":")
    if separator and port.isdigit():
        return host, int(port)
    return netloc.rstrip(":"), 443


def _covers(entry: tuple[str, int], host: str, port: int) -> bool:
    name, its_port = entry
    if port != its_port or not _HOST.fullmatch(host):
        return False
    return host == name or (not _ADDRESS.fullmatch(name) and host.endswith("." + name))
