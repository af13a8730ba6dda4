"""The documented defects of the search, D1 to D14, each by name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.days import recent
from tests.sandbox.callers import Caller
from tests.sandbox.test_sessions import LARGE, pages

ALL = {"ResultSize": 5000}


def fault(caller: Caller, name: str, **rest: Any) -> None:
    caller.box.control.set_fault(name, caller.name, **rest)


def test_d1_duplicate_rows(busy: Caller) -> None:
    """D1: rows come repeatedly, byte for byte, inside and between pages; none is missing."""
    fault(busy, "D1", rate=0.1)
    got = pages(busy, SessionId="d1", **LARGE)
    rows = [row for page in got for row in page]
    counts = Counter(row["Identity"] for row in rows)
    assert len(rows) == 6600
    assert len(counts) == 6000
    assert len({row["Identity"] for row in got[0]} & {row["Identity"] for row in got[1]}) > 0
    texts = {(row["Identity"], row["AuditData"]) for row in rows}
    assert len(texts) == 6000


def test_standing_duplicate_rate(small: Caller) -> None:
    """A tenant can repeat a share of its rows in every answer."""
    small.box.control.alter(small.name, duplicate_rate=0.1)
    ids = small.ids(**ALL)
    assert (len(ids), len(set(ids))) == (330, 300)


@pytest.mark.parametrize(("form", "rows"), [("row", 1), ("empty", 1), ("page", 150)])
def test_d2_bogus_row(small: Caller, form: str, rows: int) -> None:
    """D2: a worthless page shows ResultIndex -1 and ResultCount 0."""
    fault(small, "bogus_row", form=form)
    got = small.rows(**ALL)
    assert len(got) == rows
    assert {(row["ResultIndex"], row["ResultCount"]) for row in got} == {(-1, 0)}
    assert len(small.rows(**ALL)) == 300


def test_d3_count_zero(small: Caller) -> None:
    """D3: rows are present, some are missing, and ResultCount is 0."""
    fault(small, "D3")
    got = small.rows(**ALL)
    assert len(got) == 240
    assert {row["ResultCount"] for row in got} == {0}


def test_d4_count_is_page_size(small: Caller) -> None:
    """D4: ResultCount is the number of rows returned, not the total."""
    small.box.control.alter(small.name, result_count="total")
    fault(small, "D4")
    assert small.rows(ResultSize=1)[0]["ResultCount"] == 1
    assert small.rows(ResultSize=1)[0]["ResultCount"] == 300


def test_d5_session_restarts(busy: Caller) -> None:
    """D5: the session overshoots and starts again, its index counting on."""
    fault(busy, "session_restarts")
    got = pages(busy, limit=4, SessionId="d5", **LARGE)
    rows = [row for page in got for row in page]
    assert [len(page) for page in got] == [5000] * 4
    assert len({row["Identity"] for row in rows}) == 6000
    assert rows[-1]["ResultIndex"] == 20_000


def test_d6_short_first_page(busy: Caller) -> None:
    """D6: a short first page, then rows from outside the window, and never an end."""
    fault(busy, "short_first_page")
    got = pages(busy, limit=4, SessionId="d6", **LARGE)
    assert len(got) == 4
    assert len(got[0]) == 1500
    assert {row["CreationDate"][:10] for row in got[1]} <= {
        recent("2026-10-04"),
        recent("2026-10-06"),
    }


@pytest.mark.parametrize("form", ["empty", "repeat"])
def test_d7_stall(busy: Caller, form: str) -> None:
    """D7: near the end of the set the rest never comes: empty pages or repeats for ever."""
    fault(busy, "stall", at=0.9, form=form)
    got = pages(busy, limit=6, SessionId="d7", **LARGE)
    assert len({row["Identity"] for page in got for row in page}) == 5400
    assert len(got) == (2 if form == "empty" else 6)


def test_d8_crowded_second(caller: Caller) -> None:
    """D8: more records than one answer holds share a single second."""
    fault(caller, "D8", at=recent("2026-10-05T10:00:00Z"), count=6000, operation="FileAccessed")
    window = {
        "StartDate": recent("2026-10-05T10:00:00Z"),
        "EndDate": recent("2026-10-05T10:00:01Z"),
    }
    rows = caller.rows(**ALL, **window)
    assert len(rows) == 5000
    assert {row["Operations"] for row in rows} == {"FileAccessed"}


def test_d9_warning_instead_of_rows(small: Caller) -> None:
    """D9: a 200 with no rows whose error is only a warning."""
    fault(small, "D9", text="A task was canceled.")
    answer = small.search(**ALL)
    assert answer.status_code == 200
    assert answer.json()["value"] == []
    assert answer.json()["@adminapi.warnings"] == ["A task was canceled."]
    assert "canceled" in answer.headers["X-Warnings"]


def test_warning_with_some_rows(small: Caller) -> None:
    """A warning can come with a part of the rows."""
    fault(small, "warning_partial_rows", keep=0.5)
    answer = small.search(**ALL).json()
    assert len(answer["value"]) == 150
    assert answer["@adminapi.warnings"]


def test_errors_in_a_200(small: Caller) -> None:
    """The error can stand in @adminapi.errors of a 200."""
    fault(small, "errors_in_200")
    answer = small.search(**ALL).json()
    assert (answer["value"], len(answer["@adminapi.errors"])) == ([], 1)


def test_d10_large_window_empty(small: Caller) -> None:
    """D10: a large window returns nothing, while a part of it returns rows."""
    fault(small, "D10")
    part = {"StartDate": recent("2026-10-05T10:00:00Z"), "EndDate": recent("2026-10-05T10:50:00Z")}
    assert small.rows(**part)
    assert small.rows(**ALL) == []
    assert len(small.rows(**ALL)) == 300


def test_d11_foreign_rows(small: Caller) -> None:
    """D11: rows of another window stand in the place of true ones."""
    fault(small, "D11", share=0.1)
    rows = small.rows(**ALL)
    foreign = [row for row in rows if not row["CreationDate"].startswith(recent("2026-10-05"))]
    assert (len(rows), len(foreign)) == (300, 30)


def test_d12_invalid_json(small: Caller) -> None:
    """D12: AuditData of some records is cut short, always of the same records."""
    fault(small, "D12", times=0, share=0.1)
    broken = [broken_ids(small.rows(**ALL)) for _ in range(2)]
    assert 0 < len(broken[0]) < 100
    assert broken[0] == broken[1]


def broken_ids(rows: list[dict[str, Any]]) -> list[str]:
    """Identities of the rows whose AuditData is not valid JSON."""
    return [row["Identity"] for row in rows if not is_json(row["AuditData"])]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_d13_late_arrival(small: Caller) -> None:
    """D13: a share of the records arrives only later."""
    fault(small, "D13", share=0.3, seconds=3600)
    few = len(small.rows(**ALL))
    assert 150 < few < 270
    small.box.control.set_clock(events_offset=3700)
    assert len(small.rows(**ALL)) == 300


def test_d14_ingestion_off(small: Caller) -> None:
    """D14: success with zero rows, and the config says why."""
    fault(small, "D14", times=0)
    assert small.rows(**ALL) == []
    config = small.invoke("Get-AdminAuditLogConfig", {}).json()["value"][0]
    assert config["UnifiedAuditLogIngestionEnabled"] is False


def test_every_fault_is_named_once(small: Caller) -> None:
    """The control endpoint names every fault, and all fourteen defects are among them."""
    named = small.box.control.fault_names()
    aliases = {each["alias"] for each in named} - {""}
    assert aliases == {f"D{n}" for n in range(1, 15)}
    assert all(each["does"] for each in named)


def test_readme_lists_every_fault(small: Caller) -> None:
    """The page about the sandbox names each fault that exists."""
    page = (Path(__file__).parents[2] / "sandbox" / "README.md").read_text("utf-8")
    missing = [n["name"] for n in small.box.control.fault_names() if f"`{n['name']}`" not in page]
    assert missing == []
