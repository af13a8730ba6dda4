"""RUNBOOK.md and the alerts speak of events, commands, codes and files that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import yaml

from tests.deploy.deployment import DEPLOY, ROOT, compose
from tests.deploy.events import logged_events
from trailkeeper.cli import COMMANDS, load
from trailkeeper.messages import Task
from trailkeeper.microsoft.activity.faults import ACTIVITY
from trailkeeper.microsoft.certificates.certificate import UNUSABLE
from trailkeeper.microsoft.http.fault_table import Kind
from trailkeeper.microsoft.identity.faults import AADSTS
from trailkeeper.ports.parking import PAUSED

TEXT = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((DEPLOY / "alerts/loki-rules.yaml").read_text(encoding="utf-8"))
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
EVENTS = logged_events()


def _shell_lines() -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def _trailkeeper_commands() -> Iterator[list[str]]:
    """Words after `trailkeeper`, `tk` or `compose run … cli`, in blocks and in running text."""
    code = [*_shell_lines(), *re.findall(r"`([^`\n]+)`", TEXT)]
    for line in code:
        found = re.search(r"(?:^|&& )(?:trailkeeper|tk|docker compose run --rm cli) (\w.*)", line)
        if found:
            yield shlex.split(found[1], comments=True)


def test_events_of_the_runbook_exist() -> None:
    """Every event in the table and in a jq line is logged somewhere."""
    table = TEXT[TEXT.index("| event |") : TEXT.index("alias tklog")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`(\w+_\w+)`", row)}
    named |= set(re.findall(r'\.event == "(\w+)"', TEXT))
    assert named
    assert named - EVENTS == set()


def test_events_and_tasks_of_the_alerts_exist() -> None:
    """No alert waits for an event or a task that nobody sends."""
    for alert in ALERTS:
        events = re.findall(r'event=~?"([\w|]+)"', alert["expr"])
        assert events, alert["alert"]
        assert {name for text in events for name in text.split("|")} - EVENTS == set()
        tasks = set(re.findall(r'task="([\w.]+)"', alert["expr"]))
        assert tasks <= {task.value for task in Task}


def test_alerts_say_what_to_do() -> None:
    """Every alert has a summary and a way on, and the section that it names exists."""
    for alert in ALERTS:
        assert alert["annotations"]["summary"]
        way = alert["annotations"]["runbook"]
        for title in re.findall(r'RUNBOOK\.md, \\?"([^"\\]+)\\?"', way):
            assert f"# {title}\n" in TEXT, title
        assert alert["labels"]["severity"] in ("page", "ticket", "info")


def test_every_parking_code_is_explained() -> None:
    """Each code after which a person is needed stands in the table."""
    aadsts = {f"AADSTS{number}" for number, row in AADSTS.items() if row.kind is Kind.PERSON}
    feed = {code for code, row in ACTIVITY.items() if row.kind is Kind.PERSON}
    table = TEXT[TEXT.index("| code |") : TEXT.index("Not parked but failing")]
    explained = set(re.findall(r"`([\w -]+)`", table))
    assert aadsts | feed | {PAUSED, UNUSABLE, "auditing_off", "vault-login"} <= explained
    assert {name for name in explained if name.startswith("AADSTS")} <= aadsts
    assert {name for name in explained if name.startswith("AF")} <= feed


def test_commands_exist() -> None:
    """Each command of ours in the runbook is one that the command line accepts."""
    seen = 0
    for words in _trailkeeper_commands():
        name, *rest = words
        assert name in COMMANDS, words
        command = load(name)
        if inner := getattr(command, "commands", None):
            name, *rest = rest
            assert name in inner, words
            command = inner[name]
        # In running text a name may be left out; options and their values must be right.
        command.make_context(name, rest, resilient_parsing=not rest)
        seen += 1
    assert seen > 8


def test_services_exist() -> None:
    """Compose commands name services, profiles and files that there are."""
    services = set(compose()["services"])
    for line in _shell_lines():
        for words in re.findall(r"docker compose (?:exec|restart|start|stop) ([\w ]+)", line):
            assert words.split()[0] in services, line
    for path in set(re.findall(r"\b(?:deploy|docs)/[\w./-]+\w", TEXT)):
        assert (ROOT / path).exists(), path


def test_ledger_is_saved_before_the_lake() -> None:
    """The backup's commands copy the ledger, then landing, then the lake."""
    lines = "\n".join(_shell_lines())
    places = [lines.index(part) for part in ("VACUUM INTO", "for part in landing", " lake; do")]
    assert all(before < after for before, after in pairwise(places))
