"""Answers that are no service's own: pages of gateways and proxies on the way, by rule.

A page says little and means less: what its status means there is not what the service means by it.
"""

from __future__ import annotations

import html
import re

from trailkeeper.microsoft.http.fault_table import Kind, Row
from trailkeeper.microsoft.http.fault_text import sentence

_BEFORE = "\ufeff\0 \t\r\n"
_TITLE = re.compile(r"<title[^>]*>(.{1,400}?)</title", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,2000}>")
_LONGEST = 8000

_OPEN = "If a proxy or gateway on the way blocks this host, let it pass"
_REFUSALS = frozenset({401, 403, 451})
_WANTS_LOGIN = frozenset({407, 511})


def is_page(text: str) -> bool:
    """Whether an error's body is markup: no service that is asked here answers in any."""
    return text[:_LONGEST].lstrip(_BEFORE).startswith("<")


def page_says(text: str) -> str:
    """The page's title, else its visible text, as one sentence."""
    text = text[:_LONGEST]
    match = _TITLE.search(text)
    seen = match[1] if match else _TAG.sub(" ", _UNSEEN.sub(" ", text))
    return sentence(html.unescape(seen), 200)


def gateway_row(status: int, otherwise: str = "") -> Row:
    """What a page, or an answer without any form, means by its status alone.

    A gateway refuses for good with a few statuses only; all others pass when it is well again.
    `otherwise`: the remedy where the service itself may have refused in the same way.
    """
    if status in _WANTS_LOGIN:
        return Row(Kind.PERSON, "Give the proxy's name and password in HTTPS_PROXY.")
    if status in _REFUSALS:
        return Row(Kind.PERSON, f"{_OPEN}. {otherwise or 'It is tried again by itself.'}")
    if status == 429:
        return Row(Kind.THROTTLED)
    return Row(Kind.RETRY, "It is asked again later; look at the proxy on the way if it stays so.")
