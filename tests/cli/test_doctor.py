"""`trailkeeper doctor`: one line a part, and the exit code of the worst."""

from __future__ import annotations

from sandbox import Sandbox
from tests.cli.conftest import DAYS, Line
from tests.servers.redis import redis_server
from trailkeeper.process.lock import data_folder


def statuses(line: Line) -> tuple[int, dict[str, str]]:
    """The exit code, and each check's status by its name."""
    said = line.run("doctor", "--json")
    return said.code, {row["check"]: row["status"] for row in said.objects}


def test_a_healthy_installation(line: Line) -> None:
    """Everything is looked at; with a Redis of one's own nothing is left to say."""
    main = line.config.folder / "trailkeeper.toml"
    with redis_server() as redis:
        line.replace("[service]\n", f'[service]\nredis = "{redis.url}"\n', main)
        code, found = statuses(line)
    assert code == 0
    assert set(found) == {
        "configuration",
        "redis",
        "ledger",
        "lake",
        "landing",
        "permissions",
        "mail",
        "clock (lab)",
        f"certificate ({line.tenant})",
    }
    assert set(found.values()) == {"ok"}


def test_redis_of_a_running_service(line: Line) -> None:
    """An embedded Redis is nothing to look at while the service that brings it runs."""
    assert statuses(line)[1]["redis"] == "warning"
    with data_folder(line.config.data):
        assert statuses(line)[1]["redis"] == "ok"
        said = line.run("collect", "--tenant", line.tenant, "--from", DAYS[0], "--enqueue")
        assert "warning" not in said.err


def test_only_certificates_fail(line: Line) -> None:
    """A certificate is a person's business: exit code 20."""
    (line.config.folder / "pfx-password").write_text("wrong")
    code, found = statuses(line)
    assert code == 20
    assert found[f"certificate ({line.tenant})"] == "failed"


def test_mail_fails(line: Line, box: Sandbox) -> None:
    """A mail server that does not answer is found before the first report is due."""
    main = line.config.folder / "trailkeeper.toml"
    line.replace(f"port = {box['smtp_port']}", "port = 1", main)
    code, found = statuses(line)
    assert code == 1
    assert found["mail"] == "failed"


def row_of(line: Line, check: str) -> dict[str, str]:
    (row,) = (row for row in line.run("doctor", "--json").objects if row["check"] == check)
    return row


def test_what_does_not_answer_has_a_remedy_for_now(line: Line, box: Sandbox) -> None:
    """Nobody asks again for doctor: mail and clock say what to look at, not that they wait."""
    main = line.config.folder / "trailkeeper.toml"
    line.replace(f"port = {box['smtp_port']}", "port = 1", main)
    line.replace(f'login = "{box["login"]}"', 'login = "https://127.0.0.1:1"', main)
    mail, clock = row_of(line, "mail"), row_of(line, "clock (lab)")
    assert (mail["status"], clock["status"]) == ("failed", "failed")
    assert "[mail].smtp" in mail["remedy"]
    assert "[clouds.lab]" in clock["remedy"]
    assert not any("again" in row["remedy"] for row in (mail, clock))


def test_the_ledger_s_trouble_is_told_once(line: Line) -> None:
    """A broken ledger is the ledger's line; the lake's says only that it was not looked at."""
    line.config.data.mkdir(exist_ok=True)
    (line.config.data / "ledger.db").write_bytes(b"no database" * 1000)
    said = line.run("doctor", "--json")
    assert said.code == 1
    assert said.out.count("is not a SQLite database") == 1
    assert row_of(line, "lake")["status"] == "warning"


def test_a_copied_tenant_file(line: Line) -> None:
    """Two files that name one directory are worth a look: one customer's log under two names."""
    (line.file.parent / "copied.toml").write_text(line.file.read_text())
    row = line.run("doctor", "--json").objects[0]
    assert row["status"] == "warning"
    assert "copied" in row["detail"]
    assert line.tenant in row["detail"]
