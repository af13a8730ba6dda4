"""What a Redis URL must be: ours alone, and no secret in a file or on a wire in the clear."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

SCHEMES = ("redis", "rediss", "unix")
_UNCHECKED = {
    "ssl_cert_reqs": ("none", "optional", "cert_none", "cert_optional"),
    "ssl_check_hostname": ("false", "0", "no"),
}


def not_redis(url: str) -> str | None:
    """Why this cannot be a Redis at all; nothing permits it."""
    if urlsplit(url).scheme not in SCHEMES or ";" in url:
        return "service.redis must be one redis://, rediss:// or unix:// URL"
    return None


def dangers(url: str, written: str | None) -> Iterator[str]:
    """What lets others read or write our queue. `written`: the URL as the file has it."""
    if written and urlsplit(written).password:
        yield "its password is written into the file: name it with redis_password"
    parts = urlsplit(url)
    for name, value in parse_qsl(parts.query):
        if value.lower() in _UNCHECKED.get(name, ()):
            yield f"{name}={value} lets anybody pass for it"
    if parts.scheme == "unix" or is_loopback(parts.hostname or "localhost"):
        return
    if not parts.password:
        yield "it is beyond this machine and has no password: name one with redis_password"
    if parts.scheme != "rediss":
        yield "it is beyond this machine and without TLS: use rediss://"


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
