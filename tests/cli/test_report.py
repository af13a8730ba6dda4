"""`trailkeeper report`: rendered into a folder, sent once."""

from __future__ import annotations

import json
from datetime import date
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.cli.conftest import DAYS, Line

MONTH = DAYS[0][:7]


@pytest.fixture
def collected(seeded: Line) -> Line:
    """The month of the records, complete from its first day to now."""
    start = date.fromisoformat(f"{MONTH}-01")
    said = seeded.run("collect", "--tenant", seeded.tenant, "--from", str(start))
    assert said.code == 0, said.err
    return seeded


def letters(box: Sandbox, line: Line) -> list[str]:
    """Subjects of the mails about the tenant."""
    found = (message_from_bytes(path.read_bytes(), policy=default) for path in box.control.mail())
    return [str(m["Subject"]) for m in found if line.tenant in str(m["Subject"])]


def test_a_month_is_rendered_and_its_paths_printed(seeded: Line) -> None:
    """Paths go to standard output; a month with gaps is rendered, and says so with exit code 10."""
    seeded.collect()
    said = seeded.run("report", "--tenant", seeded.tenant, "--month", MONTH)
    assert said.code == 10
    names = {Path(path).name for path in said.out.splitlines()}
    assert {"report.html", "report.txt", "chart.png"} <= names
    assert all(Path(path).is_file() for path in said.out.splitlines())
    assert "gap: exchange" in said.err


def test_another_folder(seeded: Line, tmp_path: Path) -> None:
    """--output puts the report where it is wanted."""
    target = tmp_path / "elsewhere"
    said = seeded.run(
        "report", "--tenant", seeded.tenant, "--month", MONTH, "-o", str(target), "--json"
    )
    assert said.code == 10
    (stated,) = said.objects
    assert stated["folder"] == str(target)
    assert len(json.loads((target / "report.json").read_text())["review"]) == 13
    assert {Path(path).parent for path in stated["files"]} == {target}


def test_a_report_is_sent_once_unless_asked_again(collected: Line, box: Sandbox) -> None:
    """The second --send only says that it was sent; --again sends another one."""
    words = ("report", "--tenant", collected.tenant, "--month", MONTH, "--send")
    before = len(box.control.mail())
    first = collected.run(*words)
    assert "sent to security@contoso.example" in first.err
    assert len(box.control.mail()) == before + 1
    second = collected.run(*words)
    assert "was sent already" in second.err
    assert "--again" in second.err
    assert len(box.control.mail()) == before + 1
    assert "sent to" in collected.run(*words, "--again").err
    assert len(box.control.mail()) == before + 2


def test_a_mail_server_that_is_gone(collected: Line, box: Sandbox) -> None:
    """The report stays in the outbox, the reason is told, and the next --send delivers it."""
    main = collected.config.folder / "trailkeeper.toml"
    port = f"port = {box['smtp_port']}"
    collected.replace(port, "port = 1", main)
    words = ("report", "--tenant", collected.tenant, "--month", MONTH, "--send")
    failed = collected.run(*words)
    assert failed.code == 1
    assert "in the outbox but not sent yet" in failed.last_words
    collected.replace("port = 1", port, main)
    before = len(box.control.mail())
    assert "sent to" in collected.run(*words).err
    assert len(box.control.mail()) == before + 1


def test_a_refused_recipient_is_told(collected: Line, box: Sandbox) -> None:
    """What the mail server refuses for good ends with its words and a remedy."""
    box.control.set_fault("smtp_reply", code=550, stage="rcpt", times=0)
    said = collected.run("report", "--tenant", collected.tenant, "--month", MONTH, "--send")
    assert said.code == 1
    assert "refused the report" in said.last_words
    assert "--again" in said.last_words


def test_sending_needs_somebody_to_send_to(line: Line) -> None:
    """Without recipients or without [mail] nothing is rendered, and the missing part is named."""
    line.replace('to = ["security@contoso.example"]\n', "")
    words = ("report", "--tenant", line.tenant, "--month", MONTH, "--send")
    said = line.run(*words)
    assert said.code == 2
    assert "names no recipient" in said.last_words
    assert not (line.config.data / "reports").exists()


def test_again_without_send(line: Line) -> None:
    """--again alone is refused."""
    said = line.run("report", "--tenant", line.tenant, "--month", MONTH, "--again")
    assert said.code == 2
    assert "--send" in said.last_words
