"""Shapes of records per workload, after the schema reference; every name in them is invented.

`<<field>>` is filled in per record by the generator, `"<<#field>>"` without its quotes. Odd
values are here on purpose: full stops, an en dash and trailing spaces in operations, addresses
with ports, JSON and XML inside strings, a CR LF at the end of OriginatingServer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.feed.contents import content_type_of


@dataclass(frozen=True)
class Kind:
    """One sort of record: how often it comes, from whom, and its text as a bytes format."""

    operation: str
    record_type: int
    share: float
    by_service: bool
    user: str
    form: bytes
    content_type: int


def _common(operation: str, record_type: int, workload: str, **rest: Any) -> dict[str, Any]:
    return {
        "CreationTime": "<<time>>",
        "Id": "<<id>>",
        "Operation": operation,
        "OrganizationId": "<<tenant>>",
        "RecordType": record_type,
        "UserKey": "<<key>>",
        "UserType": 0,
        "Version": 1,
        "Workload": workload,
        "UserId": "<<user>>",
        **rest,
    }


def compiled(record: Mapping[str, Any]) -> bytes:
    """The record as a bytes format, escaped as it stands inside the AuditData string."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    inside = json.dumps(text, ensure_ascii=False)[1:-1].replace("%", "%%")
    inside = re.sub(r'\\"<<#(\w+)>>\\"', r"%(\1)s", inside)
    return re.sub(r"<<(\w+)>>", r"%(\1)s", inside).encode("utf-8")


