"""Files and folders that look like configuration and are not read: each with what to do about it.

An editor that hides endings saves `contoso.toml.txt`; a folder copied from elsewhere is `Tenants`.
Such a tenant would be missing without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trailkeeper.settings.environment import MAIN_FILE

_TENANTS = "tenants"


def overlooked(folder: Path) -> list[str]:
    """One sentence with the remedy for each; `folder`: the configuration folder."""
    try:
        return [*_beside(folder), *_among_tenants(folder / _TENANTS)]
    except OSError:  # whoever reads the folder says what is wrong with it
        return []


def _beside(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != _TENANTS and path.name.lower() == _TENANTS:
            yield f"the folder {path} is not read: rename it to {_TENANTS}, in lower case."
        elif path.is_file() and path.name != MAIN_FILE and path.suffix.lower() == ".toml":
            yield f"{path} is not read: a tenant's file belongs into {folder / _TENANTS}."


def _among_tenants(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir():
            if any(path.rglob("*.toml")):
                yield f"{path} is not read: tenants' files lie in {folder} itself, not deeper."
        elif not path.name.endswith(".toml") and ".toml" in path.name.lower():
            yield (
                f"{path} is not read: only names that end in .toml are. Rename it, or move it out "
                "of this folder if it is a copy."
            )
