"""A tenant's name that was given to another directory: refused before anything is read."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.cli.conftest import DAYS, RECORDS, ROOT, Line, Said
from tests.configured import Configured
from trailkeeper.bootstrap import World
from trailkeeper.errors import ConfigurationError
from trailkeeper.settings import load

MONTH = DAYS[0][:7]
OTHER = "tenant99"
"""the sandbox's tenant that is the next customer; nothing else in these tests uses it"""
BOSS = "boss@next-customer.example"


def hand_over(line: Line, box: Sandbox) -> None:
    """Write the next customer into the first one's file, everything but the file's name."""
    theirs, ours = box.control.tenant(OTHER), box.control.tenant(line.tenant)
    for key in ("tenant_id", "domain", "client_id"):
        line.replace(ours[key], theirs[key])
    line.replace("security@contoso.example", BOSS)


def every_command(line: Line) -> dict[str, Said]:
    """What the commands say that read, ask, show or send something of the tenant."""
    name, month = line.tenant, ("--month", MONTH)
    return {
        "collect": line.collect(),
        "coverage": line.run("coverage"),
        "export": line.run("export", "--tenant", name),
        "export -o": line.run("export", "--tenant", name, "-o", "x.jsonl"),
        "report --send": line.run("report", "--tenant", name, *month, "--send"),
        "tenants check": line.run("tenants", "check"),
    }


def assert_refused(line: Line, box: Sandbox) -> None:
    """Each command names the file and the way out, and shows, asks and mails nothing."""
    asked, mailed = box.control.counters(), box.control.mail()
    for command, said in every_command(line).items():
        words = " ".join((said.out + said.err).split())
        assert said.code in (2, 20), (command, said)
        assert f"{line.tenant}.toml" in words, command
        assert f"trailkeeper tenants remove {line.tenant}" in words, command
        assert "CreationTime" not in words, command
    assert not (line.config.folder.parent / "x.jsonl").exists()
    assert (box.control.counters(), box.control.mail()) == (asked, mailed)
    doctor = line.run("doctor", "--json")
    (told,) = (check for check in doctor.objects if check["check"].startswith("records"))
    assert (doctor.code, told["status"]) == (2, "failed")
    assert f"trailkeeper tenants remove {line.tenant}" in told["remedy"]


def test_a_name_given_to_another_directory_is_refused_everywhere(
    seeded: Line, box: Sandbox
) -> None:
    """Nothing of the first customer's reaches the second one; put back, all is as it was."""
    assert seeded.collect().code == 0
    before = seeded.file.read_text()
    hand_over(seeded, box)
    assert_refused(seeded, box)
    (row,) = seeded.run("tenants", "list", "--json").objects
    assert (row["last_collected"], row["standing_still"][0]["kind"]) == (None, "refused")
    seeded.file.write_text(before)
    assert seeded.run("export", "--tenant", seeded.tenant).out.count("\n") == RECORDS


def refusal(line: Line, tenant: str = "") -> str:
    """Why the tenant of the file is refused; empty when it is not."""
    world, name = World(load(line.config.folder)), tenant or line.tenant
    try:
        world.tenant(name)
    except ConfigurationError as error:
        return str(error) if name in world.identify.refused() else "only by the lake"
    finally:
        world.close()
    return ""


def test_the_ledger_alone_and_the_lake_alone_know_whose_they_are(
    seeded: Line, box: Sandbox, tmp_path: Path
) -> None:
    """A lake copied without its ledger, and a ledger without its lake, refuse the next customer,
    and neither of them is taken over: with the first one's file all is well."""
    assert seeded.collect().code == 0
    before = seeded.file.read_text()
    hand_over(seeded, box)
    data = seeded.config.data
    (data / "lake").rename(tmp_path / "aside")
    assert "tenants remove" in refusal(seeded)
    (tmp_path / "aside").rename(data / "lake")
    for file in data.glob("ledger.db*"):
        file.unlink()
    assert "tenants remove" in refusal(seeded)
    seeded.file.write_text(before)
    assert refusal(seeded) == ""
    for file in data.glob("ledger.db*"):
        file.unlink()
    assert refusal(seeded) == ""


