"""The fuzz targets over a fixed set of damaged inputs; `make fuzz` goes on from there."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.targets import TARGETS

_MUTANTS = 300


def _damaged(seed: bytes, lot: random.Random) -> bytes:
    """The seed with bytes changed, dropped, doubled or put in, some of them of JSON."""
    data = bytearray(seed)
    for _ in range(lot.randrange(1, 8)):
        at = lot.randrange(len(data) + 1)
        match lot.randrange(4):
            case 0:
                data[at : at + 1] = bytes([lot.randrange(256)])
            case 1:
                del data[at : at + lot.randrange(1, 20)]
            case 2:
                data[at:at] = data[at : at + lot.randrange(1, 40)]
            case _:
                words = (b"null", b'"\\ud800"', b"[", b"{}", b"1e999", b"\xef\xbb\xbf", b"\0", b"-")
                data[at:at] = lot.choice(words)
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_answered(name: str) -> None:
    """Every reader of outside input answers damaged input with its documented errors alone."""
    target, lot = TARGETS[name], random.Random(name)
    target.of(b"")
    for seed in target.seeds:
        target.of(seed)
        for _ in range(_MUTANTS):
            data = _damaged(seed, lot)
            try:
                target.of(data)
            except Exception as error:
                error.add_note(f"{name} on {data!r}")
                raise
