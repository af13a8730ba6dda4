from __future__ import annotations

import base64
import secrets
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import structlog

from tests.servers.redis import RedisServer, redis_server
from trailkeeper.errors import ConfigurationError, Unavailable
from trailkeeper.microsoft.identity.forked_tokens import ForkedTokens
from trailkeeper.microsoft.identity.token_cache import (
    MemoryTokens,
    RedisTokens,
    StoreDown,
    TokenCache,
    TokenStore,
    locked,
    redis_tokens,
)
from trailkeeper.microsoft.identity.token_crypto import TokenKeys, token_keys
from trailkeeper.settings import ServiceSettings, Settings

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)


def patient(_: float) -> None:
    threading.Event().wait(0.005)


@pytest.fixture(params=["memory", "forked", "redis"])
def store(request: pytest.FixtureRequest, shared_redis: RedisServer) -> TokenStore:
    """The contract below holds for all stores."""
    shared_redis.client().flushall()
    if request.param == "memory":
        return MemoryTokens()
    if request.param == "forked":
        return ForkedTokens()
    return redis_tokens(shared_redis.url, TokenKeys(NEW))


def test_what_is_written_is_read(store: TokenStore) -> None:
    """A text comes back with a stamp; an owner who wrote nothing has none."""
    assert store.read("a") == ("", b"")
    assert store.swap("a", b"", "text", 60)
    assert store.read("a")[0] == "text"
    assert store.read("b") == ("", b"")


def test_a_swap_after_another_fails(store: TokenStore) -> None:
    """A write based on a text that changed meanwhile is refused and changes nothing."""
    _, before = store.read("a")
    assert store.swap("a", before, "first", 60)
    assert not store.swap("a", before, "second", 60)
    assert store.read("a")[0] == "first"
    assert store.swap("a", store.read("a")[1], "third", 60)
    assert store.read("a")[0] == "third"


def test_an_empty_text_removes(store: TokenStore) -> None:
    """Writing nothing removes what was there, so that the next writer begins anew."""
    store.swap("a", b"", "text", 60)
    assert store.swap("a", store.read("a")[1], "", 60)
    assert store.read("a") == ("", b"")
    assert store.swap("a", b"", "again", 60)


def test_one_holds_the_lock_and_only_it_releases(store: TokenStore) -> None:
    """A lock is held once; a stranger's release leaves it."""
    name = store.try_lock("a")
    assert name
    assert store.try_lock("a") == ""
    assert store.try_lock("b")
    store.unlock("a", "somebody else")
    assert store.try_lock("a") == ""
    store.unlock("a", name)
    assert store.try_lock("a")


