"""Planted secrets, and the search for them: in bytes, in Redis, on command lines, in core files."""

from __future__ import annotations

import base64
import binascii
import re
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.microsoft.identity import Pair

# Any JWT: every token and every assertion is one, and begins with a base64 of '{"'.
_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}={0,2}\.[A-Za-z0-9_-]{3,}")
_PEM = re.compile(rb"BEGIN [A-Z ]*PRIVATE KEY")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.)")
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_PIECE = 24
"""bytes of a key that are searched for at a time"""


@dataclass(frozen=True)
class Canaries:
    """What must be found nowhere."""

    texts: tuple[bytes, ...]

    def found_in(self, content: bytes) -> list[bytes]:
        """Each secret that `content` shows, plainly or under one layer of base64."""
        whole = content + b"\n" + b"\n".join(_unfolded(content))
        found = [text for text in self.texts if text in whole]
        return found + _JWT.findall(whole)[:3] + _PEM.findall(whole)[:3]


def canaries(pair: Pair, password: str, *bodies: str) -> Canaries:
    """A certificate's key in every usual spelling, the password of its file, and record bodies."""
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    numbers = pair.key.private_numbers()
    texts = [password.encode(), base64.b64encode(password.encode()).rstrip(b"=")]
    for number in (numbers.d, numbers.p, numbers.q):
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        texts += [raw[:_PIECE], raw[::-1][:_PIECE]]  # as DER has it, and as memory may
        texts += [raw.hex().encode()[: 2 * _PIECE], str(number).encode()[: 2 * _PIECE]]
    texts += [line[:_PIECE] for line in pair.key_pem().splitlines()[2:-2]]
    texts += [body.encode() for body in bodies]
    return Canaries(tuple(texts))


def _unfolded(content: bytes) -> Iterator[bytes]:
    """What base64-looking runs hold: a task message's body travels so."""
    for run in _BASE64.findall(content):
        plain = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            yield base64.b64decode(plain + b"=" * (-len(plain) % 4))
        except binascii.Error:
            continue


def everything_in(client: redis.Redis) -> dict[bytes, bytes]:
    """Every key with its whole value, whatever its type, expiry or database."""
    found: dict[bytes, bytes] = {}
    for key in client.scan_iter(count=1000):
        value = _value(client, key)
        found[key] = key + b" " + (client.dump(key) or b"") + b" " + value
    return found


def _value(client: redis.Redis, key: bytes) -> bytes:
    match client.type(key):
        case b"string":
            return client.get(key) or b""
        case b"list":
            return b"\n".join(client.lrange(key, 0, -1))
        case b"hash":
            return b"\n".join(part for pair in client.hgetall(key).items() for part in pair)
        case b"set":
            return b"\n".join(client.smembers(key))
        case b"zset":
            return b"\n".join(client.zrange(key, 0, -1))
        case b"none":  # gone meanwhile
            return b""
        case b"stream":
            return repr(client.xrange(key)).encode()
        case other:
            raise AssertionError(f"a value of type {other!r} cannot be searched yet")


@dataclass
class Watch:
    """Everything that went to Redis or stood on a command line while it was open."""

    commands: list[bytes] = field(default_factory=list)
    command_lines: set[bytes] = field(default_factory=set)
    """of every process of this machine"""
    ours: set[bytes] = field(default_factory=set)
    """of those below the test's own"""


@contextmanager
def watching(url: str) -> Iterator[Watch]:
    """Listens to every command that Redis is sent, and reads /proc/*/cmdline all the time."""
    watch, over = Watch(), threading.Event()
    client = redis.Redis.from_url(url, socket_timeout=None)
    with client, client.monitor() as monitor:
        threads = [
            threading.Thread(target=_listen, args=(monitor, watch), daemon=True),
            threading.Thread(target=_look_around, args=(watch, over), daemon=True),
        ]
        for thread in threads:
            thread.start()
        yield watch
        over.set()
        client.set("watching", "over")  # the listener's last word
        for thread in threads:
            thread.join(30)


def _listen(monitor: redis.client.Monitor, watch: Watch) -> None:
    for said in monitor.listen():
        command = said["command"].encode("utf-8", "surrogateescape")
        watch.commands.append(_ESCAPED.sub(_plain, command))
        if command == b"SET watching over":
            return


def _plain(escaped: re.Match[bytes]) -> bytes:
    """What MONITOR writes as \\x1b, \\n or \\" """
    what = escaped[1]
    if len(what) == 3:
        return bytes.fromhex(what[1:].decode())
    return _LETTERS.get(what, what)


def _look_around(watch: Watch, over: threading.Event) -> None:
    while not over.wait(0.2):
        below = {process.pid for process in psutil.Process().children(recursive=True)}
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = process.read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            watch.command_lines.add(line)
            if int(process.parent.name) in below:
                watch.ours.add(line)


@contextmanager
def core_files_allowed() -> Iterator[None]:
    """Processes started inside may dump core, as far as this machine lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
