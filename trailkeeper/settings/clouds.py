"""The clouds of Microsoft: four hosts each, and nothing else in the code names a host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trailkeeper.settings.fields import HttpsUrl, Section


class CloudSettings(Section):
    """The four hosts of one Microsoft cloud; nothing else in the code names a host."""

    login: HttpsUrl
    exchange: HttpsUrl
    management: HttpsUrl
    graph: HttpsUrl
    vault: HttpsUrl = "https://vault.azure.net"
    """audience of Key Vault tokens in this cloud"""
    exchange_audience: HttpsUrl | None = None
    """what Entra calls Exchange, where that is not the URL of `exchange`"""
    management_audience: HttpsUrl | None = None
    """what Entra calls the feed, where that is not the URL of `management`"""
    ca_bundle: Path | None = None
    """PEM file trusted instead of the system's authorities"""


# identity-and-exchange.md, section 1.5; management-api-and-graph.md, section 1.1
CLOUD_PRESETS: Mapping[str, CloudSettings] = {
    "public": CloudSettings(
        login="https://login.microsoftonline.com",
        exchange="https://outlook.office365.com",
        management="https://manage.office.com",
        graph="https://graph.microsoft.com",
    ),
    "gcc": CloudSettings(
        login="https://login.microsoftonline.com",
        exchange="https://outlook.office365.com",
        management="https://manage-gcc.office.com",
        graph="https://graph.microsoft.com",
    ),
    "gcc-high": CloudSettings(
        login="https://login.microsoftonline.us",
        exchange="https://outlook.office365.us",
        management="https://manage.office365.us",
        graph="https://graph.microsoft.us",
        vault="https://vault.usgovcloudapi.net",
    ),
    "dod": CloudSettings(
        login="https://login.microsoftonline.us",
        exchange="https://webmail.apps.mil",
        management="https://manage.protection.apps.mil",
        graph="https://dod-graph.microsoft.us",
        vault="https://vault.usgovcloudapi.net",
    ),
    "china": CloudSettings(
        login="https://login.partner.microsoftonline.cn",
        exchange="https://partner.outlook.cn",
        management="https://manage.office365.cn",
        graph="https://microsoftgraph.chinacloudapi.cn",
        vault="https://vault.azure.cn",
    ),
}
