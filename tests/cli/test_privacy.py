"""What lies under the data folder is for the service's user alone, whatever the umask says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.cli.conftest import DAYS, Line
from trailkeeper.settings import load


def modes(folder: Path) -> dict[str, str]:
    """Everything in the folder, itself included, that is not exactly 0600 or 0700."""
    walked = [folder, *folder.rglob("*")]
    right = {path: 0o700 if path.is_dir() else 0o600 for path in walked}
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in walked}
    return {str(path): oct(mode) for path, mode in found.items() if mode != right[path]}


def test_a_collection_and_its_report_are_private_with_an_open_umask(seeded: Line) -> None:
    """Ledger, lake, landing and reports: 0600 and 0700; and what was open is closed again."""
    before = os.umask(0o000)
    try:
        assert seeded.collect().code == 0
        assert seeded.run("report", "--tenant", seeded.tenant, "--month", DAYS[0][:7]).code in (
            0,
            10,
        )
    finally:
        os.umask(before)
    data = seeded.config.data
    assert len(list(data.rglob("*"))) > 10
    assert modes(data) == {}

    (data / "ledger.db").chmod(0o644)
    (data / "lake").chmod(0o755)
    (told,) = (c for c in seeded.run("doctor", "--json").objects if c["check"] == "permissions")
    assert told["status"] == "warning"
    assert str(data / "ledger.db") in told["detail"]
    assert str(data / "lake") in told["detail"]
    umask = os.umask(0o022)
    try:
        assert load(seeded.config.folder).keep_private() == 2
    finally:
        os.umask(umask)
    assert modes(data) == {}


def test_a_folder_that_holds_more_than_our_data_is_left_as_it_is(line: Line) -> None:
    """The configuration in the data folder: others may be meant to read what lies there."""
    main = line.config.folder / "trailkeeper.toml"
    line.replace(str(line.config.data), str(line.config.folder.parent), main)
    settings = load(line.config.folder)
    line.config.folder.parent.chmod(0o755)
    before = os.umask(0o022)
    try:
        assert settings.keep_private() == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(line.config.folder.parent.stat().st_mode) == 0o755
