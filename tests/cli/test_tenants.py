"""`trailkeeper tenants`: the list, the preflight checks, pausing and removing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox import Sandbox
from tests.cli.conftest import DAYS, RECORDS, Line


def checked(line: Line) -> tuple[int, dict[str, object]]:
    """The exit code and the object that the command prints."""
    said = line.run("tenants", "check", line.tenant, "--json")
    (found,) = said.objects
    return said.code, found


def test_an_empty_log_leaves_the_last_rung_unknown(line: Line) -> None:
    """Certificate, consent, role and auditing pass; no record is no proof, and no failure."""
    said = line.run("tenants", "check")
    assert said.code == 0
    assert said.out.count("✓") == 5
    assert "? search" in said.out


def test_a_healthy_tenant_passes_every_check(line: Line, box: Sandbox) -> None:
    """With a record between 24 and 2 hours ago every check passes."""
    box.control.crowd(line.tenant, (datetime.now(UTC) - timedelta(hours=5)).isoformat(), 3)
    code, found = checked(line)
    assert (code, found["passed"]) == (0, True)


def test_the_first_failing_rung_and_its_remedy(line: Line, box: Sandbox) -> None:
    """Each missing piece stops the checks at its own; what comes after is not asked."""
    box.control.alter(line.tenant, ingestion=False)
    assert checked(line)[1]["first_failing"] == "auditing"
    box.control.alter(line.tenant, ingestion=True, directory_roles=[])
    code, found = checked(line)
    assert (code, found["first_failing"]) == (20, "auditing")
    assert "Compliance Administrator" in str(found["remedy"])
    box.control.alter(line.tenant, consented=False)
    assert checked(line)[1]["first_failing"] == "app role"
    box.control.unregister(line.tenant)
    assert checked(line)[1]["first_failing"] == "login"
    (line.config.folder / "pfx-password").write_text("wrong")
    code, found = checked(line)
    assert (code, found["first_failing"]) == (20, "certificate")


def test_a_grant_counts_at_once(line: Line, box: Sandbox) -> None:
    """The check asks with a new token, since roles reach only newly issued ones."""
    box.control.alter(line.tenant, consented=False)
    assert checked(line)[0] == 20
    box.control.alter(line.tenant, consented=True)
    assert checked(line)[0] == 0


def test_the_list_shows_how_far_and_what_stands_still(seeded: Line) -> None:
    """Per tenant: cloud, sources, the newest proven instant, and why it stands still."""
    seeded.collect()
    seeded.run("tenants", "pause", seeded.tenant)
    (row,) = seeded.run("tenants", "list", "--json").objects
    assert row["name"] == seeded.tenant
    assert row["sources"] == ["exchange"]
    assert row["last_collected"] == f"{DAYS[1]}T00:00:00Z"
    assert row["standing_still"][0]["kind"] == "paused"
    table = seeded.run("tenants", "list").out
    assert "tenants resume" in table


def test_removing_forgets_records_and_coverage(seeded: Line) -> None:
    """After remove nothing is stored or proven of the tenant, and what stays is named."""
    seeded.collect()
    refused = seeded.run("tenants", "remove", seeded.tenant)
    assert refused.code == 2
    assert "--yes" in refused.last_words
    said = seeded.run("tenants", "remove", seeded.tenant, "--yes")
    assert said.code == 0
    assert "kept:" in said.err
    assert seeded.run("export", "--tenant", seeded.tenant).out == ""
    assert seeded.run("coverage").code == 10
    again = seeded.collect("--json")
    assert again.objects[0]["records_stored"] == RECORDS


def test_a_tenant_without_a_file_can_still_be_removed(seeded: Line) -> None:
    """Deleting the file first, as the help says, does not lock the records in."""
    seeded.collect()
    seeded.file.unlink()
    assert seeded.run("tenants", "remove", seeded.tenant, "--yes").code == 0
    unknown = seeded.run("tenants", "remove", seeded.tenant, "--yes")
    assert unknown.code == 2
    assert "there is no tenant" in unknown.last_words
