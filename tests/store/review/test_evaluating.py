"""Rules over stored records: what is found of a window, counted once, oldest first."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.rules.test_shipped_rules import RULE
from tests.store.lake_words import ROOT, TENANT, World, october, record
from trailkeeper.model.review.control import About, Found
from trailkeeper.model.review.rule import Rule
from trailkeeper.rules.loading import read, shipped
from trailkeeper.store.lake_table import Tables
from trailkeeper.store.review.evaluating import Evaluation

RULES = {each.rule.title: each.rule for each in shipped()}
SHARED = Path(os.environ.get("TRAILKEEPER_SHARED") or ROOT.parent / "shared")
REAL = [p for p in sorted(SHARED.glob("data/*.ndjson.gz")) if "graph" not in p.name]


def evaluated(world: World, first: float = 0, last: float = 31, **more: Any) -> dict[str, Found]:
    """By the rule's title."""
    tables = Tables(str(world.root / "lake"))
    rules = list(RULES.values())
    evaluation = Evaluation(rules, more.pop("about", About()), more.pop("language", "en"))
    found = evaluation.over(tables, TENANT, october(first, last))
    return {rule.title: found[rule.id] for rule in rules}


def forwarding(number: int, at: str, to: str = "x@evil.example", **more: object) -> str:
    parameters = [{"Name": "Name", "Value": "."}, {"Name": "ForwardTo", "Value": to}]
    given = {"UserId": "anna@contoso.example", "UserType": 0, "Workload": "Exchange", **more}
    return record(f"f{number}", at, Operation="New-InboxRule", Parameters=parameters, **given)


def failed(number: int, user: str, address: str, code: str = "50126") -> str:
    return record(
        f"s{number}",
        f"2026-10-02T08:{number // 60:02d}:{number % 60:02d}",
        Operation="UserLoginFailed",
        UserId=user,
        UserType=0,
        ClientIP=address,
        ErrorNumber=code,
        ResultStatus="Success",
    )


def test_a_tenant_without_a_table_has_nothing(tmp_path: Path) -> None:
    """Nothing was ever stored: nothing is found, and nothing breaks."""
    assert all(not found.count for found in evaluated(World(tmp_path)).values())


def test_events_are_told_with_what_a_reviewer_asks(tmp_path: Path) -> None:
    """Who, what, to whom, from where, in the language; oldest first, only of the window."""
    world = World(tmp_path)
    world.store(
        forwarding(2, "2026-10-09T08:00:00", ClientIP="203.0.113.7:4711"),
        forwarding(1, "2026-10-03T08:00:00"),
        forwarding(3, "2026-10-20T08:00:00"),
        forwarding(4, "2026-10-04T08:00:00", to=""),
        forwarding(5, "2026-10-04T08:00:00", UserType=3, UserId="NT AUTHORITY\\SYSTEM (x)"),
    )
    found = evaluated(world, 0, 19)["Inbox rule that sends mail on"]
    assert found.count == 2
    assert [each.id for each in found.notable] == ["f1", "f2"]
    told = found.notable[1]
    assert (told.actor, told.client_ip) == ("anna@contoso.example", "203.0.113.7")
    assert told.detail == "rule “.” forwards to x@evil.example"
    german = evaluated(world, language="de")["Inbox rule that sends mail on"].notable[0]
    assert german.detail == "Regel „.“ leitet weiter an x@evil.example"


def test_borders_of_the_window_are_half_open(tmp_path: Path) -> None:
    """A window that begins and ends within a day takes its first instant and not its last."""
    world = World(tmp_path)
    world.store(
        forwarding(1, "2026-10-01T11:59:59"),
        forwarding(2, "2026-10-01T12:00:00"),
        forwarding(3, "2026-10-05T11:59:59"),
        forwarding(4, "2026-10-05T12:00:00"),
    )
    found = evaluated(world, 0.5, 4.5)["Inbox rule that sends mail on"]
    assert [each.id for each in found.notable] == ["f2", "f3"]


