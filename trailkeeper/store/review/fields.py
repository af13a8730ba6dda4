"""A record's fields as texts, by the names that rules use.

Facts about the shapes: audit-record-schema.md, sections 3 and 4. Lists of names and values can be
bare strings, entries can be strings, values can be anything: what is not understood is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from trailkeeper.model.review.control import About
from trailkeeper.model.review.people import is_system

LONGEST_VALUE = 4_000
"""characters of one value that rules and wordings see"""

_LISTS = {
    "param": (("Parameters", "Value"), ("OperationProperties", "Value")),
    "ext": (("ExtendedProperties", "Value"), ("DeviceProperties", "Value")),
    "new": (("ModifiedProperties", "NewValue"),),
    "old": (("ModifiedProperties", "OldValue"),),
}


def normal_operation(text: str) -> str:
    """Lower case, blanks collapsed, no final full stop, one kind of dash (section 4, trap 4)."""
    plain = re.sub(r"[\u2010-\u2015\u2212]", "-", text)
    return " ".join(plain.split()).rstrip(".").rstrip().lower()


def bare_address(text: str) -> str:
    """Without port and brackets; the text as it is where it is no address (trap 3)."""
    text = text.strip()
    bracketed = re.fullmatch(r"\[(.+)\](?::\d+)?", text)
    if bracketed:
        return bracketed.group(1)
    with_port = re.fullmatch(r"(\d+\.\d+\.\d+\.\d+):\d+", text)
    return with_port.group(1) if with_port else text


def address_block(address: str) -> str:
    """The /24 or /48 that an address lies in; empty for what is no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    return str(ip_network(f"{found}/{24 if found.version == 4 else 48}", strict=False))


def fields(raw: str, wanted: frozenset[str], about: About) -> dict[str, str | None]:
    """The wanted fields of one record; None for what it does not have."""
    return fields_of(parsed(raw), wanted, about)


def fields_of(
    record: Mapping[str, Any], wanted: frozenset[str], about: About
) -> dict[str, str | None]:
    """As `fields`, of a record that `parsed` has read."""
    lists = {prefix: dict(_entries(record, prefix)) for prefix in _prefixes(wanted)}
    found: dict[str, str | None] = {}
    for name in wanted:
        prefix, _, rest = name.partition(".")
        if prefix in lists:
            found[name] = lists[prefix].get(rest.lower())
        elif name in _DERIVED:
            found[name] = _DERIVED[name](record, about)
        else:
            found[name] = _text(_at(record, name))
    return found


def _prefixes(wanted: frozenset[str]) -> set[str]:
    return {name.partition(".")[0] for name in wanted if "." in name} & _LISTS.keys()


def parsed(raw: str) -> Mapping[str, Any]:
    """The record; without any field where its text is no JSON object."""
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        try:
            record = json.loads(raw, parse_int=str)
        except (ValueError, RecursionError):
            return {}
    return record if isinstance(record, dict) else {}


def _entries(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, member in _LISTS[prefix]:
        listed = record.get(key)
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("Name"), str):
                text = _text(entry.get(member))
                if text:
                    yield entry["Name"].strip().lower(), _unquoted(text)


def _unquoted(text: str) -> str:
    """The plain words of a value that is JSON inside a string, as Entra writes them."""
    if text[:1] not in '["':
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        return text
    return _text(", ".join(items)) or ""


def _at(record: Mapping[str, Any], path: str) -> object:
    value: object = record
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else _written(value)
    # Half a surrogate pair can be written in JSON, and in no UTF-8.
    return text[:LONGEST_VALUE].encode("utf-8", "replace").decode()


def _written(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


def _client_ip(record: Mapping[str, Any], _: About) -> str | None:
    for key in ("ActorIP", "ClientIPAddress", "ClientIP", "ActorIpAddress"):
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return bare_address(value)
    return None


def _address_block(record: Mapping[str, Any], about: About) -> str | None:
    return address_block(_client_ip(record, about) or "") or None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _said(truth: bool) -> str:
    return "true" if truth else "false"


def _is_system(record: Mapping[str, Any], _: About) -> str:
    user = record.get("UserId")
    return _said(is_system(user if isinstance(user, str) else "", _whole(record.get("UserType"))))


def _is_partner(record: Mapping[str, Any], about: About) -> str:
    """A person of a partner. `ExternalAccess` is true for Microsoft's own services as well."""
    external = record.get("ExternalAccess") is True and _is_system(record, about) == "false"
    return _said(record.get("UserType") == 9 or external)


def _is_ours(record: Mapping[str, Any], about: About) -> str:
    named = (record.get(key) for key in ("AppId", "ClientAppId", "ApplicationId"))
    ids = {value.lower() for value in named if isinstance(value, str)}
    return _said(bool(ids & about.client_ids))


def _is_emergency(record: Mapping[str, Any], about: About) -> str:
    user = record.get("UserId")
    return _said(isinstance(user, str) and user.strip().lower() in about.emergency_accounts)


def _operation(record: Mapping[str, Any], _: About) -> str | None:
    value = record.get("Operation")
    return normal_operation(value) if isinstance(value, str) else None


def _moment(length: int) -> Any:
    def cut(record: Mapping[str, Any], _: About) -> str | None:
        value = record.get("CreationTime")
        return value[:length] if isinstance(value, str) else None

    return cut


_DERIVED: Mapping[str, Any] = {
    "operation_norm": _operation,
    "client_ip": _client_ip,
    "address_block": _address_block,
    "is_system": _is_system,
    "is_partner": _is_partner,
    "is_ours": _is_ours,
    "is_emergency": _is_emergency,
    "day": _moment(len("2026-10-01")),
    "hour": _moment(len("2026-10-01T08")),
}
