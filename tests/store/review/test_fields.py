"""A record's fields, whatever shape it has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trailkeeper.model.review.control import About
from trailkeeper.rules.loading import shipped
from trailkeeper.store.review.checking import matched
from trailkeeper.store.review.fields import LONGEST_VALUE, fields

WANTED = frozenset().union(*(each.rule.wanted for each in shipped()))
NOBODY = About()
LISTS = (
    "Parameters",
    "OperationProperties",
    "ExtendedProperties",
    "DeviceProperties",
    "ModifiedProperties",
    "Members",
    "Item",
)
SINGLE = ("UserId", "UserType", "Operation", "ClientIP", "ClientIPAddress", "CreationTime", "AppId")

_text = st.text(st.characters(), max_size=20)
_anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_entry = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("Name", "Value", "NewValue", "OldValue"), _anything)
)
_records = st.fixed_dictionaries(
    {},
    optional={
        **{name: _anything | st.lists(_entry | _anything, max_size=4) for name in LISTS},
        **dict.fromkeys(SINGLE, _anything),
    },
)


@settings(max_examples=60, deadline=None)
@given(_records)
def test_no_shape_of_a_record_is_an_error(record: dict[str, Any]) -> None:
    """Lists that are texts, entries that are texts, values of any kind: each field is a text that
    can be stored, or absent; and every rule can be tried on it."""
    found = fields(json.dumps(record), WANTED, NOBODY)
    assert set(found) == WANTED
    for value in found.values():
        assert value is None or (value.encode() and len(value) <= LONGEST_VALUE) or value == ""
    for each in shipped()[::7]:
        assert matched(each.rule, [record]) in ([], [0])


@pytest.mark.parametrize(
    "raw", ["", "no JSON", "[1]", '"text"', "{", "[" * 5000, '{"a":' * 5000, '{"UserType": 1e999}']
)
def test_a_text_that_is_no_record_has_no_fields(raw: str) -> None:
    """Nothing is found in it, and nothing breaks."""
    found = fields(raw, frozenset({"UserId", "param.Name", "is_system", "client_ip"}), NOBODY)
    assert found == {"UserId": None, "param.Name": None, "is_system": "false", "client_ip": None}


@pytest.mark.parametrize(
    ("record", "name", "value"),
    [
        ({"Parameters": "a bare text"}, "param.Name", None),
        ({"Parameters": [{"Name": "Name", "Value": "x"}]}, "param.name", "x"),
        ({"Parameters": [{"Name": "Name", "Value": ""}]}, "param.Name", None),
        ({"ModifiedProperties": ["StrongAuthentication"]}, "new.Role", None),
        ({"ModifiedProperties": [{"Name": "Role", "NewValue": '["A", "B"]'}]}, "new.Role", "A, B"),
        ({"ModifiedProperties": [{"Name": "Role", "NewValue": '"A"'}]}, "new.Role", "A"),
        ({"ModifiedProperties": [{"Name": "Role", "OldValue": "A"}]}, "old.Role", "A"),
        ({"ExtendedProperties": [{"Name": "UserAgent", "Value": "x"}]}, "ext.UserAgent", "x"),
        ({"ErrorNumber": 50126}, "ErrorNumber", "50126"),
        ({"Item": {"ParentFolder": {"Path": "\\Inbox"}}}, "Item.ParentFolder.Path", "\\Inbox"),
        ({"Item": "text"}, "Item.ParentFolder.Path", None),
        ({"ClientIP": "203.0.113.7:63070"}, "client_ip", "203.0.113.7"),
        ({"ClientIP": "[2001:db8::1]:443"}, "client_ip", "2001:db8::1"),
        ({"ClientIP": "", "ClientIPAddress": "198.51.100.1"}, "client_ip", "198.51.100.1"),
        ({"ClientIP": "203.0.113.7"}, "address_block", "203.0.113.0/24"),
        ({"ClientIP": "2001:db8:1:2::3"}, "address_block", "2001:db8:1::/48"),
        ({"ClientIP": "ffff:10.11.0.229"}, "address_block", None),
        ({"Operation": " Update  application – x "}, "operation_norm", "update application - x"),
        ({"Operation": "Add user."}, "operation_norm", "add user"),
        ({"UserType": 3}, "is_system", "true"),
        ({"UserId": "NT AUTHORITY\\SYSTEM (w3wp)"}, "is_system", "true"),
        ({"UserId": "anna@contoso.example", "UserType": 2}, "is_system", "false"),
        ({"UserType": 9}, "is_partner", "true"),
        ({"UserType": 3, "ExternalAccess": True}, "is_partner", "false"),
        ({"UserType": 2, "ExternalAccess": True}, "is_partner", "true"),
        ({"CreationTime": "2026-10-01T08:09:10"}, "hour", "2026-10-01T08"),
    ],
)
def test_shapes_that_were_seen(record: dict[str, Any], name: str, value: str | None) -> None:
    """The traps of real records, one by one."""
    assert fields(json.dumps(record), frozenset({name}), NOBODY) == {name: value}


def test_what_our_own_application_did_is_told_apart() -> None:
    """By the application's id, wherever the record names it, in any case."""
    ours = About(client_ids=frozenset({"0000000a-0000-4000-8000-000000000002"}))
    for key in ("AppId", "ClientAppId", "ApplicationId"):
        raw = json.dumps({key: "0000000A-0000-4000-8000-000000000002"})
        assert fields(raw, frozenset({"is_ours"}), ours) == {"is_ours": "true"}