def _pairs(**values: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def _logon(operation: str, error: str, detail: str) -> dict[str, Any]:
    return _common(
        operation,
        15,
        "AzureActiveDirectory",
        ResultStatus="Success",
        ClientIP="<<ip>>",
        ObjectId="<<app>>",
        AzureActiveDirectoryEventType=1,
        ExtendedProperties=_pairs(
            ResultStatusDetail=detail, UserAgent="<<agent>>", RequestType="OAuth2:Authorize"
        ),
        ModifiedProperties=[],
        Actor=[{"ID": "<<object>>", "Type": 0}, {"ID": "<<user>>", "Type": 5}],
        ActorContextId="<<tenant>>",
        ActorIpAddress="<<ip>>",
        InterSystemsId="<<correlation>>",
        IntraSystemId="<<id>>",
        SupportTicketId="",
        Target=[{"ID": "<<app>>", "Type": 0}],
        TargetContextId="<<tenant>>",
        ApplicationId="<<app>>",
        DeviceProperties=_pairs(
            OS="Windows10",
            BrowserType="Edge",
            IsCompliantAndManaged="False",
            SessionId="<<session>>",
        ),
        ErrorNumber=error,
        **({"LogonError": detail} if error != "0" else {}),
    )


def _directory(operation: str, target: str, **modified: str) -> dict[str, Any]:
    changes = [{"Name": n, "NewValue": v, "OldValue": "[]"} for n, v in modified.items()]
    return _common(
        operation,
        8,
        "AzureActiveDirectory",
        ResultStatus="Success",
        ObjectId=target,
        AzureActiveDirectoryEventType=1,
        ExtendedProperties=_pairs(
            additionalDetails='{"UserType":"Member"}',
            extendedAuditEventCategory="User",
            plans="<<bulk>>",
        ),
        ModifiedProperties=changes,
        Actor=[
            {"ID": "<<user>>", "Type": 5},
            {"ID": "1003<<puid>>", "Type": 3},
            {"ID": "User_<<object>>", "Type": 2},
            {"ID": "<<object>>", "Type": 2},
            {"ID": "User", "Type": 2},
        ],
        ActorContextId="<<tenant>>",
        InterSystemsId="<<correlation>>",
        IntraSystemId="<<session>>",
        SupportTicketId="",
        Target=[{"ID": "User_<<correlation>>", "Type": 2}, {"ID": target, "Type": 5}],
        TargetContextId="<<tenant>>",
    )


def _admin(operation: str, service: bool, **parameters: str) -> dict[str, Any]:
    actor = (
        {
            "UserType": 3,
            "UserId": "NT AUTHORITY\\SYSTEM (Lab.Exchange.ServiceHost)",
            "UserKey": "NT AUTHORITY\\SYSTEM (Lab.Exchange.ServiceHost)",
        }
        if service
        else {"ClientIP": "<<address>>:<<#port>>".replace("<<#port>>", "<<port>>")}
    )
    return (
        _common(
            operation,
            1,
            "Exchange",
            ResultStatus="True",
            ObjectId="LABP001A004.PROD.EXAMPLE.COM/Lab Hosted Organizations/<<domain>>/<<key>>",
            AppId="",
            ClientAppId="",
            ExternalAccess=service,
            OrganizationName="<<domain>>",
            OriginatingServer="LAB7PR04MB<<port>> (15.20.8093.018)\r\n",
            Parameters=_pairs(Identity="<<domain>>\\<<object>>", **parameters),
            SessionId="" if service else "<<session>>",
            RequestId="<<correlation>>",
        )
        | actor
    )


def _mailbox(operation: str, record_type: int, **rest: Any) -> dict[str, Any]:
    return _common(
        operation,
        record_type,
        "Exchange",
        ResultStatus="Succeeded",
        ClientIPAddress="<<ip>>",
        ClientInfoString="Client=OWA;Action=ViaProxy",
        ExternalAccess=False,
        InternalLogonType=0,
        LogonType=0,
        LogonUserSid="S-1-5-21-<<port>>-55-<<port>>",
        MailboxGuid="<<object>>",
        MailboxOwnerSid="S-1-5-21-<<port>>-55-<<port>>",
        MailboxOwnerUPN="<<user>>",
        OrganizationName="<<domain>>",
        OriginatingServer="LAB5PR10MB<<port>> (15.20.8114.031)\r\n",
        SessionId="<<session>>",
        **rest,
    )


_FOLDER_ITEMS = [
    {"InternetMessageId": f"<{letter}<<puid>>@mail.<<domain>>>", "SizeInBytes": size}
    for letter, size in (("A", 41203), ("B", 8775), ("C", 120447))
]


def _file(operation: str, workload: str, record_type: int = 6, **rest: Any) -> dict[str, Any]:
    return _common(
        operation,
        record_type,
        workload,
        ClientIP="<<ip>>",
        ObjectId="<<url>>",
        CorrelationId="<<correlation>>",
        EventSource="SharePoint",
        ItemType="File",
        ListId="<<session>>",
        ListItemUniqueId="<<object>>",
        Site="<<app>>",
        UserAgent="<<agent>>",
        WebId="<<session>>",
        SourceFileExtension="docx",
        SiteUrl="https://lab.sharepoint.example/sites/<<site>>/",
        SourceFileName="<<file>>",
        SourceRelativeUrl="Shared Documents/<<site>>",
        HighPriorityMediaProcessing=False,
        AppAccessContext={
            "AADSessionId": "<<session>>",
            "CorrelationId": "<<correlation>>",
            "UniqueTokenId": "<<token>>",
        },
        **rest,
    )


def _teams(operation: str, **rest: Any) -> dict[str, Any]:
    return _common(
        operation,
        25,
        "MicrosoftTeams",
        ClientIP="<<ip>>",
        CommunicationType="Team",
        TeamGuid="19:<<puid>>@thread.tacv2",
        TeamName="<<site>>",
        ItemName="<<file>>",
        MessageId="<<#port>>",
        AADGroupId="<<object>>",
        **rest,
    )


_ALERT_JSON = '{"tid":"<<tenant>>","ts":"<<time>>Z","te":"<<time>>Z","op":"<<file>>","wl":"Lab"}'

_DLP_RULE = {
    "RuleName": "Card number in mail",
    "ConditionsMatched": {
        "SensitiveInformation": [
            {
                "SensitiveType": "50842eb7-edc8-4019-85dd-5a5c1f2bb085",
                "Count": 1,
                "SensitiveInformationDetections": {
                    "DetectedValues": [{"Name": "4111 1111 1111 1111", "Value": "made up"}]
                },
            }
        ]
    },
}

# (record, share of all records, from a service batch); shares follow the office tenant that the
# load profile assumes: files 45, Exchange 25, Entra 20, Teams 7, others 3.
_SHAPES: list[tuple[dict[str, Any], float, bool]] = [
    (_file("FileAccessed", "SharePoint"), 14, False),
    (_file("FileModified", "OneDrive"), 6, False),
    (_file("FilePreviewed", "SharePoint"), 6, False),
    (_file("FileDownloaded", "OneDrive", MachineId="<<object>>"), 3, False),
    (_file("FileUploaded", "OneDrive"), 2, False),
    (_file("FileSyncDownloadedFull", "OneDrive", FileSyncBytesCommitted="<<port>>"), 7, True),
    (_file("FileModifiedExtended", "SharePoint", IsDocLib=True), 5, True),
    (
        _file(
            "SharingSet",
            "SharePoint",
            14,
            TargetUserOrGroupName="<<user>>",
            TargetUserOrGroupType="Member",
            EventData="<Permissions granted>Edit</Permissions>",
        ),
        1,
        False,
    ),
    (_file("AnonymousLinkCreated", "OneDrive", 14, EventData="<Type>Edit</Type>"), 1, False),
    (
        _mailbox(
            "MailItemsAccessed",
            50,
            OperationCount=3,
            OperationProperties=_pairs(MailAccessType="Bind", IsThrottled="False"),
            Folders=[{"Id": "LgAAAAB<<puid>>", "Path": "\\Inbox", "FolderItems": _FOLDER_ITEMS}],
        ),
        13,
        False,
    ),
    (
        _mailbox(
            "Send",
            2,
            Item={
                "Id": "RgAAAAD<<puid>>",
                "Subject": "<<file>> für Zoë ☂ 🐢",
                "InternetMessageId": "<<<puid>>@mail.<<domain>>>",
                "SizeInBytes": 18337,
            },
        ),
        3,
        False,
    ),
    (
        _mailbox(
            "HardDelete",
            3,
            AffectedItems=[{"Id": "RgAAAAE<<puid>>", "Subject": "<<file>>"}],
            Folder={"Id": "LgAAAAC<<puid>>", "Path": "\\Deleted Items"},
        ),
        2,
        False,
    ),
    (_admin("Set-Mailbox", True, ForceSync="True"), 5, True),
    (_admin("Set-AdminAuditLogConfig", True, Confirm="False"), 1.4, True),
    (
        _admin(
            "New-InboxRule",
            False,
            Name=".",
            MoveToFolder="RSS Feeds",
            SubjectOrBodyContainsWords="invoice;wire",
        ),
        0.3,
        False,
    ),
    (_admin("Add-MailboxPermission", False, AccessRights="FullAccess"), 0.3, False),
    (_logon("UserLoggedIn", "0", "Redirect"), 11, False),
    (_logon("UserLoginFailed", "50126", "InvalidUserNameOrPassword"), 5, False),
    (
        _directory(
            "Update user.",
            "<<user>>",
            AssignedPlan="<<bulk>>",
            **{"Included Updated Properties": "AssignedPlan"},
        ),
        2,
        True,
    ),
    (_directory("Add user.", "<<user>>", DisplayName='["<<file>>"]'), 0.6, False),
    (
        _directory("Add member to group.", "<<user>>", **{"Group.DisplayName": '"<<site>>"'}),
        0.6,
        False,
    ),
    (
        _directory(
            "Add member to role.", "<<user>>", **{"Role.DisplayName": '"Exchange Administrator"'}
        ),
        0.2,
        False,
    ),
    (
        _directory(
            "Consent to application.", "<<app>>", **{"ConsentContext.IsAdminConsent": '"True"'}
        ),
        0.3,
        False,
    ),
    (
        _directory(
            "Update application \u2013 Certificates and secrets management ",
            "<<app>>",
            KeyDescription='["[KeyIdentifier=<<object>>,KeyType=X509]"]',
        ),
        0.3,
        False,
    ),
    (_teams("MessageSent"), 5, False),
    (
        _teams("MemberAdded", Members=[{"DisplayName": "<<site>>", "Role": 0, "UPN": "<<user>>"}]),
        2,
        False,
    ),
    (
        _common(
            "AlertTriggered",
            40,
            "SecurityComplianceCenter",
            AlertId="<<object>>",
            AlertType="System",
            Category="ThreatManagement",
            Comments="New alert",
            Data=_ALERT_JSON,
            EntityType="User",
            Name="Lab: unusual volume of <<site>>",
            PolicyId="<<app>>",
            ResultStatus="Succeeded",
            Severity="Low",
            Source="Lab",
            Status="Active",
        )
        | {"UserId": "SecurityComplianceAlerts"},
        0.6,
        True,
    ),
    (
        _common(
            "Get-ComplianceSearch",
            18,
            "SecurityComplianceCenter",
            ClientApplication="EMC",
            CmdletVersion="-",
            EffectiveOrganization="<<domain>>",
            NonPIIParameters="",
            ObjectId="",
            Parameters='-Identity "<<site>>"',
            SecurityComplianceCenterEventType=0,
            StartTime="<<time>>",
            UserServicePlan="",
        ),
        2.4,
        False,
    ),
    # Share 0: it comes only by name (`crowd`), with the matched secret in clear text.
    (
        _common(
            "DlpRuleMatch",
            13,
            "Exchange",
            ObjectId="<<object>>",
            IncidentId="<<correlation>>",
            SensitiveInfoDetectionIsIncluded=True,
            ExchangeMetaData={"From": "<<user>>", "Subject": "<<file>>", "RecipientCount": 1},
            PolicyDetails=[{"PolicyName": "Lab cards", "Rules": [_DLP_RULE]}],
        ),
        0,
        False,
    ),
]


def _kind(record: dict[str, Any], share: float, by_service: bool) -> Kind:
    return Kind(
        record["Operation"],
        record["RecordType"],
        share,
        by_service,
        record["UserId"],
        compiled(record),
        content_type_of(record["Workload"], record["RecordType"]),
    )


KINDS: tuple[Kind, ...] = tuple(_kind(*shape) for shape in _SHAPES)
