"""What `pip install .` brings into somebody's environment."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of what git tracks, built as the image builds it: without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder]
    subprocess.run([sys.executable, "-m", "pip", *words, source], check=True, timeout=300)
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_it_installs_five_packages(wheel: zipfile.ZipFile) -> None:
    """docs/decisions/packaging.md names them, and nothing else lands beside other people's code."""
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "trailkeeper",
        "worker",
        "beat",
        "wire",
        "sandbox",
    }


def test_it_leaves_no_file_behind(wheel: zipfile.ZipFile) -> None:
    """Modules, templates, migrations and tables of every package are in it."""
    packed = set(wheel.namelist())
    for package in ("trailkeeper", "worker", "beat", "wire", "sandbox"):
        for path in (ROOT / package).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and path.suffix not in (".pyc", ".md", ".mako"):
                assert name in packed, name


def test_it_says_whose_it_is_and_what_it_needs(wheel: zipfile.ZipFile) -> None:
    """Licence, Python versions and a description: what a package index shows."""
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    said = Parser().parsestr(wheel.read(name).decode())
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert said["Summary"]
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
