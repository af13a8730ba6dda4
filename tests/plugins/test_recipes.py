"""Each recipe of CONTRIBUTING.md is followed to the letter, runs, and touches what it promises."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.days import MONDAY
from tests.plugins.copy_of_the_house import ROOT, Copy, promised

TOYS = ROOT / "tests" / "plugins"
MAIN = """
[service]
data = "./data"
redis = "redis://127.0.0.1:1/0"
"""
TENANT = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
[certificate]
pfx = "contoso.pfx"
"""


@pytest.fixture
def house(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "house")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration folder with one tenant; tests add to its files."""
    (tmp_path / "conf" / "tenants").mkdir(parents=True)
    return configured(tmp_path / "conf")


def configured(folder: Path, main: str = "", tenant: str = "") -> Path:
    (folder / "trailkeeper.toml").write_text(MAIN + main)
    (folder / "tenants" / "contoso.toml").write_text(tenant + TENANT)
    return folder


def test_a_source(house: Copy, folder: Path) -> None:
    """The commands collect, prove and export the toy's records as those of any source."""
    house.add("trailkeeper/microsoft/toy/__init__.py")
    house.add("trailkeeper/microsoft/toy/source.py", (TOYS / "toy_source.py").read_text("utf-8"))
    house.insert(
        "trailkeeper/model/stream.py", "GRAPH: ClassVar[Source]", "    TOY: ClassVar[Source]"
    )
    house.insert(
        "trailkeeper/model/stream.py",
        'Source.GRAPH = Source.define("graph"',
        'Source.TOY = Source.define("toy", Axis.OCCURRED)',
    )
    house.insert(
        "trailkeeper/model/sources.py",
        "_RULES: dict[Source, SourceRules] = {",
        '    Source.TOY: SourceRules(title="Toy", plan=_plan_search, cut=_cut_search),',
    )
    house.insert("trailkeeper/bootstrap.py", "Source.EXCHANGE: _exchange,", "    Source.TOY: _toy,")
    house.insert("trailkeeper/bootstrap.py", "READABLE = frozenset(known_rules())", _ADAPTER)
    configured(folder, tenant='sources = ["toy"]\n')
    start, end = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
    words = ("--tenant", "contoso", "--from", start.isoformat(), "--to", end.isoformat())
    cli = ("-m", "trailkeeper.cli")
    house.python(*cli, "collect", *words, TRAILKEEPER_CONFIG=str(folder))
    out = folder / "records.jsonl"
    house.python(*cli, "export", *words, "--output", str(out), TRAILKEEPER_CONFIG=str(folder))
    assert len({json.loads(line)["Id"] for line in out.read_text().splitlines()}) == 72
    assert str(house.touched()) == promised("Add a source")


_ADAPTER = f"""

def _toy(world: World) -> AuditSource:
    from trailkeeper.microsoft.toy.source import ToySource

    return ToySource(world.clock, datetime.fromisoformat("{MONDAY.isoformat()}"))
"""


def test_a_mail_transport(house: Copy, folder: Path) -> None:
    """A report in the outbox is sent through it, and `doctor` asks it how it is."""
    house.add("trailkeeper/mail/toy.py", (TOYS / "toy_mailer.py").read_text("utf-8"))
    settings = "trailkeeper/settings/mail.py"
    house.insert(settings, "mailbox: MailAddress", _SECTION)
    house.insert(
        settings, "graph: GraphMailSettings | None = None", "    toy: ToyMailSettings | None = None"
    )
    house.insert("docs/configuration.md", "| `graph` | table | none |", "| `toy` | table | none |")
    house.insert("docs/configuration.md", "| whose mailbox sends |", _REFERENCE)
    house.insert("trailkeeper/bootstrap.py", '"smtp": _smtp,', '    "toy": _toy,')
    house.insert("trailkeeper/bootstrap.py", "READABLE = frozenset(known_rules())", _TRANSPORT)
    shelf = folder / "shelf"
    shelf.mkdir()
    mail = f'[mail]\nsender = "audit@msp.example"\ntoy = {{ folder = "{shelf}" }}\n'
    configured(folder, mail, 'sources = ["exchange"]\n')
    said = house.python("-c", _SEND, str(folder))
    assert "takes mail" in said
    assert "sent" in said.splitlines()[-1]
    assert [path.name for path in shelf.iterdir()] == ["1-1.eml"]
    assert str(house.touched()) == promised("Add a mail transport")


