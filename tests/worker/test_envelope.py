"""The seal of one item, without Redis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.envelope import LARGEST, LONGEST_SECONDS, Fault, ForeignError, Seal

KEY = bytes(32)
_NOW = 1_800_000_000.0


def _fault(seal: Seal, item: bytes, place: str = "pull") -> Fault:
    with pytest.raises(ForeignError) as refused:
        seal.open(item, place)
    return refused.value.fault


def test_what_was_sealed_opens_in_its_place_and_time_only() -> None:
    """Another queue, another key, a later time: each is refused under its own name."""
    item = Seal(KEY, lambda: _NOW).close(b"{}", "pull", 90)
    assert Seal(KEY, lambda: _NOW + 89).open(item, "pull") == b"{}"
    assert _fault(Seal(KEY, lambda: _NOW), item, "mail") is Fault.FORGED
    assert _fault(Seal(b"1" * 32, lambda: _NOW), item) is Fault.FORGED
    assert _fault(Seal(KEY, lambda: _NOW + 92), item) is Fault.EXPIRED
    assert _fault(Seal(KEY, lambda: _NOW - 2 * LONGEST_SECONDS), item) is Fault.AHEAD
    assert _fault(Seal(KEY), b"{}") is Fault.UNSIGNED
    assert _fault(Seal(KEY), b"TK1." + bytes(LARGEST)) is Fault.LARGE


@given(st.binary(max_size=300), st.booleans())
def test_nothing_but_our_own_opens(text: bytes, with_mark: bool) -> None:
    """Any other bytes are refused, and by no other error."""
    _fault(Seal(KEY), b"TK1." + text if with_mark else text)


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    """A changed byte anywhere, the end included, spoils the signature."""
    item = Seal(KEY, lambda: _NOW).close(b'{"task": "x"}', "pull", 90)
    at = data.draw(st.integers(0, len(item) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != item[at]))
    _fault(Seal(KEY, lambda: _NOW), item[:at] + bytes([other]) + item[at + 1 :])


def test_the_key_is_never_shown() -> None:
    """Neither the key nor what is derived from it is in the seal's text."""
    assert repr(Seal(b"secret" * 6)) == "Seal(…)"
