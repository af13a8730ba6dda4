"""The configuration folder, read once and checked whole: TOML in, frozen settings out.

The only room that reads the environment. A secret is never written in these files, only a
reference (`env:NAME`, `file:PATH`) that is resolved at the moment of use.

`fields` kinds of values · `clouds` `service` `collection` `mail` `brand` `tenant` a section each ·
`whole` all of them together · `environment` where the folder is · `reading` and `complaints` from
TOML to settings, or to a sentence that says what is wrong.
"""

from trailkeeper.settings.brand import BrandSettings
from trailkeeper.settings.clouds import CLOUD_PRESETS, CloudSettings
from trailkeeper.settings.collection import CollectionSettings
from trailkeeper.settings.environment import (
    DEBUG_VARIABLE,
    DEFAULT_FOLDERS,
    FOLDER_VARIABLE,
    MAIN_FILE,
    REDIS_VARIABLE,
    debugging,
    find_folder,
    name_folder,
)
from trailkeeper.settings.mail import GraphMailSettings, MailSettings, SmtpSettings
from trailkeeper.settings.overlooked import overlooked
from trailkeeper.settings.reading import load
from trailkeeper.settings.service import ServiceSettings
from trailkeeper.settings.tenant import (
    CertificateSettings,
    KeyVaultReference,
    ReportSettings,
    TenantSettings,
)
from trailkeeper.settings.whole import Settings

__all__ = [
    "CLOUD_PRESETS",
    "DEBUG_VARIABLE",
    "DEFAULT_FOLDERS",
    "FOLDER_VARIABLE",
    "MAIN_FILE",
    "REDIS_VARIABLE",
    "BrandSettings",
    "CertificateSettings",
    "CloudSettings",
    "CollectionSettings",
    "GraphMailSettings",
    "KeyVaultReference",
    "MailSettings",
    "ReportSettings",
    "ServiceSettings",
    "Settings",
    "SmtpSettings",
    "TenantSettings",
    "debugging",
    "find_folder",
    "load",
    "name_folder",
    "overlooked",
]
