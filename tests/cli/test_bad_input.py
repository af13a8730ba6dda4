"""What can be wrong with an installation: each ends in one sentence, a remedy and its exit code."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import Sandbox
from tests.cli.conftest import DAYS, Line, Said
from tests.configured import certificate, pfx
from tests.microsoft.identity import make_pair


def says(said: Said, code: int, *parts: str) -> None:
    """One sentence for the operator that holds every part, and this exit code."""
    assert said.code == code, said.err
    assert said.last_words.startswith("trailkeeper: "), said.err
    for part in parts:
        assert part in said.last_words


def test_a_missing_pfx_password(seeded: Line) -> None:
    """A locked PFX without a configured password says where to name one."""
    seeded.replace('password = "file:pfx-password"\n', "")
    says(seeded.collect(), 20, "needs a password", "[certificate]")


def test_a_wrong_pfx_password(seeded: Line) -> None:
    """The wrong password is told from a right one; the password itself is never shown."""
    (seeded.config.folder / "pfx-password").write_text("not-this-one")
    said = seeded.collect()
    says(said, 20, "password", "wrong", f"{seeded.tenant}.pfx")
    assert "not-this-one" not in said.out + said.err


def test_an_absent_password_file(seeded: Line) -> None:
    """A secret that the configuration names and nobody wrote is a matter of configuration."""
    (seeded.config.folder / "pfx-password").unlink()
    says(seeded.collect(), 2, "pfx-password", "Create it")


def test_an_expired_certificate(seeded: Line, box: Sandbox) -> None:
    """An expired certificate is refused before any login, with its date and how to make another."""
    old = certificate(seeded.tenant, timedelta(days=-90), timedelta(days=-1))
    box.control.register(seeded.tenant, old.public_bytes(Encoding.DER))
    (seeded.config.folder / f"{seeded.tenant}.pfx").write_bytes(pfx(old))
    says(seeded.collect(), 20, "expired on", "certificate create")


def test_a_key_that_is_not_registered(seeded: Line) -> None:
    """A certificate that the app registration does not know: which code, and what to upload."""
    stranger = make_pair()
    path = seeded.config.folder / f"{seeded.tenant}.pfx"
    path.write_bytes(stranger.pfx((seeded.config.folder / "pfx-password").read_text()))
    says(seeded.collect(), 20, "AADSTS700027", ".cer")


def test_an_unknown_tenant(line: Line) -> None:
    """A name without a file is answered with the names there are."""
    says(line.run("collect", "--tenant", "nobody", "--from", DAYS[0]), 2, "nobody", line.tenant)


def test_a_tenant_that_entra_does_not_know(seeded: Line) -> None:
    """A tenant id that is nobody's needs a person who corrects it."""
    text = seeded.file.read_text()
    known = text.split('tenant_id = "')[1].split('"')[0]
    seeded.replace(known, "00000000-0000-4000-8000-000000000000")
    says(seeded.collect(), 20, "tenant_id")


def test_a_token_without_the_role(seeded: Line, box: Sandbox) -> None:
    """A token without its roles claim is told as the missing permission that it is."""
    box.control.set_fault("token_without_role", seeded.tenant, times=0)
    says(seeded.collect(), 20, "Exchange.ManageAsApp", "consent")


def test_auditing_switched_off(line: Line, box: Sandbox) -> None:
    """An empty log is not taken for a quiet tenant while auditing is off."""
    box.control.alter(line.tenant, ingestion=False)
    says(line.collect(), 20, "auditing is switched off", "UnifiedAuditLogIngestionEnabled")


def test_two_files_of_one_directory(line: Line) -> None:
    """A file copied for the next customer with the first one's tenant_id is refused: the first
    one's records would be mailed to the next. Two files of one customer are not."""
    copied = line.file.with_name("zz-next.toml")
    text = line.file.read_text()
    domain = f"{line.tenant}.onmicrosoft.com"
    assert domain in text
    try:
        copied.write_text(text)
        assert line.run("tenants", "list").code == 0
        copied.write_text(text.replace(domain, "next.onmicrosoft.com"))
        said = line.run("tenants", "list")
    finally:
        copied.unlink()
    says(said, 2, "zz-next.toml", "tenant_id", f"{line.tenant}.toml", "domain")


@pytest.mark.parametrize("command", [("coverage",), ("doctor",), ("tenants", "list")])
def test_an_unknown_key(line: Line, command: tuple[str, ...]) -> None:
    """A key that does not exist is refused at start, with the one that was meant."""
    line.replace('domain = "', 'domian = "x"\ndomain = "')
    says(line.run(*command), 2, f"{line.tenant}.toml", "'domian'", "'domain'")


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ('domain = "', 'domian = "', ("unknown key 'domian'", "'domain'")),
        ("to = [", "too = [", ("unknown key 'report.too'", "mean 'to'?")),
        ('domain = "', 'pfx = "x"\ndomain = "', ("unknown key 'pfx'", "mean 'certificate.pfx'?")),
        ("to = [", 'to = "audit@x.example" # [', ("report.to", "write a list")),
        ("to = [", 'to = ["not an address"] # [', ("report.to", "'not an address' is not one")),
        ('tenant_id = "', 'tenant_id = "x', ("tenant_id", "write a GUID")),
    ],
    ids=[
        "mistyped key",
        "mistyped in a section",
        "another section's",
        "text for a list",
        "no address",
        "no GUID",
    ],
)
def test_a_value_that_cannot_be_meant(
    line: Line, before: str, after: str, parts: tuple[str, ...]
) -> None:
    """A mistyped required key is named itself; a wrong value is told in the words of TOML."""
    line.replace(before, after)
    says(line.run("coverage"), 2, f"{line.tenant}.toml", *parts)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("pfx", "Remove it."),
        ("login", "Remove it."),
        ("intervall", "mean 'collection.interval'?"),
    ],
)
def test_a_key_of_another_file(line: Line, key: str, remedy: str) -> None:
    """What belongs to a tenant or to one cloud is never proposed for the main file, where the
    program would refuse it in its turn."""
    main = line.config.folder / "trailkeeper.toml"
    line.replace("[service]\n", f'[service]\n{key} = "x"\n', main)
    says(line.run("coverage"), 2, "trailkeeper.toml", f"unknown key 'service.{key}'. ", remedy)


