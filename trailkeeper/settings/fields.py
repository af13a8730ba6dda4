"""Kinds of values in the configuration: each refuses what cannot be meant, with an example."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from trailkeeper.model.window import in_utc, parse_instant
from trailkeeper.settings.addresses import AddressError, Mailbox

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_LONGEST_DURATION = 1e6
"""of any unit: more is a slip of the hand, and is refused where a setting has a bound"""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return timedelta(**{_UNITS[match[2]]: min(float(match[1]), _LONGEST_DURATION)})
    if isinstance(value, timedelta):
        return value
    raise ValueError('write a duration as a number and a unit, for example "30m", "24h" or "7d"')


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0  # none at all means 443
    except ValueError:
        return False


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not _has_port(parts):
        raise ValueError("must be an https:// URL: tokens never travel in the clear")
    return url.rstrip("/")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write one like Europe/Berlin") from None
    return name


def _user_name(text: str) -> str:
    """As sign-ins name it; compared without regard to case."""
    name = text.strip().lower()
    if "@" not in name or " " in name:
        raise ValueError(f"{text!a} is not a user name; write one like breakglass@contoso.com")
    return name


def _address(text: str) -> str:
    """Which mailbox it is; whether a server takes mail for it is known when a report is sent."""
    try:
        Mailbox.parse(text)
    except AddressError as error:
        raise ValueError(
            f"{text!a} is not one mail address: {error}. "
            "Write one like security@contoso.com or Name <security@contoso.com>"
        ) from None
    return text


def _secret_reference(text: str) -> str:
    if not text.startswith(("env:", "file:")):
        raise ValueError(
            "a secret is never written here: put it into an environment variable or a file and "
            'write "env:NAME" or "file:PATH"'
        )
    return text


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        return in_utc(value)
    return parse_instant(str(value))


def at_least_3_seconds(value: timedelta) -> timedelta:
    if value < timedelta(seconds=3):
        raise ValueError("must be at least 3s: it is renewed three times before it ends")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
ZoneName = Annotated[str, AfterValidator(_zone)]
SecretReference = Annotated[str, AfterValidator(_secret_reference)]
MailAddress = Annotated[str, AfterValidator(_address)]
UserName = Annotated[str, AfterValidator(_user_name)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def why(error: Exception) -> str:
    """What the system says, in lower case, for the middle of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower()
