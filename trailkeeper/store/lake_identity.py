"""Whose records a table of the lake holds, in the table's own properties.

They travel with the table: a lake that was copied, or outlived its ledger, still says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from trailkeeper.errors import ConfigurationError
from trailkeeper.model.identity import Identity
from trailkeeper.store.disk import one_name

if TYPE_CHECKING:
    from deltalake import DeltaTable

Whose = Callable[[str], Identity | None]
"""the directory that a tenant's name stands for; None: nobody can tell, and nothing is compared"""

_DIRECTORY = "trailkeeper.directory"
_CLOUD = "trailkeeper.cloud"


def nobody(tenant: str) -> None:
    """A `Whose` for a lake that is opened without a configuration."""


def kept_under(lake: str, tenant: str) -> Identity | None:
    """Whose records the lake says that it holds under a name; None: no table, or it does not say.

    Loads what reads tables only where there is one. Raises `Unavailable`.
    """
    location = f"{lake.rstrip('/')}/{one_name(tenant)}"
    if "://" not in location and not (Path(location) / "_delta_log").is_dir():
        return None
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    from trailkeeper.store.lake_faults import lake_errors

    with lake_errors(f"opening the lake of {tenant}"):
        try:
            return _kept(DeltaTable(location))
        except TableNotFoundError:
            return None


def properties(identity: Identity | None) -> dict[str, str | None]:
    """What a new table is made with."""
    if identity is None:
        return {}
    return {_DIRECTORY: str(identity.tenant_id), _CLOUD: identity.cloud}


def compare(table: DeltaTable, tenant: str, identity: Identity | None, lake: str) -> None:
    """Raises `ConfigurationError` when the table says that it is another directory's."""
    kept = _kept(table)
    if identity is None or kept is None or kept == identity:
        return
    raise ConfigurationError(
        f"tenants/{tenant}.toml names the directory {identity}, but the records of {tenant!r} in "
        f"the lake {lake} are of {kept}",
        "Put the old tenant_id and cloud back, and give the new customer a file of another name; "
        "or set service.lake right. Only if these records may be deleted for good, run "
        f"`trailkeeper tenants remove {tenant}`: that frees the name.",
    )


def adopt(table: DeltaTable, identity: Identity | None) -> bool:
    """Write the identity into a table from before it was kept: one more commit, once; was it?"""
    if identity is None or _kept(table) is not None:
        return False
    _set(table, str(identity.tenant_id), identity.cloud)
    return True


def forget(table: DeltaTable) -> None:
    """What is emptied belongs to nobody."""
    if _kept(table) is not None:
        _set(table, "", "")


def _set(table: DeltaTable, directory: str, cloud: str) -> None:
    words = {_DIRECTORY: directory, _CLOUD: cloud}
    table.alter.set_table_properties(words, raise_if_not_exists=False)


def _kept(table: DeltaTable) -> Identity | None:
    configuration = table.metadata().configuration
    directory = configuration.get(_DIRECTORY)
    return Identity(UUID(directory), configuration.get(_CLOUD, "")) if directory else None