def test_only_days_that_hold_records_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year with records of two days costs two looks."""
    world = World(tmp_path)
    world.store(forwarding(1, "2026-10-03T08:00:00"), forwarding(2, "2026-12-24T08:00:00"))
    looks = []
    scan = Tables.scan
    monkeypatch.setattr(Tables, "scan", lambda *a: looks.append(a[2].start.date()) or scan(*a))
    assert evaluated(world, 0, 365)["Inbox rule that sends mail on"].count == 2
    assert [str(day) for day in looks] == ["2026-10-03", "2026-12-24"]


def test_failed_sign_ins_are_grouped_and_a_spray_is_named(tmp_path: Path) -> None:
    """Many of one account from one network are one event; one network with many accounts another;
    a few are none. What ResultStatus says does not count."""
    world = World(tmp_path)
    anna = [failed(n, "anna@contoso.example", f"203.0.113.{n}") for n in range(12)]
    spray = [failed(20 + n, f"user{n}@contoso.example", "198.51.100.9") for n in range(11)]
    few = [failed(40 + n, "bob@contoso.example", "192.0.2.1") for n in range(9)]
    world.store(*anna, *spray, *few)
    found = evaluated(world)
    (one,) = found["Many failed sign-ins of one account from one network"].notable
    assert (one.records, one.target, one.id) == (12, "anna@contoso.example", "s0")
    assert one.detail.startswith("12 failed sign-ins from 203.0.113.0/24")
    (sprayed,) = found["Password spray"].notable
    assert sprayed.detail == ("one network tried 11 accounts within a day (11 failed sign-ins)")


def test_our_own_application_and_emergency_accounts(tmp_path: Path) -> None:
    """What our application did is no finding; each use of a named account is one."""
    world = World(tmp_path)
    app = "00000000-0000-4000-8000-000000000002"
    world.store(
        forwarding(1, "2026-10-03T08:00:00", AppId=app),
        record("e", Operation="UserLoggedIn", UserId="BreakGlass@contoso.example", UserType=0),
    )
    about = About(frozenset({app}), frozenset({"breakglass@contoso.example"}))
    found = evaluated(world, about=about)
    assert found["Inbox rule that sends mail on"].count == 0
    assert found["Sign-in of an emergency account"].count == 1


def test_records_that_are_no_json_are_passed(tmp_path: Path) -> None:
    """A malformed record with a notable operation in its header breaks nothing."""
    world = World(tmp_path)
    strange = (
        '{"Id": "m", "CreationTime": "2026-10-03T08:00:00", "AuditDataText": "{", "x": "\\ud800"}'
    )
    world.store(strange, forwarding(1, "2026-10-03T08:00:00"))
    assert evaluated(world)["Inbox rule that sends mail on"].count == 1


def test_a_rule_that_names_no_operation_sees_every_record(tmp_path: Path) -> None:
    """None of the lake's columns decides it: all records are parsed, and all that match found."""
    text = RULE.replace("operation_norm: send", "Subject: hello")
    rule = read(text, "mine.yml")[0].rule
    world = World(tmp_path)
    world.store(*(record(f"r{n}", Subject="Hello" if n % 2 else "x") for n in range(9)))
    tables = Tables(str(tmp_path / "lake"))
    found = Evaluation([rule], About(), "en").over(tables, TENANT, october(0, 31))
    assert [each.id for each in found[rule.id].notable] == ["r1", "r3", "r5", "r7"]


# --- real records, counted again in plain Python --------------------------------------------------


def _real() -> list[dict[str, Any]]:
    texts = (gzip.decompress(path.read_bytes()).decode() for path in REAL)
    return [json.loads(line) for text in texts for line in text.split("\n")[:-1]]


def _person(item: dict[str, Any]) -> bool:
    words = ("NT AUTHORITY", "SHAREPOINT\\", "S-1-5-", "ServicePrincipal_", "Certificate")
    return item.get("UserType") not in (3, 4) and not item["UserId"].startswith(words)


def _value(item: dict[str, Any], name: str) -> str:
    listed = item.get("Parameters")
    entries = listed if isinstance(listed, list) else []
    return "".join(each["Value"] or "" for each in entries if each["Name"] == name).strip()


_FORWARD = ("ForwardTo", "ForwardAsAttachmentTo", "RedirectTo", "RedirectToRecipients")
_BY_HAND = {
    "Directory role given": lambda i: i["Operation"].strip(" .") == "Add member to role",
    "Inbox rule that sends mail on": lambda i: (
        i["Operation"] in ("New-InboxRule", "Set-InboxRule")
        and any(_value(i, name) for name in _FORWARD)
    ),
    "Mailbox that forwards": lambda i: (
        i["Operation"] == "Set-Mailbox"
        and (_value(i, "ForwardingSmtpAddress") or _value(i, "ForwardingAddress"))
    ),
    "Audit log switched off": lambda i: (
        i["Operation"] == "Set-AdminAuditLogConfig"
        and _value(i, "UnifiedAuditLogIngestionEnabled") == "False"
    ),
    "Consent to an application": lambda i: i["Operation"] == "Consent to application.",
    "Account made": lambda i: i["Operation"].lower() == "add user.",
}


@pytest.mark.skipif(not REAL, reason=f"no real records in {SHARED / 'data'}")
def test_real_records_give_the_counts_of_a_plain_reading(tmp_path: Path) -> None:
    """Six rules over the records of eight public sets find what a loop over their lines finds."""
    world, items = World(tmp_path), _real()
    world.store(*(json.dumps(item) for item in items))
    tables = Tables(str(tmp_path / "lake"))
    chosen: list[Rule] = [RULES[title] for title in _BY_HAND]
    found = Evaluation(chosen, About(), "en").over(tables, TENANT, october(-4300, 0))
    counted = {title: found[RULES[title].id].count for title in _BY_HAND}
    by_hand = {
        title: sum(1 for item in items if _person(item) and holds(item))
        for title, holds in _BY_HAND.items()
    }
    assert counted == by_hand
    assert all(by_hand.values())
