"""Which Redis is refused, and by which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from kombu import Connection

from trailkeeper.errors import ConfigurationError
from trailkeeper.settings import Settings, load
from wire.transport import kombu_url, transport

TLS = "rediss://redis.example:6379/0"


def _settings(folder: Path, *lines: str) -> Settings:
    (folder / "secret").write_text("hush-hush")
    (folder / "trailkeeper.toml").write_text("\n".join(("[service]", *lines)))
    return load(folder)


@pytest.mark.parametrize(
    ("url", "password", "words"),
    [
        ("redis://10.0.0.1/0", False, "no password"),
        ("redis://10.0.0.1/0", True, "without TLS"),
        ("redis://redis:6379/0", True, "without TLS"),
        ("redis://[2001:db8::1]:6379/0", True, "without TLS"),
        ("redis://0.0.0.0/0", True, "without TLS"),
        ("redis://127.0.0.1.example/0", True, "without TLS"),
        (TLS, False, "no password"),
        (f"{TLS}?ssl_cert_reqs=none", True, "ssl_cert_reqs=none"),
        (f"{TLS}?ssl_cert_reqs=CERT_NONE", True, "ssl_cert_reqs"),
        (f"{TLS}?ssl_cert_reqs=optional", True, "ssl_cert_reqs"),
        (f"{TLS}?ssl_check_hostname=False", True, "ssl_check_hostname"),
        ("redis://:written@127.0.0.1/0", False, "redis_password"),
    ],
)
def test_what_others_can_read_or_write_is_refused(
    tmp_path: Path, url: str, password: bool, words: str
) -> None:
    """By a sentence with the remedy and no secret; `insecure_redis` allows it."""
    lines = [f'redis = "{url}"', 'redis_password = "file:secret"' if password else ""]
    with pytest.raises(ConfigurationError, match=words) as refused:
        _settings(tmp_path, *lines).broker_url()
    assert "hush-hush" not in str(refused.value)
    assert "written@" not in str(refused.value)
    allowed = _settings(tmp_path, *lines, "insecure_redis = true")
    assert allowed.broker_url()
    assert any(words in danger for danger in allowed.redis_dangers())


@pytest.mark.parametrize(
    "url",
    [
        "amqp://127.0.0.1",
        "memory://",
        "sentinel://127.0.0.1",
        "redis+socket:///x",
        "redis://127.0.0.1/0;amqp://10.0.0.1",
        "127.0.0.1:6379",
    ],
)
def test_nothing_but_redis_is_a_broker(tmp_path: Path, url: str) -> None:
    """Not even where an insecure one is allowed."""
    with pytest.raises(ConfigurationError, match="redis://, rediss:// or unix://"):
        _settings(tmp_path, f'redis = "{url}"', "insecure_redis = true").broker_url()


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1:6379/0", "redis://localhost/0", "redis://[::1]/0", "unix:///run/r.sock"],
)
def test_this_machine_needs_no_password(tmp_path: Path, url: str) -> None:
    """Loopback and a socket are ours."""
    assert _settings(tmp_path, f'redis = "{url}"').broker_url() == url


def test_tls_is_checked_also_where_nothing_is_said(tmp_path: Path) -> None:
    """kombu connects by TLS and asks for a certificate that it knows."""
    lines = [f'redis = "{TLS}"', 'redis_password = "file:secret"']
    url = _settings(tmp_path, *lines).broker_url()
    queue = Connection(kombu_url(url), transport=transport(url, bytes(32)))
    assert queue.ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"
    assert queue.password == "hush-hush"
