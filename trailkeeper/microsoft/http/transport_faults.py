"""What can break below HTTP, in our words: one place that knows the lower libraries' errors."""

from __future__ import annotations

import ssl
from http.client import HTTPException
from urllib.parse import urlsplit

import requests
import urllib3

from trailkeeper.errors import ConfigurationError, TrailkeeperError, Transient

UNTRUSTED = "tls-untrusted"
"""the code of a server whose TLS certificate our authorities did not sign"""
LOWER_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)


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


def translated(error: Exception, url: str, timeouts: tuple[float, float]) -> TrailkeeperError:
    """Our error for a lower library's; its text may quote the URL, so only its kind is kept."""
    host = host_of(url)
    if _certificate_refused(error):
        return ConfigurationError(
            f"the TLS certificate of {host} is not signed by a trusted authority",
            "Set ca_bundle of the cloud to the authority that signed it; verification stays on.",
            UNTRUSTED,
        )
    again = "It is asked again later."
    if isinstance(error, requests.ConnectTimeout):
        return Transient(f"{host} could not be reached in {timeouts[0]:g} s", again)
    if isinstance(error, requests.Timeout | urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return Transient(f"{host} sent nothing for {timeouts[1]:g} s", again)
    if isinstance(error, requests.exceptions.ProxyError):
        return Transient(f"the proxy on the way to {host} refused or broke", again)
    return Transient(f"the connection to {host} broke: {_cause(error)}", again)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and everything it wraps, outermost first; requests nests them in `args`."""
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(found) < 20:
        item = todo.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            todo += [*item.args, item.__cause__, item.__context__, getattr(item, "reason", None)]
    return found


def _certificate_refused(error: Exception) -> bool:
    return any(isinstance(item, ssl.SSLCertVerificationError) for item in _chain(error))


def _cause(error: Exception) -> str:
    for item in _chain(error):
        if isinstance(item, OSError) and item.strerror:
            return item.strerror.lower()
    return type(_chain(error)[-1]).__name__