_REFERENCE = """
## [mail.toy]

| key | unit | default | consequence |
|---|---|---|---|
| `folder` | path | required | where messages are put |
"""
_SECTION = """

class ToyMailSettings(Section):
    folder: Path
"""
_TRANSPORT = """

def _toy(world: World, mail: MailSettings) -> Mailer:
    from trailkeeper.mail.toy import ToyMailer

    return ToyMailer(mail.sender, mail.toy.folder)
"""
_SEND = """
import sys
from pathlib import Path
from tests.contract.outbox_words import OCTOBER, RENDERED
from dataclasses import replace
from trailkeeper.bootstrap import World
from trailkeeper.settings import load

world = World(load(Path(sys.argv[1])))
print(world.mailer.check())
rendered = replace(RENDERED, images=(), attachments=())
number = world.outbox.enqueue(
    "contoso", OCTOBER, "<1@msp.example>", ["a@contoso.example"], rendered, world.clock.now()
)
print(world.deliver(number).value)
world.close()
"""


def test_a_section_of_the_report(house: Copy, folder: Path) -> None:
    """It is drawn, and its part stands in report.json."""
    sections = "trailkeeper/mail/report/sections"
    house.add(f"{sections}/toy.py", (TOYS / "toy_section.py").read_text("utf-8"))
    house.insert(f"{sections}/__init__.py", "    totals,", "    toy,")
    house.insert(f"{sections}/__init__.py", "    totals.section,", "    toy.section,")
    house.python("-c", _DRAW, str(folder))
    assert "Said by a toy" in (folder / "page.html").read_text("utf-8")
    assert "toys" in json.loads((folder / "report.json").read_text("utf-8"))
    assert str(house.touched()) == promised("Add a section to the report")


_DRAW = """
import sys
from pathlib import Path
from tests.mail.reports import figures, month_report, write_csv
from trailkeeper.mail.render import ReportRenderer

folder = Path(sys.argv[1])
rendered = ReportRenderer().render(month_report(figures()), folder, write_csv)
(folder / "page.html").write_text(rendered.html, "utf-8")
"""


def test_a_command(house: Copy) -> None:
    """It is in the overview, explains itself and runs."""
    house.add("trailkeeper/cli/toy.py", (TOYS / "toy_command.py").read_text("utf-8"))
    house.insert("trailkeeper/cli/__init__.py", '"doctor": "Look', '    "toy": "Play.",')
    cli = ("-m", "trailkeeper.cli")
    assert "\n  toy " in house.python(*cli, "--help")
    assert "trailkeeper toy --json" in house.python(*cli, "toy", "--help")
    assert json.loads(house.python(*cli, "toy", "--json")) == {"played": True}
    assert str(house.touched()) == promised("Add a command")


def test_a_tick(house: Copy, folder: Path) -> None:
    """Beat sends it to its queue, and a worker that takes it runs its step."""
    house.insert(
        "trailkeeper/messages.py",
        "TICK_COMPACT =",
        '    TICK_TOY = "trailkeeper.tick_toy", Queue.PLAN',
    )
    house.insert(
        "beat/ticks.py", "Tick(Task.TICK_COMPACT", "    Tick(Task.TICK_TOY, timedelta(hours=1)),"
    )
    house.insert("worker/tasks.py", 'return f"{len(tenants)} enqueued"', _TASK)
    configured(folder, tenant='sources = ["exchange"]\n')
    said = house.python("-c", _TICK, TRAILKEEPER_CONFIG=str(folder))
    assert "played with contoso" in said
    assert str(house.touched()) == promised("Add a tick")


_TASK = """

@task(Task.TICK_TOY)
def tick_toy(world: World) -> str:
    return f"played with {', '.join(world.settings.tenants)}"
"""
_TICK = """
from beat.ticks import TICKS
from trailkeeper.messages import Queue, Task
from worker.app import app

assert Task.TICK_TOY in {tick.task for tick in TICKS}
app.loader.import_default_modules()
assert app.conf.task_routes[Task.TICK_TOY.value] == {"queue": Queue.PLAN.value}
app.tasks[Task.TICK_TOY.value]()
"""