def test_a_directory_that_changed_its_cloud_is_refused(seeded: Line) -> None:
    """The same directory under another cloud's name is not what the records were collected from."""
    assert seeded.collect().code == 0
    main = seeded.config.folder / "trailkeeper.toml"
    lab = main.read_text().partition("[clouds.lab]")[2]
    main.write_text(f"{main.read_text()}\n[clouds.other]{lab}")
    seeded.replace('cloud = "lab"', 'cloud = "other"')
    assert "in the cloud 'lab'" in refusal(seeded)
    shutil.copy(seeded.file, seeded.file.with_name("twin.toml"))
    seeded.replace('cloud = "other"', 'cloud = "lab"')
    with pytest.raises(ConfigurationError, match="One directory lives in one cloud"):
        load(seeded.config.folder)
    seeded.file.unlink()
    assert "one directory lives in one cloud" in refusal(seeded, "twin")


def test_removing_frees_the_name(seeded: Line, box: Sandbox) -> None:
    """After `tenants remove` the next customer begins under the name with nothing of the first."""
    assert seeded.collect().code == 0
    assert seeded.run("report", "--tenant", seeded.tenant, "--month", MONTH).code in (0, 10)
    hand_over(seeded, box)
    said = seeded.run("tenants", "remove", seeded.tenant, "--yes")
    assert said.code == 0
    reports = seeded.config.data / "reports"
    assert [path.name.startswith(f"{seeded.tenant}.removed-") for path in reports.iterdir()] == [
        True
    ]
    assert seeded.run("export", "--tenant", seeded.tenant).out == ""
    assert seeded.run("coverage").code == 10


def test_an_installation_from_before_keeps_its_name_at_first_use(
    seeded: Line, box: Sandbox
) -> None:
    """Records without an identity are taken for the configured directory's, once."""
    assert seeded.collect().code == 0
    with sqlite3.connect(seeded.config.data / "ledger.db") as ledger:
        assert ledger.execute("DELETE FROM identities").rowcount == 1
    shutil.rmtree(seeded.config.data / "lake")
    assert refusal(seeded) == ""
    hand_over(seeded, box)
    assert "tenants remove" in refusal(seeded)


def test_the_workers_leave_that_tenant_alone_and_serve_the_others(
    box: Sandbox, seeded: Line
) -> None:
    """Ticks plan nothing of it, its tasks end at once, and the neighbour is planned."""
    assert seeded.collect().code == 0
    neighbour = Configured(seeded.config.folder, box, ["tenant98"])
    hand_over(seeded, box)
    text = seeded.file.read_text()
    neighbour.write()
    seeded.file.write_text(text)
    words = f"""
import worker.tasks as tasks
for tick in (tasks.tick_collect, tasks.tick_feeds, tasks.tick_months, tasks.tick_compact):
    tick.run()
tasks.pull_segment.run(1)
for task in (tasks.merge_tenant, tasks.compact_tenant):
    task.run({seeded.tenant!r})
tasks.report_month.run({seeded.tenant!r}, {MONTH!r})
"""
    with sqlite3.connect(seeded.config.data / "ledger.db") as ledger:
        count = "SELECT tenant, count(*), sum(attempts) FROM segments GROUP BY tenant"
        before = {row[0]: row[1:] for row in ledger.execute(count)}
        environment = {"TRAILKEEPER_REDIS": "redis://127.0.0.1:1/0"}
        done = subprocess.run(
            [sys.executable, "-c", words],
            env={"PYTHONPATH": str(ROOT), "TRAILKEEPER_CONFIG": str(seeded.config.folder)}
            | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        after = {row[0]: row[1:] for row in ledger.execute(count)}
        assert ledger.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    assert after[seeded.tenant] == before[seeded.tenant]
    assert after["tenant98"][0] > 0
    assert "tenant_refused" in done.stdout
    assert done.stdout.count("outcome=parked") == 3, done.stdout
    assert "outcome='not due'" in done.stdout  # a month is asked of the ledger first
