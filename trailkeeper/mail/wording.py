"""Words, numbers and times as a reader sees them; text that came from records made harmless.

Month and day names are written out here: `strftime` would follow the locale of the machine, and the
same report must be the same bytes everywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from trailkeeper.model.report import Month
from trailkeeper.model.window import Window

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

NAME_LIMIT = 80
"""characters of a user id, operation or workload that a mail shows"""

_MARKS_IN_A_ROW = 2
_SCHEME = re.compile(r"(?<=[A-Za-z])://")
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)
_BARE_SCHEME = re.compile(r"\b(mailto|tel|sms|javascript|data|file|callto|ms-\w+):", re.IGNORECASE)
_HOST_AND_PATH = re.compile(r"\.(?=\w{2,24}(?::\d+)?[/\\?#])")
_SHARE = re.compile(r"^(?=[/\\]{2})|(?<=\s)(?=[/\\]{2}\w)")


def shown(text: object, limit: int = NAME_LIMIT) -> str:
    """One line of at most `limit` characters, safe to put before a reader (not yet HTML-escaped).

    Control, format (bidi overrides, zero-width) and unassigned characters are dropped, towers of
    combining marks cut, white space squeezed. Links lose the form that mail programs turn into
    something to click on: whoever can name a user could otherwise place a link in our mail.
    """
    whole = str(text)
    line = " ".join("".join(_harmless(whole[: limit * 8])).split())
    line = _WWW.sub(r"\1[.]", _SCHEME.sub("[://]", line))
    line = _SHARE.sub("[…]", _BARE_SCHEME.sub(r"\1[:]", line))
    line = " ".join(map(_broken_link, line.split(" ")))
    if len(line) > limit or len(whole) > limit * 8:
        line = line[: limit - 1].rstrip() + "…"
    return line or "(none)"


def _broken_link(word: str) -> str:
    """A host with a path, which some programs link without any scheme."""
    is_broken = "[://]" in word or "www[.]" in word.lower()
    return word if is_broken else _HOST_AND_PATH.sub("[.]", word)


def _harmless(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category in ("Cc", "Zl", "Zp"):
            yield " "
        elif category[0] != "C" and marks <= _MARKS_IN_A_ROW:
            yield character


def number(count: int) -> str:
    """Digits in groups of three: 1,234,567."""
    return f"{count:,}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 gap`, `2 gaps`, `1,200 gaps`."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def share(part: int, whole: int) -> str:
    """A percentage with one decimal; never `100.0 %` or `0.0 %` for what is not exactly that."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    if part == whole:
        return "100 %"
    return f"{min(max(percent, 0.1), 99.9):.1f} %"


def size(count: int) -> str:
    """Bytes in decimal units, as mail servers count their limits: 12.3 MB."""
    if count < 1_000:
        return counted(count, "byte")
    if count < 1_000_000:
        return f"{count / 1_000:.1f} kB"
    return f"{count / 1_000_000:,.1f} MB"


def length(duration: timedelta) -> str:
    """`3 h 20 min`, `45 s`, `745 h`. Hours are not folded into days: a day may have 23 or 25."""
    seconds = int(duration.total_seconds())
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{number(n)} {unit}" for n, unit in parts if n) or "0 s"


def day(when: date) -> str:
    return f"{when.day} {MONTHS[when.month - 1][:3]} {when.year}"


def instant(moment: datetime, zone: ZoneInfo) -> str:
    """`14 Oct 2026 09:20 CEST`."""
    local = moment.astimezone(zone)
    return f"{day(local)} {clock(local)} {local.tzname()}"


def clock(local: datetime) -> str:
    """`09:20`; seconds only when there are any."""
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def span(window: Window, zone: ZoneInfo) -> str:
    """`14 Oct 2026 09:20–12:10 CEST`, or both ends in full."""
    start, end = window.start.astimezone(zone), window.end.astimezone(zone)
    if start.date() == end.date() and start.tzname() == end.tzname():
        return f"{day(start)} {clock(start)}–{clock(end)} {end.tzname()}"
    return f"{instant(window.start, zone)} – {instant(window.end, zone)}"


def month_name(month: Month) -> str:
    return f"{MONTHS[month.number - 1]} {month.year}"


def last_day(month: Month) -> date:
    following = month.next()
    return date(following.year, following.number, 1) - timedelta(days=1)


def period(month: Month, timezone: str, until: datetime | None = None) -> str:
    """`1–31 October 2026 (Europe/Berlin)`; `until` ends a month that is still running."""
    days = f"1–{last_day(month).day} {month_name(month)}"
    if until is not None:
        days = f"{month_name(month)} up to {instant(until, ZoneInfo(timezone))}"
    return f"{days} ({shown(timezone)})"
