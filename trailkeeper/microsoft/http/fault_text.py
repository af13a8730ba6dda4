"""Reading what a provider says about its own failure, without trusting a byte of it.

Bodies may be huge, nested ten thousand deep, full of NULs, quoted with the wrong quotes, no JSON at
all, or echo a token. What leaves here is short, printable and free of tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from trailkeeper.model.text import utf8

_LONGEST_BODY = 256 << 10
_LONGEST_SENTENCE = 400
_BLANKS = re.compile(r"\s+")
# A JWT, or the head of one: base64url of '{"' begins with eyJ.
_TOKEN = re.compile(
    r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*|(?i:bearer\s+)[A-Za-z0-9._~+/=-]{12,}"
)


def sentence(text: object, limit: int = _LONGEST_SENTENCE) -> str:
    """`text` as one printable line of at most `limit` characters; empty for anything but text."""
    if not isinstance(text, str):
        return ""
    line = _BLANKS.sub(" ", text[: limit * 8])
    line = "".join(c for c in line if c.isprintable()).strip()
    line = _TOKEN.sub("[token removed]", line)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def plain_text(body: bytes | str) -> str:
    """The body as text, byte order mark and NULs gone, at most 256 KiB of it."""
    if isinstance(body, str):
        return body[:_LONGEST_BODY].replace("\0", "")
    return utf8(body[:_LONGEST_BODY]).replace(b"\0", b"").decode("utf-8", "replace")


def json_object(body: bytes | str) -> Mapping[str, object]:
    """The body as a JSON object; empty when it is anything else."""
    try:
        value = json.loads(plain_text(body), strict=False)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def member(value: object, *names: str) -> object:
    """value[names[0]][names[1]]…, or None where a level is missing or is not an object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_member(value: object, *names: str) -> str:
    """`member` where it is text, else empty."""
    found = member(value, *names)
    return found if isinstance(found, str) else ""
