"""Seeded, realistic records that may ship with the project; rendered on demand.

A generated record is its number: everything in its text follows from (seed, number), so millions
fit in memory and a page costs one hash and one bytes format a row.
"""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Sequence
from hashlib import blake2b

from sandbox import record_types, rows
from sandbox.clock import MICROSECOND
from sandbox.rhythm import Timeline
from sandbox.templates import KINDS, compiled

_FIRST = (
    "amsel",
    "birke",
    "corvin",
    "dorle",
    "egil",
    "fenja",
    "garlef",
    "hedda",
    "isko",
    "jorun",
    "kjell",
    "linnea",
    "mirko",
    "nelle",
    "orm",
    "pippa",
    "quirin",
    "runa",
    "silke",
    "torge",
    "ulla",
    "veit",
    "wiebke",
    "xaver",
    "ylva",
    "zeno",
)
_LAST = (
    "aschbrook",
    "bramfeld",
    "coldwell",
    "dorngate",
    "elmsby",
    "fennmoor",
    "glimmer",
    "heathrow",
    "inkpen",
    "jessop",
    "kestrel",
    "larkin",
    "moorwood",
    "nettle",
    "oakham",
    "pebble",
    "quillfeather",
    "rushton",
    "sedgewick",
    "thistle",
    "umber",
)
_SITES = b"Apiary Bakery Cellar Dockyard Ferry Granary Harbour Lighthouse Orchard Quarry".split()
_FILES = (
    b"Budget.docx",
    b"Tide tables 2026.docx",
    b"Menu.docx",
    b"R\xc3\xa9sum\xc3\xa9.docx",
    b"Minutes of the harbour board.docx",
    b"Price list (final) (2).docx",
    b"Plan.docx",
)
_AGENTS = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Edg/141.0",
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.4 Safari/605.1.15",
    b"Microsoft SkyDriveSync 25.179.0914.0003 ship; Windows NT 10.0 (26100)",
    b"axios/1.7.2",
)
_BULKY = frozenset(i for i, kind in enumerate(KINDS) if b"%(bulk)s" in kind.form)
_PLAN = compiled({"x": '{"SkuName":"LAB_<<sku>>","Plan":"<<plan>>","Status":"Enabled"},'})
_PLAN = _PLAN[_PLAN.index(b":") + 3 : -3]