def test_no_configuration_at_all(line: Line) -> None:
    """Without a folder the command says where it looked and what to do."""
    line.environment["TRAILKEEPER_CONFIG"] = "/nowhere"
    says(line.run("coverage"), 2, "/nowhere", "--config")


def test_a_month_in_the_future(line: Line) -> None:
    """A month that has not begun cannot be reported."""
    words = ("report", "--tenant", line.tenant, "--month")
    says(line.run(*words, "2200-01"), 2, "2200-01 has not begun yet")
    says(line.run(*words, "2026-13"), 2, "YYYY-MM")
    says(line.run(*words, "october"), 2, "YYYY-MM")


def test_a_data_folder_that_cannot_be_written(seeded: Line) -> None:
    """A file where the data folder should be (root may write anywhere, so permissions prove
    nothing): every command that needs it names the path and the remedy."""
    seeded.config.data.write_text("in the way")
    says(seeded.collect(), 1, str(seeded.config.data))
    doctor = seeded.run("doctor")
    assert doctor.code == 1
    for part in ("ledger", "lake", "landing"):
        assert f"✗ {part}" in doctor.out


def test_redis_gone(line: Line) -> None:
    """doctor fails with the address and without the password; --enqueue plans all the same."""
    main = line.config.folder / "trailkeeper.toml"
    (line.config.folder / "redis-password").write_text("hush")
    words = '[service]\nredis = "redis://127.0.0.1:1/0"\nredis_password = "file:redis-password"\n'
    line.replace("[service]\n", words, main)
    doctor = line.run("doctor")
    assert doctor.code == 1
    assert "✗ redis: Redis cannot be used at 127.0.0.1:1/0" in doctor.out
    enqueued = line.collect("--enqueue")
    assert enqueued.code == 0
    says_warning = enqueued.last_words
    assert "warning: Redis cannot be used" in says_warning
    assert "waits in the ledger" in says_warning
    assert "hush" not in doctor.out + doctor.err + enqueued.err


def test_microsoft_out_of_reach(line: Line, box: Sandbox) -> None:
    """A login host that nobody answers on: the check says so instead of blaming the tenant."""
    main = line.config.folder / "trailkeeper.toml"
    line.replace(box["login"], "https://127.0.0.1:1", main)
    said = line.run("tenants", "check")
    assert said.code == 1
    assert "? login: could not be asked" in said.out


def test_a_lake_that_is_gone(seeded: Line) -> None:
    """A lake that was moved away is no empty one: no command takes its records for collected."""
    assert seeded.collect().code == 0
    lake = seeded.config.data / "lake"
    lake.rename(lake.with_name("moved-away"))
    says(seeded.run("export", "--tenant", seeded.tenant), 1, "not in the lake", "restore")
    says(seeded.run("coverage", "--tenant", seeded.tenant), 1, "not in the lake")
    says(seeded.collect(), 1, "not in the lake")
    lake.with_name("moved-away").rename(lake)
    assert seeded.run("export", "--tenant", seeded.tenant).code == 0


def test_an_export_into_a_device(seeded: Line, tmp_path: Path) -> None:
    """-o replaces files; a device or a pipe in its place is left alone, and said."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said = seeded.run("export", "--tenant", seeded.tenant, "-o", str(pipe))
    says(said, 2, "is a device or a pipe", "standard output")
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("collection", "settle", '"99999999999999d"'),
        ("collection", "safety_lag", '"400d"'),
        ("collection", "interval", '"10d"'),
        ("collection", "reread_after", '["400d"]'),
        ("service", "lake", '"ftp://x/y"'),
    ],
)
def test_a_setting_that_cannot_be_meant(line: Line, section: str, key: str, value: str) -> None:
    """Durations out of bounds and unknown kinds of lake are refused at start, with the key."""
    main = line.config.folder / "trailkeeper.toml"
    line.replace(f"[{section}]\n", f"[{section}]\n{key} = {value}\n", main)
    says(line.run("tenants", "list"), 2, "trailkeeper.toml", key.split("_")[0])


def test_a_tenant_without_sources(line: Line) -> None:
    """A tenant that nothing would ever be asked for is a mistake, not a quiet one."""
    line.replace('sources = ["exchange"]', "sources = []")
    says(line.run("tenants", "list"), 2, "sources", "at least one")
