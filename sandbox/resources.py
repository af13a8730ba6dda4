"""The APIs that a token can be for: their names, and the roles a consented app holds there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.tenants import Switches


@dataclass
class Resource:
    """One API; `names` are its identifier URIs without trailing slash, its app id included."""

    site: str
    names: set[str]
    roles: Callable[[Switches], list[str]]
    needs_exchange: bool = False

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset(self.names)


def _exchange_roles(switches: Switches) -> list[str]:
    # A client_credentials request never fails for lack of consent: the claim is just absent.
    return ["Exchange.ManageAsApp"] if switches.consented else []


@dataclass
class Resources:
    """All APIs by site; the sandbox's own URLs are added once its ports are known."""

    by_site: dict[str, Resource] = field(
        default_factory=lambda: {
            r.site: r
            for r in (
                Resource(
                    "exchange",
                    {
                        "https://outlook.office365.com",
                        "https://outlook.office.com",
                        "https://outlook.office365.us",
                        "https://webmail.apps.mil",
                        "https://outlook-dod.office365.us",
                        "https://partner.outlook.cn",
                        "https://outlook.office365.cn",
                        "00000002-0000-0ff1-ce00-000000000000",
                    },
                    _exchange_roles,
                    needs_exchange=True,
                ),
                Resource(
                    "management",
                    {
                        "https://manage.office.com",
                        "https://manage-gcc.office.com",
                        "https://manage.office365.us",
                        "https://manage.protection.apps.mil",
                        "https://manage.office365.cn",
                        "c5393580-f805-4401-95e8-94b7a6ef2fc2",
                    },
                    lambda switches: switches.management_roles,
                ),
                Resource(
                    "graph",
                    {
                        "https://graph.microsoft.com",
                        "https://graph.microsoft.us",
                        "https://dod-graph.microsoft.us",
                        "https://microsoftgraph.chinacloudapi.cn",
                        "00000003-0000-0000-c000-000000000000",
                    },
                    lambda switches: switches.graph_roles,
                ),
                Resource(
                    "vault",
                    {
                        "https://vault.azure.net",
                        "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
                    },
                    lambda switches: [],
                ),
            )
        }
    )

    def of_scope(self, scope: str) -> tuple[Resource, str] | None:
        """The resource of `<resource>/.default` and the audience its token gets."""
        name = scope.removesuffix("/.default").rstrip("/")
        found = next((r for r in self.by_site.values() if name in r.names), None)
        return (found, scope.removesuffix("/.default")) if found else None
