"""`trailkeeper up` against the sandbox, as an operator sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest

from sandbox import Sandbox
from tests.e2e.services import Running, running, until
from trailkeeper.cli.demo_folder import DemoTenant, write_main, write_tenant

BERLIN = ZoneInfo("Europe/Berlin")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole service")]


def _configuration(folder: Path, service: str = "") -> Path:
    """A folder without tenants: enough for Redis, the workers and beat."""
    configuration = folder / "trailkeeper.d"
    configuration.mkdir(parents=True)
    text = f'[service]\ndata = "../data"\n{service}\n'
    (configuration / "trailkeeper.toml").write_text(text, encoding="utf-8")
    return configuration


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[tuple[Path, Sandbox]]:
    """A configuration of one tenant with a small last month, and the sandbox it points at."""
    tenant = DemoTenant("contoso", "Europe/Berlin", 0)
    with Sandbox(tmp_path / "sandbox", tenants=["contoso"], rate=60) as box:
        folder = tmp_path / "trailkeeper.d"
        write_main(folder, box.description)
        month = tenant.month(datetime.now(UTC))
        box.control.register("contoso", write_tenant(folder, tenant, box.tenant("contoso"), month))
        yield folder, box


def _ready(service: Running) -> bool:
    assert service.process.poll() is None, service.stderr
    said = service.stderr
    return all(f"{name}@" in said for name in ("keep", "plan", "pull")) and "beat: Starting" in said


def test_up_collects_reports_and_leaves_nothing(
    collecting: tuple[Path, Sandbox], tmp_path: Path
) -> None:
    """`up` collects last month whole, mails its report, and on SIGTERM ends leaving nobody."""
    configuration, box = collecting
    with running("up", "--config", str(configuration), folder=tmp_path / "out") as service:
        until(lambda: service.process.poll() is not None or bool(box.control.mail()), "the report")
        assert service.process.poll() is None, service.stderr
        code = service.stop()
        assert code == 0, service.stderr
        assert service.left() == []
    [mail] = box.control.mail()
    assert "security@contoso.example" in mail.read_text("utf-8", "replace")
    window = DemoTenant("contoso", "Europe/Berlin", 0).month(datetime.now(UTC)).window(BERLIN)
    span = window.start.isoformat(), window.end.isoformat()
    words = ("export", "--tenant", "contoso", "--from", span[0], "--to", span[1])
    with running("--config", str(configuration), *words, folder=tmp_path / "export") as export:
        assert export.process.wait(timeout=120) == 0, export.stderr
        found = sorted(export.stdout.splitlines())
    assert found == sorted(each["AuditData"] for each in box.control.records("contoso", *span))
    assert found


def test_a_second_up_is_refused(tmp_path: Path) -> None:
    """A second `up` on the same data folder ends with 1 and one sentence that names the first."""
    configuration = str(_configuration(tmp_path))
    with running("up", "--config", configuration, folder=tmp_path / "first") as first:
        until(lambda: _ready(first), "the first service")
        with running("up", "--config", configuration, folder=tmp_path / "second") as second:
            assert second.process.wait(timeout=60) == 1
            assert f"(process {first.process.pid})" in second.stderr
            assert len(second.stderr.splitlines()) == 1
        assert first.stop() == 0


def test_a_killed_up_leaves_no_orphan(tmp_path: Path) -> None:
    """After `kill -9` of `up` none of its processes lives on, and the next `up` may start."""
    configuration = str(_configuration(tmp_path))
    with running("up", "--config", configuration, folder=tmp_path / "first") as service:
        until(lambda: _ready(service), "the service")
        assert len(service.family()) >= 7  # Redis, beat, two masters, three pool processes
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        until(lambda: service.left() == [], "the orphans' end")
    with running("up", "--config", configuration, folder=tmp_path / "second") as again:
        until(lambda: _ready(again), "the next service")
        assert again.stop() == 0


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """Workers, beat and Redis are started again when killed; a worker's pool dies with it."""
    configuration = str(_configuration(tmp_path))
    with running("up", "--config", configuration, folder=tmp_path / "out") as service:
        until(lambda: _ready(service), "the service")
        for part in ("pull@", "beat.app", "redis-server"):
            before = {each.pid for each in service.named(part)}
            master = min(service.named(part), key=lambda each: each.create_time())
            master.kill()
            until(
                lambda part=part, before=before: _others(service, part, before),  # type: ignore[misc]  # bound early
                f"another {part}",
            )
            assert not [pid for pid in before if _alive(pid)]
        assert service.stop() == 0
        assert service.left() == []
    ended = [json.loads(line) for line in service.stderr.splitlines() if "child_ended" in line]
    assert {line["child"] for line in ended} >= {"pull", "beat", "redis"}


def _others(service: Running, part: str, before: set[int]) -> bool:
    return bool({each.pid for each in service.named(part)} - before)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_embedded_password_stays_private(tmp_path: Path) -> None:
    """The embedded Redis refuses strangers, and its password is in no argv and no public file."""
    configuration = str(_configuration(tmp_path))
    with running("up", "--config", configuration, folder=tmp_path / "out") as service:
        until(lambda: _ready(service), "the service")
        path = tmp_path / "data" / "redis" / "redis.conf"
        settings = dict(line.split(" ", 1) for line in path.read_text("utf-8").splitlines())
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
        password = settings["requirepass"]
        for each in service.family():
            assert password not in " ".join(each.cmdline())
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect(settings["unixsocket"].strip('"'))
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(100).startswith(b"-NOAUTH")
        assert service.stop() == 0
    assert password not in service.stderr + service.stdout


@pytest.mark.parametrize(
    ("service", "expected", "code"),
    [
        ('redis = "redis://127.0.0.1:1/0"', "Redis at 127.0.0.1:1 does not answer", 1),
        ('redis = "redis://:hush@127.0.0.1:1/0"', "redis_password", 2),
        ('redis = "redis://10.0.0.1/0"', "insecure_redis", 2),
        ('redis = "amqp://127.0.0.1"', "redis://, rediss:// or unix://", 2),
        ("workers = 0", "service.workers", 2),
        ("wrokers = 2", "unknown key", 2),
    ],
    ids=["redis gone", "password", "bare", "other broker", "bad value", "unknown key"],
)
def test_up_refuses_in_one_sentence(tmp_path: Path, service: str, expected: str, code: int) -> None:
    """What keeps `up` from starting is one sentence with its remedy, no traceback, no secret."""
    configuration = str(_configuration(tmp_path, service))
    with running("up", "--config", configuration, folder=tmp_path / "out") as refused:
        assert refused.process.wait(timeout=60) == code
        assert expected in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert "hush" not in refused.stderr


def test_up_refuses_an_unwritable_data_folder(tmp_path: Path) -> None:
    """A data folder that cannot be made is refused with its path and what to do."""
    configuration = str(_configuration(tmp_path))
    (tmp_path / "data").write_text("a file stands here", encoding="utf-8")
    with running("up", "--config", configuration, folder=tmp_path / "out") as refused:
        assert refused.process.wait(timeout=60) == 1
        assert f"{tmp_path / 'data'} cannot be written" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert os.listdir(tmp_path / "out")
