"""Bytes that are text: one way in for files and answers, whatever program wrote them.

Windows programs begin a text with a byte order mark; PowerShell's `>` and `Out-File` write UTF-16.
Editors and services do as they like, so nobody who reads a text from outside decodes it by himself.
"""

from __future__ import annotations

import codecs
import re

_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def utf8(data: bytes) -> bytes:
    """`data` without its byte order mark, in UTF-8 if the mark says UTF-16. Never raises: units of
    UTF-16 that say nothing become U+FFFD, and bytes that are no UTF-8 are left as they are."""
    encoding = _UTF16_MARKS.get(data[:2])
    if encoding:
        data = data[2:].decode(encoding, "replace").encode()
    while data.startswith(_UTF8_MARK):
        data = data[len(_UTF8_MARK) :]
    return data


def decoded(data: bytes) -> str:
    """The text of a file that a person or a program wrote. Raises `UnicodeDecodeError`."""
    return utf8(data).decode("utf-8")


def legible(data: bytes) -> str:
    """As `decoded`; a byte that is no UTF-8 is shown as `\\xNN` instead of raising, so that no JSON
    with such a byte is JSON any more. Half a surrogate pair, which some write, stays what it is."""
    data = utf8(data)
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return shown_bytes(data.decode("utf-8", "surrogateescape"))


def shown_bytes(text: str) -> str:
    """`text`, decoded with `surrogateescape`, its bad bytes shown. A backslash before one shall not
    make it the escape of a backslash."""
    return _BAD_BYTE.sub(_shown, text)


_BAD_BYTE = re.compile(r"(\\*)([\udc80-\udcff])")


def _shown(found: re.Match[str]) -> str:
    before = found[1] + "\\" * (len(found[1]) % 2)
    return f"{before}\\x{ord(found[2]) - 0xDC00:02x}"


_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """`text` for a terminal or a log: what moves cursors, turns text round, hides in it or cannot
    be written at all is shown as JSON's escape, so that JSON stays the same value."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
