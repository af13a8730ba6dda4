from __future__ import annotations

import unicodedata
from datetime import timedelta

import pytest

from tests.mail.reports import HOSTILE, ZONE, local
from trailkeeper.mail.wording import length, share, shown, size, span
from trailkeeper.model.window import Window


@pytest.mark.parametrize("text", HOSTILE)
def test_shown_text_is_one_short_line_without_invisible_characters(text: str) -> None:
    """Whatever a record says, what a reader sees is one bounded line of visible characters."""
    line = shown(text)
    assert 0 < len(line) <= 80
    assert not any(unicodedata.category(c)[0] == "C" for c in line)
    assert line.splitlines() == [line]


def test_shown_text_cannot_become_a_link() -> None:
    """Mail programs find nothing to make clickable in a name that looks like an address."""
    assert shown("https://evil.example/x") == "https[://]evil.example/x"
    assert shown("www.evil.example") == "www[.]evil.example"


def test_shown_text_that_was_cut_says_so() -> None:
    """A shortened name ends in an ellipsis, also when its beginning was invisible."""
    assert shown("a" * 81) == "a" * 79 + "…"
    assert shown("a" * 80) == "a" * 80
    assert shown("\u200b" * 5_000 + "tail").endswith("…")


def test_span_names_both_zones_across_the_change_of_clocks() -> None:
    """A stretch over the night when clocks change shows which 02:30 is meant."""
    one_day = Window(local(14, 9, 20), local(14, 12, 10))
    assert span(one_day, ZONE) == "14 Oct 2026 09:20–12:10 CEST"
    over_change = Window(local(25, 1), local(25, 4))
    assert span(over_change, ZONE) == "25 Oct 2026 01:00 CEST – 25 Oct 2026 04:00 CET"


def test_length_keeps_hours_together() -> None:
    """Lengths are hours, minutes and seconds; days would hide the day of 25 hours."""
    assert length(timedelta(hours=3, minutes=20)) == "3 h 20 min"
    assert length(timedelta(days=31, hours=1)) == "745 h"
    assert length(timedelta(seconds=45)) == "45 s"
    assert length(timedelta(0)) == "0 s"


def test_share_claims_neither_all_nor_nothing_wrongly() -> None:
    """One record of a million is not 0 %, and all but one are not 100 %."""
    assert share(1, 1_000_000) == "0.1 %"
    assert share(999_999, 1_000_000) == "99.9 %"
    assert share(5, 5) == "100 %"
    assert share(0, 0) == "0 %"


def test_size_is_decimal_as_mail_servers_count() -> None:
    """15,000,000 bytes are 15.0 MB."""
    assert [size(1), size(12_345), size(15_000_000)] == ["1 byte", "12.3 kB", "15.0 MB"]
