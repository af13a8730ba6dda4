"""Mail addresses, read so that the mailbox that is written to is the one that a reader sees.

People read the configuration, mail servers the envelope. Whatever the two could take for different
mailboxes is refused: what a decoder would turn into something else (encoded words, quoted local
parts, comments), several addresses in one text, routes hidden in a local part, invisible and
look-alike characters, and international domains that are not valid as IDNA 2008 (RFC 5891). The
older IDNA 2003 turns `straße.example` into `strasse.example`, which is somebody else's.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_NAME_LIMIT = 100
_LONGEST = 512
_ATOM = r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"(?=.{{1,64}}$){_ATOM}(\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?!\d+$){_LABEL}")
_NAMED = re.compile(r'(?P<name>"[^"\\<>]*" *|[^"\\<>]*)<(?P<address>[^<>\s]+)>')
_UNUSUAL_IN_NAMES = re.compile(r"[<>@]|=\?|\?=")
_OUTSIDE_QUOTES = re.compile(r'[()\[\],;:"\\]')
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""letters and marks by their category that show nothing"""
_LATIN_TWINS = frozenset("асеорхуіјѕԁԛԝһӏ")
_TWIN_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})


class AddressError(ValueError):
    """The text is not an address that can be written to; the message says why."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A checked address: ASCII, one line, no second address hidden in it."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read `a@b.example` or `Name <a@b.example>`; an international domain becomes ASCII.

        Raises `AddressError`.
        """
        _refuse_unseen(text)
        bare = text.strip()
        named = _NAMED.fullmatch(bare)
        name, address = (named["name"].strip(), named["address"]) if named else ("", bare)
        local, at, domain = address.partition("@")
        if not at or not _LOCAL_PART.fullmatch(local) or "=?" in local:
            raise AddressError(
                "it is not one address in the form name@domain, in plain ASCII letters and without "
                "quotes, '%', '!', comments or a second address"
            )
        return cls(f"{local}@{ascii_domain(domain)}", _shown_name(name))


def _refuse_unseen(text: str) -> None:
    if len(text) > _LONGEST:
        raise AddressError(f"it is longer than {_LONGEST} characters")
    if any(_is_unseen(character) for character in text):
        raise AddressError("it holds a control or invisible character: type it anew")


def _is_unseen(character: str) -> bool:
    """Controls, marks of direction, what has no width, and every blank but the usual one."""
    kind = unicodedata.category(character)
    selects = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return (kind[0] in "CZ" and character != " ") or selects or character in _BLANKS


def _shown_name(name: str) -> str:
    """What a reader sees beside the address. Nothing in it may look like one, or decode to more."""
    quoted = len(name) >= 2 and name[0] == name[-1] == '"'
    inner = name[1:-1] if quoted else name
    plain = unicodedata.normalize("NFKC", inner)
    if _UNUSUAL_IN_NAMES.search(plain) or (not quoted and _OUTSIDE_QUOTES.search(plain)):
        raise AddressError(
            "its display name holds what mail programs read as an address, a list, a comment or an "
            "encoded word: use letters, digits and blanks"
        )
    return inner.strip()[:_NAME_LIMIT]


def ascii_domain(domain: str) -> str:
    """The name that DNS is asked for. Raises `AddressError`.

    ASCII is kept as it is written; the rest is IDNA 2008, without any mapping but lower case.
    """
    if unicodedata.normalize("NFKC", domain) != domain:
        raise AddressError("its domain holds a look-alike of a letter or a dot: type it anew")
    host = domain
    if not domain.isascii() or "xn--" in domain.lower():
        host = _encoded(domain.lower())
    if not _HOST.fullmatch(host):
        raise AddressError("its domain is not a name that DNS can hold")
    return host


def _encoded(domain: str) -> str:
    import idna  # seldom needed

    try:
        host = idna.encode(domain, strict=True).decode("ascii")
        shown = idna.decode(host, strict=True)
    except (idna.IDNAError, UnicodeError):
        raise AddressError(
            "its international domain is not valid (IDNA 2008): write the xn--… name that your "
            "registrar shows"
        ) from None
    if not domain.isascii() and any(_may_deceive(label) for label in shown.split(".")):
        raise AddressError(
            "its domain mixes letters that look alike: if it is meant so, write its xn--… name"
        )
    return host


def _may_deceive(label: str) -> bool:
    letters = [character for character in label if character.isalpha()]
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in letters}
    twins = bool(letters) and not label.isascii() and set(letters) <= _LATIN_TWINS
    return len(scripts & _TWIN_SCRIPTS) > 1 or twins
