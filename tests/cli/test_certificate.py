"""`trailkeeper certificate`: create, show, list."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

from tests.cli.conftest import Line
from tests.configured import certificate, pfx


def create(line: Line, *words: str) -> tuple[int, str, str]:
    said = line.run("certificate", "create", "fresh", *words)
    return said.code, said.out, said.err


def test_a_created_certificate_logs_in(line: Line) -> None:
    """What create writes can be registered, configured and used for a login as it is."""
    line.environment["NEW_PASSWORD"] = "a new password"
    folder = line.config.folder
    code, out, err = create(line, "-o", str(folder), "--password", "env:NEW_PASSWORD", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert stat.S_IMODE(Path(made["pfx"]).stat().st_mode) == 0o600
    line.config.box.control.register(line.tenant, Path(made["cer"]).read_bytes())
    line.replace(f'pfx = "{line.tenant}.pfx"', 'pfx = "fresh.pfx"')
    line.replace("file:pfx-password", "env:NEW_PASSWORD")
    assert line.run("tenants", "check").code == 0
    (row,) = line.run("certificate", "list", "--json").objects
    assert row["thumbprint_sha1"] == made["thumbprint_sha1"]


def test_nothing_is_overwritten(line: Line, tmp_path: Path) -> None:
    """A second create under the same name is refused."""
    line.environment["NEW_PASSWORD"] = "a new password"
    words = ("-o", str(tmp_path), "--password", "env:NEW_PASSWORD")
    assert create(line, *words)[0] == 0
    code, _, err = create(line, *words)
    assert code == 2
    assert "exists already" in err


def test_a_password_is_never_an_argument(line: Line) -> None:
    """A literal password is refused without being repeated; without a terminal one is needed."""
    code, _, err = create(line, "--password", "hunter2")
    assert code == 2
    assert "hunter2" not in err
    assert "env:NAME" in err
    code, _, err = create(line)
    assert code == 2
    assert "nobody to ask" in err


def test_the_list_shows_what_cannot_be_used(line: Line) -> None:
    """A healthy certificate is listed with its days; an unusable one with its reason and 20."""
    said = line.run("certificate", "list")
    assert said.code == 0
    header, row = said.out.splitlines()
    assert header.split() == ["TENANT", "SUBJECT", "THUMBPRINT", "UNTIL", "STATE"]
    assert row.index("days left") > header.index("STATE") > row.index("Z  ")
    (line.config.folder / f"{line.tenant}.pfx").write_bytes(b"no certificate")
    said = line.run("certificate", "list")
    assert said.code == 20
    assert "not a PKCS#12" in said.out


def test_a_file_is_shown_although_it_is_expired(line: Line, tmp_path: Path) -> None:
    """show looks at any file, usable or not."""
    old = certificate("old", timedelta(days=-9), timedelta(days=-2))
    path = tmp_path / "old.pfx"
    path.write_bytes(pfx(old, "pw"))
    line.environment["OLD"] = "pw"
    said = line.run("certificate", "show", str(path), "--password", "env:OLD", "--json")
    assert said.code == 0, said.err
    assert said.objects[0]["days_left"] < 0
    of_tenant = line.run("certificate", "show", line.tenant)
    assert "thumbprint sha256" in of_tenant.out


def test_a_file_without_its_password_says_where_that_comes_from(line: Line, tmp_path: Path) -> None:
    """show of a file knows no configuration: the remedy is its own option, or the tenant's name."""
    path = tmp_path / "new.pfx"
    path.write_bytes(pfx(certificate("new"), "pw"))
    said = line.run("certificate", "show", str(path))
    assert said.code == 20
    assert "--password env:NAME" in said.last_words
    assert "under [certificate]" not in said.last_words
    line.environment["WRONG"] = "other"
    said = line.run("certificate", "show", str(path), "--password", "env:WRONG")
    assert said.code == 20
    assert "the secret that --password refers to" in said.last_words
