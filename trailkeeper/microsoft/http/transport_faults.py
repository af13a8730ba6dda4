"""What can break below HTTP, in our words: one place that knows the lower libraries' errors."""

from __future__ import annotations

import re
import ssl
from http.client import HTTPException, IncompleteRead
from urllib.parse import urlsplit

import requests
import urllib3

from trailkeeper.errors import ConfigurationError, TrailkeeperError, Transient
from trailkeeper.microsoft.http.tls_faults import CODES, tls_fault
from trailkeeper.process.deadline import Breach

LOWER_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)
PROXY_AUTHENTICATION = "proxy-authentication"
PROXY_REFUSED = "proxy-refused"
OF_THE_WAY = CODES | {PROXY_AUTHENTICATION, PROXY_REFUSED}
"""codes of errors that concern the way to a host, for every tenant, and no tenant's certificate"""
_CUT_SHORT = (IncompleteRead, urllib3.exceptions.IncompleteRead)
_AGAIN = "It is asked again later."
_PROXY_SETTING = "HTTPS_PROXY (http://NAME:PASSWORD@HOST:PORT)"
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")


def host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2][:100]
    except ValueError:
        return "an unreadable URL"


def foreign_host(url: str, how: str) -> Transient:
    return Transient(
        f"{how} to {host_of(url)!r}, which is none of this cloud's hosts; nothing was sent there",
        "It is asked again later; check the tenant's cloud and any proxy if it stays so.",
        "foreign-host",
    )


def broke_bounds(breach: Breach, who: str) -> Transient:
    """`who` kept to no bound of time or size: which one, and how."""
    return Transient(
        f"{who} {breach}; the connection was closed",
        "It is asked again later; check any proxy on the way if it stays so.",
        "endless-answer",
    )


def at_host(error: Transient, url: str) -> Transient:
    """`error` of an answer's body, with the host that sent it."""
    summary = f"{host_of(url)}: {error.summary}"
    return type(error)(summary, error.remedy, error.code, error.request_id)


def translated(
    error: Exception, url: str, timeouts: tuple[float, float], proxy: str = ""
) -> TrailkeeperError:
    """Our error for a lower library's; its text may quote the URL, so only its kind is kept.

    `proxy` is the URL of the proxy on the way, if any; its name and password stay out.
    """
    host, chain = host_of(url), chain_of(error)
    if found := tls_fault(chain, host) or _proxy_fault(chain, host, proxy):
        return found
    if isinstance(error, requests.ConnectTimeout):
        return Transient(f"{host} could not be reached in {timeouts[0]:g} s", _AGAIN)
    if isinstance(error, requests.Timeout | urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return Transient(f"{host} sent nothing for {timeouts[1]:g} s", _AGAIN)
    if any(isinstance(item, _CUT_SHORT) for item in chain):
        return Transient(f"{host} ended its answer too early", _AGAIN)
    if any(_is_no_http(item) for item in chain):
        return Transient(f"{host} sent something that is not HTTP", _AGAIN)
    return Transient(f"the connection to {host} broke: {_cause(chain)}", _AGAIN)


def chain_of(error: BaseException) -> list[BaseException]:
    """The error and everything it wraps, outermost first; requests nests them in `args`."""
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(found) < 20:
        item = todo.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            todo += [*item.args, item.__cause__, item.__context__, getattr(item, "reason", None)]
    return found


def _proxy_fault(chain: list[BaseException], host: str, proxy: str) -> TrailkeeperError | None:
    """A proxy's own refusal (RFC 9110, sections 9.3.6 and 15.5.8), apart from the server's."""
    if not any(isinstance(item, urllib3.exceptions.ProxyError) for item in chain):
        return None
    where = f"the proxy {host_of(proxy)}" if proxy else "the proxy"
    match = next((m for item in chain if (m := _TUNNEL.search(str(item)))), None)
    status = int(match[1]) if match else 0
    if status == 407:
        return ConfigurationError(
            f"{where} on the way to {host} asks for a name and a password (HTTP 407)",
            f"Give both in {_PROXY_SETTING}, or let the proxy admit this machine without them.",
            PROXY_AUTHENTICATION,
        )
    if 400 <= status < 500 and status not in (408, 429):
        return ConfigurationError(
            f"{where} refuses the way to {host} (HTTP {status})",
            f"Let the proxy admit {host}, or name the host in NO_PROXY.",
            PROXY_REFUSED,
        )
    said = f" (HTTP {status})" if status else f": {_cause(chain)}"
    return Transient(
        f"{where} on the way to {host} cannot be used{said}",
        "It is asked again later; check HTTPS_PROXY if it stays so.",
        "proxy",
    )


def _is_no_http(item: BaseException) -> bool:
    return isinstance(item, HTTPException) and not isinstance(item, OSError)


def _cause(chain: list[BaseException]) -> str:
    for item in chain:
        if isinstance(item, OSError) and item.strerror and not isinstance(item, ssl.SSLError):
            return item.strerror.lower()
    return type(chain[-1]).__name__
