"""Hold a tenant's file against what is kept under its name, before anything is read or sent.

A file's name is given to the next customer, or its `tenant_id` is mended by hand: what the ledger
and the lake keep under that name is still the first directory's, and would be shown and mailed to
the second one's people. The ledger knows whose records it keeps, and the lake knows it by itself,
since either may be copied or lost without the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trailkeeper.errors import ConfigurationError, Unavailable
from trailkeeper.model.identity import Identity
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.identities import Identities
from trailkeeper.settings import Settings

Require = Callable[[str], None]
"""raises `ConfigurationError` for a tenant whose name stands for another directory by now"""


def anybody(tenant: str) -> None:
    """A `Require` for steps over a ledger that has one configuration for ever."""


@dataclass(frozen=True, slots=True)
class IdentifyStep:
    settings: Settings
    ledger: Identities
    clock: Clock
    in_lake: Callable[[str], Identity | None]
    """whose records the lake says that it holds under a name; asked for fresh names only"""

    def __call__(self, tenant: str) -> None:
        """Raises `ConfigurationError` when the ledger keeps another directory under this name.

        A name without a file stands for nobody new: what is left of it may be finished. The first
        use of a name writes down whose it is.
        """
        if tenant not in self.settings.tenants:
            return
        kept = self.ledger.identity(tenant)
        if kept is None:
            for error in self._begun([tenant], self.ledger.identities()).values():
                raise error
        elif kept != self._configured(tenant):
            raise self._another(tenant, kept)

    def refused(self) -> dict[str, ConfigurationError]:
        """The configured tenants that must not be touched; the other names are theirs now."""
        kept = self.ledger.identities()
        known = [tenant for tenant in self.settings.tenants if tenant in kept]
        fresh = [tenant for tenant in self.settings.tenants if tenant not in kept]
        return self._compared(known, kept) | self._begun(fresh, kept)

    def ours(self) -> Settings:
        """The settings without the tenants that are refused."""
        refused = self.refused()
        tenants = {n: t for n, t in self.settings.tenants.items() if n not in refused}
        return self.settings.model_copy(update={"tenants": tenants}) if refused else self.settings

    def _compared(
        self, tenants: Sequence[str], kept: Mapping[str, Identity]
    ) -> dict[str, ConfigurationError]:
        return {
            tenant: self._another(tenant, kept[tenant])
            for tenant in tenants
            if kept.get(tenant, self._configured(tenant)) != self._configured(tenant)
        }

    def _begun(
        self, fresh: Sequence[str], kept: Mapping[str, Identity]
    ) -> dict[str, ConfigurationError]:
        """Write down whose the fresh names are; those that may not begin, each with the reason."""
        refused = self._elsewhere(fresh, kept) | self._of_lake(fresh)
        wanted = {name: self._configured(name) for name in fresh if name not in refused}
        if not wanted:
            return refused
        try:
            taken = self.ledger.adopt(wanted, self.clock.now())
        except Unavailable:  # a ledger that can only be read: nothing is added to it either
            return refused
        return refused | self._compared(list(wanted), taken)

    def _of_lake(self, fresh: Sequence[str]) -> dict[str, ConfigurationError]:
        """A lake that outlived its ledger, or was brought here without it."""
        try:
            found = {tenant: self.in_lake(tenant) for tenant in fresh}
        except Unavailable:  # whoever reads or writes it compares again
            return {}
        return self._compared(fresh, {name: one for name, one in found.items() if one})

    def _elsewhere(
        self, fresh: Sequence[str], kept: Mapping[str, Identity]
    ) -> dict[str, ConfigurationError]:
        """One directory lives in one cloud, whatever the names of its files."""
        by_id = {identity.tenant_id: name for name, identity in kept.items()}
        return {
            tenant: self._two_clouds(tenant, other, kept[other])
            for tenant in fresh
            if (other := by_id.get(self._configured(tenant).tenant_id))
            and kept[other] != self._configured(tenant)
        }

    def _configured(self, tenant: str) -> Identity:
        return self.settings.tenants[tenant].identity

    def _another(self, tenant: str, kept: Identity) -> ConfigurationError:
        return ConfigurationError(
            f"{self._named(tenant)}, but what is kept under the name {tenant!r} is of {kept}",
            "Put the old tenant_id and cloud back, and give the new customer a file of another "
            "name. Only if the old records may be deleted for good, run "
            f"`trailkeeper tenants remove {tenant}`: that frees the name.",
        )

    def _two_clouds(self, tenant: str, other: str, kept: Identity) -> ConfigurationError:
        return ConfigurationError(
            f"{self._named(tenant)}, but the records of {other!r} are of {kept}: one directory "
            "lives in one cloud",
            f"Correct cloud or tenant_id. If the records of {other!r} may be deleted for good, run "
            f"`trailkeeper tenants remove {other}`.",
        )

    def _named(self, tenant: str) -> str:
        path = self.settings.folder / "tenants" / f"{tenant}.toml"
        return f"{path} names the directory {self._configured(tenant)}"
