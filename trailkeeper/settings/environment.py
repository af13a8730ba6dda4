"""What the environment says: where the configuration is, and what `trailkeeper up` hands down."""

from __future__ import annotations

import os
from pathlib import Path

from trailkeeper.errors import ConfigurationError

MAIN_FILE = "trailkeeper.toml"
FOLDER_VARIABLE = "TRAILKEEPER_CONFIG"
REDIS_VARIABLE = "TRAILKEEPER_REDIS"
"""set by `trailkeeper up` for its children, so that the embedded password is in no argv or file"""
DEBUG_VARIABLE = "TRAILKEEPER_DEBUG"
CRASH_VARIABLE = "TRAILKEEPER_CRASH_AT"
"""for tests only: see `process.crash_points`"""
DEFAULT_FOLDERS = (Path("./trailkeeper.d"), Path("/etc/trailkeeper"))


def debugging() -> bool:
    """Whether whoever calls wants a traceback for what nobody has thought of."""
    return variable(DEBUG_VARIABLE) not in ("", "0")


def crash_at() -> str:
    """Where a test wants this process to end; empty everywhere else."""
    return variable(CRASH_VARIABLE)


def variable(name: str) -> str:
    """What the environment variable holds; empty when it is not set."""
    return os.environ.get(name, "")


def name_folder(folder: Path) -> None:
    """Make `folder` the configuration folder of this process and its children."""
    os.environ[FOLDER_VARIABLE] = str(folder.absolute())


def find_folder(option: Path | None = None) -> Path:
    """The configuration folder: --config, TRAILKEEPER_CONFIG, ./trailkeeper.d, /etc/trailkeeper.

    Raises `ConfigurationError` when there is none.
    """
    by_variable = variable(FOLDER_VARIABLE)
    named = option or (Path(by_variable) if by_variable else None)
    candidates = (named,) if named else DEFAULT_FOLDERS
    for folder in candidates:
        if (folder / MAIN_FILE).is_file():
            return folder.resolve()
    looked = " and ".join(str(folder) for folder in candidates)
    raise ConfigurationError(
        f"no configuration: there is no {MAIN_FILE} in {looked}",
        "Name the folder with --config DIR or TRAILKEEPER_CONFIG, or try `trailkeeper demo`.",
    )