def test_concurrent_swaps_lose_nothing(store: TokenStore) -> None:
    """Eight writers that read, add and swap in a loop end with every addition."""

    def add(word: str) -> None:
        while True:
            text, stamp = store.read("a")
            if store.swap("a", stamp, f"{text} {word}", 60):
                return

    threads = [threading.Thread(target=add, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.read("a")[0].split()) == [str(n) for n in range(8)]


def test_waiting_ends_when_somebody_else_has_served(store: TokenStore) -> None:
    """Who waits for the lock stops waiting as soon as the cache holds what it wanted."""
    store.try_lock("a")
    asked = iter([False, False, True])
    with locked(store, "a", patient, lambda: next(asked)) as ours:
        assert not ours


def forking(code: str) -> str:
    """What `code` prints, in a process of its own: this one has threads, and must not fork."""
    begin = (
        "import os, signal\nfrom trailkeeper.microsoft.identity.forked_tokens import ForkedTokens\n"
    )
    words = [sys.executable, "-c", begin + textwrap.dedent(code)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_what_forked_processes_write_is_read() -> None:
    """Eight processes add a hundred words each, all at the same time, and none is lost."""
    code = """
        store = ForkedTokens()
        for number in range(8):
            if not os.fork():
                left = 100
                while left:
                    text, stamp = store.read("a")
                    left -= store.swap("a", stamp, f"{text} {number}", 60)
                os._exit(0)
        for _ in range(8):
            os.wait()
        words = store.read("a")[0].split()
        print([words.count(str(number)) for number in range(8)])
    """
    assert forking(code) == str([100] * 8)


def test_a_process_that_dies_over_the_table_blocks_nobody() -> None:
    """Killed between emptying and writing it: the others find nothing in it, and go on."""
    code = """
        store = ForkedTokens()
        store.swap("a", b"", "text", 60)
        if not os.fork():
            with store._opened():
                os.ftruncate(store._file, 5)
                os.kill(os.getpid(), signal.SIGKILL)
        os.wait()
        print(store.read("a"), store.swap("a", b"", "again", 60), store.read("a")[0])
    """
    assert forking(code) == "('', b'') True again"


def test_redis_holds_only_sealed_text(shared_redis: RedisServer) -> None:
    """Neither the text nor a part of it can be read from Redis, and every value expires."""
    store = redis_tokens(shared_redis.url, TokenKeys(NEW))
    shared_redis.client().flushall()
    store.swap("a", b"", "token-canary", 60)
    client = shared_redis.client()
    for key in client.keys("*"):
        assert b"canary" not in key
        assert b"canary" not in client.get(key)
        assert 0 < client.pttl(key) <= 60_000


def test_a_changed_key_reads_the_old_and_writes_the_new(shared_redis: RedisServer) -> None:
    """After a key change what was sealed before still opens; what is written opens with the new."""
    shared_redis.client().flushall()
    redis_tokens(shared_redis.url, TokenKeys(OLD)).swap("a", b"", "text", 60)
    both = redis_tokens(shared_redis.url, TokenKeys(NEW, OLD))
    text, stamp = both.read("a")
    assert text == "text"
    assert both.swap("a", stamp, "text", 60)
    assert redis_tokens(shared_redis.url, TokenKeys(NEW)).read("a")[0] == "text"


@pytest.mark.parametrize("trouble", ["foreign key", "flipped bit", "moved", "cut", "clear text"])
def test_what_does_not_open_counts_as_absent(shared_redis: RedisServer, trouble: str) -> None:
    """A value under another key, altered or moved from elsewhere is no token, and is replaced."""
    client = shared_redis.client()
    client.flushall()
    store = redis_tokens(shared_redis.url, TokenKeys(NEW))
    store.swap("a", b"", "text", 60)
    sealed = client.get("trailkeeper:tokens:a")
    assert isinstance(sealed, bytes)
    strangers = {
        "foreign key": TokenKeys(OLD).seal(b"text", "a"),
        "flipped bit": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "moved": TokenKeys(NEW).seal(b"text", "b"),
        "cut": sealed[:20],
        "clear text": b'{"AccessToken": {}}',
    }
    client.set("trailkeeper:tokens:a", strangers[trouble])
    with structlog.testing.capture_logs() as logged:
        text, stamp = store.read("a")
    assert text == ""
    assert [each["event"] for each in logged] == ["token_cache_unreadable"]
    assert store.swap("a", stamp, "fresh", 60)
    assert store.read("a")[0] == "fresh"


def test_the_same_text_is_never_sealed_the_same() -> None:
    """Every sealing has its own nonce."""
    keys = TokenKeys(NEW)
    assert len({keys.seal(b"text", "a") for _ in range(100)}) == 100


def test_a_dead_redis_is_left_alone_for_a_while() -> None:
    """After a failure this process keeps its own tokens and tries Redis again later."""
    now = [0.0]
    with redis_server() as redis, structlog.testing.capture_logs() as logged:
        cache = TokenCache(redis_tokens(redis.url, TokenKeys(NEW)), lambda: now[0])
        cache.using(lambda store: store.swap("a", b"", "shared", 60))
        redis.stop()
        assert cache.using(lambda store: store.read("a")[0]) == ""
        cache.using(lambda store: store.swap("a", b"", "own", 60))
        redis.start()
        redis.client().set("trailkeeper:tokens:b", b"")
        assert cache.using(lambda store: store.read("a")[0]) == "own"
        now[0] = 60.0
        assert cache.using(lambda store: type(store)) is RedisTokens
    assert [each["event"] for each in logged] == ["token_cache_unreachable"]


def test_a_wrong_password_of_redis_counts_as_down() -> None:
    """Redis refusing us is as good as down, and its password is not in the error."""
    with redis_server() as redis:
        client = redis.client()
        client.config_set("requirepass", "right")
        url = redis.url.replace("redis://", "redis://:wrong-canary@")
        with pytest.raises(StoreDown) as caught:
            redis_tokens(url, TokenKeys(NEW)).read("a")
    assert "canary" not in str(caught.value)


def settings_in(folder: Path, **service: object) -> Settings:
    return Settings(folder=folder, service=ServiceSettings(data=folder / "data", **service))  # type: ignore[arg-type]  # names and values of any kind


def test_the_key_file_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    """Without a configured key one is made under the data folder, 0600, and found again."""
    settings = settings_in(tmp_path)
    sealed = token_keys(settings).seal(b"text", "a")
    assert token_keys(settings).open(sealed, "a") == b"text"
    path = tmp_path / "data" / "token.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["token.key"]


def test_many_first_starters_share_one_key(tmp_path: Path) -> None:
    """Workers that start at once on an empty data folder end with the same key."""
    settings = settings_in(tmp_path)
    gate = threading.Barrier(8)
    made: list[TokenKeys] = []

    def start() -> None:
        gate.wait()
        made.append(token_keys(settings))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = made[0].seal(b"text", "a")
    assert [keys.open(sealed, "a") for keys in made] == [b"text"] * 8


def test_configured_keys_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured key seals, the previous one still opens, and no file is made."""
    monkeypatch.setenv("TOKEN_KEY_NEW", base64.b64encode(NEW).decode())
    monkeypatch.setenv("TOKEN_KEY_OLD", base64.b64encode(OLD).decode() + "\n")
    settings = settings_in(
        tmp_path, token_key="env:TOKEN_KEY_NEW", token_key_previous="env:TOKEN_KEY_OLD"
    )
    keys = token_keys(settings)
    assert TokenKeys(NEW).open(keys.seal(b"text", "a"), "a") == b"text"
    assert keys.open(TokenKeys(OLD).seal(b"text", "a"), "a") == b"text"
    assert not (tmp_path / "data").exists()
    assert base64.b64encode(NEW).decode()[:8] not in repr(keys)


@pytest.mark.parametrize("text", ["short", "!" * 44, base64.b64encode(b"x" * 31).decode()])
def test_a_key_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A configured key that is not 32 bytes in base64 is refused without being shown."""
    monkeypatch.setenv("TOKEN_KEY", text)
    with pytest.raises(ConfigurationError, match=r"service\.token_key") as caught:
        token_keys(settings_in(tmp_path, token_key="env:TOKEN_KEY"))
    assert text not in str(caught.value)


def test_an_unwritable_data_folder_is_said(tmp_path: Path) -> None:
    """A data folder that cannot be made ends in one sentence with a remedy."""
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(Unavailable, match=r"token\.key"):
        token_keys(settings_in(tmp_path))