class GeneratedSource:
    """Rows of one timeline, made when asked for."""

    def __init__(self, seed: str, tenant_id: str, domain: str, timeline: Timeline) -> None:
        self._key = blake2b(seed.encode(), digest_size=32).digest()
        self._tenant = tenant_id.encode()
        self._domain = domain.encode()
        self._kinds = timeline.kinds
        self._actors = timeline.actors
        self._types = [rows.quoted(record_types.name_of(k.record_type)) for k in KINDS]
        self._operations = [rows.quoted(k.operation) for k in KINDS]

    def record_type(self, number: int) -> int | None:
        return KINDS[self._kinds[number]].record_type

    def operation(self, number: int) -> str:
        return KINDS[self._kinds[number]].operation

    def user(self, number: int) -> str:
        fixed = KINDS[self._kinds[number]].user
        return self._user(number).decode() if fixed.startswith("<<") else fixed

    def identity(self, number: int) -> str:
        return _guid(self._digest(number).hex()).decode()

    def text(self, number: int, time: int) -> str:
        kind = self._kinds[number]
        second = rows.creation_date(time // MICROSECOND)[:19]
        fields = self._fields(number, kind, self._digest(number), second)
        # The form is escaped, as it stands inside a row: the decoder takes that off again.
        return str(json.loads(b'"%b"' % (KINDS[kind].form % fields)))

    def content_type(self, number: int) -> int:
        return KINDS[self._kinds[number]].content_type

    def _digest(self, number: int) -> bytes:
        return blake2b(number.to_bytes(8, "little"), key=self._key).digest()

    def _user(self, number: int) -> bytes:
        actor = self._actors[number]
        family, rest = divmod(actor, len(_FIRST))
        extra, family = divmod(family, len(_LAST))
        suffix = str(extra) if extra else ""
        name = f"{_FIRST[rest]}.{_LAST[family]}{suffix}@".encode()
        # One person appears in two casings now and then, as in real logs.
        return (name.title() if number % 53 == 0 else name) + self._domain

    def body(self, number: int, time: int) -> bytes:
        kind = self._kinds[number]
        raw = self._digest(number)
        fields = self._fields(number, kind, raw, rows.creation_date(time // MICROSECOND)[:19])
        user = fields[b"user"]
        shown = rows.quoted(KINDS[kind].user) if KINDS[kind].user != "<<user>>" else b'"%s"' % user
        return rows.body(
            self._types[kind],
            time,
            shown,
            self._operations[kind],
            KINDS[kind].form % fields,
            fields[b"id"],
        )

    def _fields(self, number: int, kind: int, raw: bytes, time: bytes) -> dict[bytes, bytes]:
        word = raw.hex()
        host = b"%d.%d.%d" % (raw[50] % 223 + 1, raw[51], raw[52])
        port = b"%d" % (1024 + raw[53] * 250 + raw[54])
        file, site = _FILES[raw[55] % len(_FILES)], _SITES[raw[56] % len(_SITES)]
        return {
            b"time": time,
            b"id": _guid(word),
            b"tenant": self._tenant,
            b"domain": self._domain,
            b"user": self._user(number),
            b"key": b"1003" + word[32:44].encode(),
            b"correlation": _guid(word[32:]),
            b"session": _guid(word[64:]),
            b"object": _guid(word[40:]),
            b"app": _guid(word[20:]),
            b"puid": word[72:88].encode(),
            b"address": host + b".7",
            b"ip": _address(raw, host, port),
            b"port": port,
            b"agent": _AGENTS[raw[57] % len(_AGENTS)],
            b"file": file,
            b"site": site,
            b"token": word[90:112].encode(),
            b"bulk": _bulk(raw) if kind in _BULKY else b"",
            b"url": b"https://lab.sharepoint.example/sites/%b/%b" % (site, file),
        }


def _guid(word: str) -> bytes:
    return f"{word[:8]}-{word[8:12]}-4{word[13:16]}-a{word[17:20]}-{word[20:32]}".encode()


def _address(raw: bytes, host: bytes, port: bytes) -> bytes:
    """Plain, with a port, IPv6 with brackets and port: all three occur."""
    if raw[49] < 200:
        return host + b".%d" % raw[48]
    if raw[49] < 240:
        return host + b".%d:%b" % (raw[48], port)
    return b"[2001:db8:%x::%x]:%b" % (raw[48], raw[51], port)


def _bulk(raw: bytes) -> bytes:
    """Licence plans: few bytes mostly, sometimes kilobytes, rarely tens of kilobytes."""
    if raw[46] == 0 and raw[45] < 128:
        count = 300 + raw[44] * 3
    else:
        count = raw[47] // 12 if raw[46] < 40 else raw[47] // 85
    return b"".join(
        _PLAN % {b"sku": b"%d" % i, b"plan": raw[i % 40 : i % 40 + 8].hex().encode()}
        for i in range(count)
    )


# Share of records that have arrived so many hours after they occurred (load profile).
_LATENESS = ((0.80, 0.1, 1.0), (0.95, 1.0, 24.0), (0.998, 24.0, 48.0), (1.0, 48.0, 168.0))


def arrivals(times: Sequence[int], mode: str, seed: str) -> array[int]:
    """When each record becomes visible: `instant`, `typical`, or seconds of fixed delay."""
    if mode == "instant":
        return array("q", times)
    if mode != "typical":
        fixed = int(float(mode) * MICROSECOND)
        return array("q", [time + fixed for time in times])
    rng = random.Random(seed)
    return array("q", [time + delay(rng) for time in times])


def delay(rng: random.Random) -> int:
    draw = rng.random()
    low, high = next((low, high) for share, low, high in _LATENESS if draw <= share)
    return int(rng.uniform(low, high) * 3600 * MICROSECOND)
