"""`trailkeeper demo`, from an empty folder to three mails."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.services import Running, running, until
from trailkeeper.cli.demo_play import _what_is_left

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole service")]

LONGEST_CELL = 16 * 1024 * 1024
"""characters; Python's own 131,072 are too few for some months' longest record"""


def test_demo_mails_three_reports(tmp_path: Path) -> None:
    """`demo` ends with 0, three whole reports lie in the mailbox, and nothing is left running."""
    folder = tmp_path / "demo"
    with running("demo", "--folder", str(folder), folder=tmp_path / "out") as demo:
        until(demo.ended, "the end of the demo")
        assert demo.process.returncode == 0, demo.stderr
        assert len(demo.seen) >= 8  # the sandbox, Redis, beat, two masters, three pool processes
        assert demo.left() == []
    mails = [_mail(path) for path in (folder / "sandbox-state" / "mailbox").glob("*.eml")]
    recipients = sorted(str(mail["To"]) for mail in mails)
    assert recipients == [f"security@{n}.example" for n in ("contoso", "fabrikam", "litware")]
    assert len({mail["Message-ID"] for mail in mails}) == 3
    for mail in mails:
        _assert_whole(mail)
    assert str(folder / "sandbox-state" / "mailbox") in demo.stdout
    assert _errors(folder / "demo.log") == []
    assert _runs_sandbox(folder)


def test_a_stopped_demo_says_what_is_there(tmp_path: Path) -> None:
    """Ctrl-C before the end: the records that it says were merged can be read as it says, it does
    not promise that the demo goes on, and nothing is left running."""
    folder = tmp_path / "demo"
    with running("demo", "--folder", str(folder), folder=tmp_path / "out") as demo:
        until(lambda: _has_merged(demo) or demo.ended(), "the first merged records")
        demo.family()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(timeout=60) == 130, demo.stderr
        assert demo.left() == []
    said = demo.stdout.partition("Stopped. ")[2]
    assert re.match("[1-9][0-9,]* records had been merged; they can be read:", said)
    _, there, _coverage, export, last = said.strip().splitlines()
    assert last == "This demo cannot be taken up again. Begin another one in a new folder."
    assert there.strip() == f"cd {folder}"
    subprocess.run(["sh", "-c", export], cwd=folder, check=True)
    (exported,) = folder.glob("*.jsonl")
    assert exported.read_text("utf-8").splitlines()


def _has_merged(demo: Running) -> bool:
    return re.search(r"windows, [1-9][0-9,]* records", demo.stdout) is not None


@pytest.mark.parametrize("merged", [{}, {"contoso": 7}])
def test_nothing_is_promised_that_is_not_there(merged: dict[str, int], tmp_path: Path) -> None:
    """A demo stopped before the first merge sends nobody to read records, and one after it does."""
    words = "\n".join(_what_is_left(tmp_path, merged))
    assert ("export --tenant contoso" in words) == ("7 records had been merged" in words)
    assert ("may be removed" in words) == (not merged)


def _runs_sandbox(folder: Path) -> bool:
    """Whether the sandbox's program is found from there: nothing that was written hides it."""
    words = [sys.executable, "-m", "sandbox", "serve", "--help"]
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(words, cwd=folder, env=path, check=False).returncode == 0


def _mail(path: Path) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(path.read_bytes(), policy=default))


def _assert_whole(mail: EmailMessage) -> None:
    """HTML and text with the same facts, a chart, and the records as zipped CSV."""
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "Complete: every record" in text.get_content()
    assert "<html" in html.get_content()
    images = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert images
    assert f"cid:{images[0]['Content-ID'].strip('<>')}" in html.get_content()
    [attachment] = list(mail.iter_attachments())
    csv.field_size_limit(LONGEST_CELL)
    with zipfile.ZipFile(io.BytesIO(cast(bytes, attachment.get_content()))) as archive:
        [name] = archive.namelist()
        rows = list(csv.reader(io.TextIOWrapper(archive.open(name), "utf-8-sig", newline="")))
    assert len(rows) > 1000
    assert f"{len(rows) - 1:,}" in html.get_content()


def _errors(log: Path) -> list[str]:
    lines = log.read_text("utf-8", "replace").splitlines()
    return [line for line in lines if '"level": "error"' in line or "Traceback" in line]


def test_demo_refuses_a_used_folder(tmp_path: Path) -> None:
    """A folder that holds anything is refused with 2 and one sentence, and stays as it was."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with running("demo", "--folder", str(tmp_path / "full"), folder=tmp_path / "out") as demo:
        assert demo.process.wait(timeout=60) == 2
        assert "is not empty: it holds thesis.txt" in demo.stderr
        assert len(demo.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
