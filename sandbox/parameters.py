"""Parameters of Search-UnifiedAuditLog, read the way the cmdlet reads them (reference 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox import record_types
from sandbox.clock import MICROSECOND, instant, micros
from sandbox.refusals import CmdletRefused

_TASKS = "Microsoft.Exchange.Configuration.Tasks"
BINDING = "System.Management.Automation.ParameterBindingException"
AMBIGUOUS = f"{_TASKS}.AmbiguousParameterSetException"
ARGUMENT = "System.ArgumentException"
_KNOWN = frozenset(
    {
        "StartDate",
        "EndDate",
        "RecordType",
        "Operations",
        "UserIds",
        "IPAddresses",
        "ObjectIds",
        "SiteIds",
        "FreeText",
        "ResultSize",
        "SessionId",
        "SessionCommand",
        "Formatted",
        "HighCompleteness",
        "LongerRetentionEnabled",
        "LegacyFlow",
        "ErrorAction",
        "WarningAction",
    }
)
_COMMANDS = {"returnlargeset": "ReturnLargeSet", "returnnextpreviewpage": "ReturnNextPreviewPage"}
_LIST_FILTERS = ("Operations", "UserIds", "IPAddresses", "ObjectIds", "SiteIds")
_DATE_FORMS = ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p")


@dataclass
class Query:
    """One search, understood; times in microseconds since 1970."""

    start: int
    end: int
    size: int = 100
    record_type: int | None = None
    filters: dict[str, list[str]] = field(default_factory=dict)
    free_text: str = ""
    session_id: str = ""
    command: str = ""
    formatted: bool = False


def understand(parameters: dict[str, Any], now: int, retention_days: float) -> Query:
    """Read the parameters, or refuse as the cmdlet does (400 with an exception type)."""
    given = {key: value for key, value in parameters.items() if "@" not in key}
    names = {name.lower(): name for name in _KNOWN}
    for key in given:
        if key.lower() not in names:
            raise CmdletRefused(
                AMBIGUOUS, f"A parameter cannot be found that matches parameter name '{key}'."
            )
    given = {names[key.lower()]: value for key, value in given.items() if value is not None}
    start, end = (_date(given, key) for key in ("StartDate", "EndDate"))
    _check_dates(start, end, now, retention_days)
    return Query(
        start,
        end,
        _size(given),
        _record_type(given),
        {key: _strings(given[key]) for key in _LIST_FILTERS if key in given},
        str(given.get("FreeText", "")),
        str(given.get("SessionId", "")),
        _command(given),
        _switch(given.get("Formatted", False)),
    )


def _date(given: dict[str, Any], key: str) -> int:
    if key not in given:
        raise CmdletRefused(
            BINDING,
            f"Cannot process command because of one or more missing mandatory parameters: {key}.",
        )
    text = str(given[key]).strip()
    moment = _iso(text) or _american(text)
    if moment is None:
        raise CmdletRefused(
            "System.Management.Automation.ParameterBindingArgumentTransformationException",
            f"Cannot process argument transformation on parameter '{key}'. Cannot convert value "
            f'"{text}" to type "Microsoft.Exchange.ExchangeSystem.ExDateTime".',
        )
    return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _american(text: str) -> datetime | None:
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _check_dates(start: int, end: int, now: int, retention_days: float) -> None:
    oldest = now - int(retention_days * 86_400 * MICROSECOND)
    if start > end:
        raise CmdletRefused(
            ARGUMENT,
            f"Audit log search argument startDate {instant(start):%m/%d/%Y %H:%M:%S} is "
            f"later than endDate {instant(end):%m/%d/%Y %H:%M:%S}.",
        )
    if start < oldest:
        raise CmdletRefused(
            ARGUMENT,
            "Audit log search argument startDate should be after "
            f"{instant(oldest):%m/%d/%Y %H:%M:%S}.",
        )


def _size(given: dict[str, Any]) -> int:
    """A number or a numeric string; more than 5000 is refused, not capped."""
    value = given.get("ResultSize", 100)
    try:
        size = int(str(value))
    except ValueError:
        size = 0
    if not 1 <= size <= 5000 or isinstance(value, bool):
        raise CmdletRefused(
            BINDING,
            f"Cannot validate argument on parameter 'ResultSize'. The {value} argument is "
            "not within the allowed range of 1 to 5000.",
        )
    return size


def _record_type(given: dict[str, Any]) -> int | None:
    if "RecordType" not in given:
        return None
    value = given["RecordType"]
    found = record_types.resolve(str(value)) if not isinstance(value, list) else None
    if found is None:
        raise CmdletRefused(
            BINDING,
            f"Cannot bind parameter 'RecordType'. Unable to match the identifier name "
            f"{value} to a valid enumerator name. Specify one of the following enumerator "
            f"names and try again: {record_types.members()}",
        )
    return found


def _command(given: dict[str, Any]) -> str:
    value = str(given.get("SessionCommand", "ReturnNextPreviewPage"))
    found = _COMMANDS.get(value.lower())
    if found is None:
        raise CmdletRefused(
            BINDING,
            f"Cannot bind parameter 'SessionCommand'. Unable to match the identifier name "
            f"{value} to a valid enumerator name. Specify one of the following enumerator "
            "names and try again: ReturnLargeSet, ReturnNextPreviewPage",
        )
    return found


def _strings(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _switch(value: Any) -> bool:
    return str(value).lower() in {"true", "1", "$true"}
