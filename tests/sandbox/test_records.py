"""Where the records come from: files, lines and the generator."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.days import recent
from tests.sandbox.callers import Caller, make_pair

SHARED = Path(os.environ.get("TRAILKEEPER_SHARED") or Path(__file__).parents[3] / "shared")
PERIOD = {"start": recent("2026-10-01"), "end": recent("2026-11-01")}

STRANGE = [
    '{"Id":"A","CreationTime":"2020-01-01T00:00:10","RecordType":1,"Big":12345678901234567890123,'
    '"Esc":"\\u00e9\\/\\ud83d\\udc22","Nul":"a\\u0000b","X":1,"X":2}',
    '{ "Id" : "B" , "Nested":{"CreationTime":"1999-09-09T09:09:09"}, '
    '"Text":"{\\"CreationTime\\":\\"1999-09-09T09:09:09\\"}",'
    ' "CreationTime" : "2020-01-01T00:00:40.250Z" }',
    '{"Id":"C","CreationTime":"2020-03-01T12:00:00+02:00","Lone":"\\ud800"}',
    '{"Id":"D","Operation":"no time"}',
    '{"Id":"E","CreationTime":"2020-03-02T00:00:00","Cut":"off',
    json.dumps(
        {
            "Identity": "F",
            "CreationDate": "2020-03-03T00:00:00Z",
            "AuditData": 'not json at all \ud800 "quoted"',
        }
    ),
    json.dumps(
        {
            "Identity": "G",
            "CreationDate": "2020-03-04T00:00:00Z",
            "AuditData": '{"Id":"G","CreationTime":"soon"}',
        }
    ),
]


def write(path: Path, lines: list[str]) -> str:
    """One record a line, gzipped when the name says so."""
    content = "\n".join(lines).encode("utf-8") + b"\n"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def truth(box: Sandbox, name: str = "contoso") -> dict[str, str]:
    return {row["Identity"]: row["AuditData"] for row in box.control.records(name)}


def served(box: Sandbox, name: str = "contoso") -> dict[str, dict[str, Any]]:
    """Everything that one caller gets from the tenant, by Identity."""
    pair = make_pair()
    box.control.register(name, pair.pem)
    rows = Caller(box, name, pair).rows(
        StartDate=recent("2026-10-01"), EndDate=recent("2026-11-01"), ResultSize=5000
    )
    return {row["Identity"]: row for row in rows}


def test_strange_records_are_served_as_they_are(tmp_path: Path) -> None:
    """Broken JSON, lone surrogates, double keys and missing times come through exactly."""
    path = write(tmp_path / "strange.ndjson", STRANGE)
    with Sandbox(tmp_path / "box", tenants=["contoso"], records=[path], **PERIOD) as box:
        rows = served(box)
        texts = {key: row["AuditData"] for key, row in rows.items()}
        assert texts == truth(box)
    assert len(texts) == 7
    assert '"Big":12345678901234567890123' in texts["A"]
    assert "\\u00e9\\/\\ud83d\\udc22" in texts["A"]
    assert texts["A"].endswith('"X":1,"X":2}')
    assert texts["D"] == STRANGE[3]
    assert texts["F"] == 'not json at all \ud800 "quoted"'
    assert texts["G"] == '{"Id":"G","CreationTime":"soon"}'


def test_shifting_changes_only_the_time(tmp_path: Path) -> None:
    """Only the outer CreationTime's value changes, in its own format; bursts keep their gaps."""
    path = write(tmp_path / "strange.ndjson.gz", STRANGE)
    with Sandbox(tmp_path / "box", tenants=["contoso"], records=[path], **PERIOD) as box:
        texts = truth(box)
    assert texts["B"] == STRANGE[1].replace(
        "2020-01-01T00:00:40.250Z", recent("2026-10-01T00:00:30.250Z")
    )
    assert recent('"CreationTime":"2026-10-01T00:00:00"') in texts["A"]
    assert json.loads(texts["C"])["CreationTime"].endswith("+02:00")


def test_kept_times(tmp_path: Path) -> None:
    """With keep_times every text is the file's, and rows stand at their own times."""
    line = recent('{"Id":"A","CreationTime":"2026-10-07T08:09:10","RecordType":999}')
    path = write(tmp_path / "one.ndjson", [line])
    with Sandbox(
        tmp_path / "box",
        tenants=["contoso", "other"],
        records=[f"contoso={path}"],
        keep_times=True,
        **PERIOD,
    ) as box:
        row = served(box)["A"]
        assert truth(box, "other") == {}
    assert row["AuditData"] == line
    assert row["RecordType"] == "999"
    assert row["CreationDate"] == recent("2026-10-07T08:09:10.0000000+00:00")


def test_shifting_is_deterministic(tmp_path: Path) -> None:
    """The same files and period give the same texts."""
    path = write(tmp_path / "strange.ndjson", STRANGE)
    found = []
    for name in ("one", "two"):
        with Sandbox(tmp_path / name, tenants=["contoso"], records=[path], **PERIOD) as box:
            found.append(truth(box))
    assert found[0] == found[1]


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="no folder of shared real records here")
def test_real_records_come_through(tmp_path: Path) -> None:
    """Every real record is served with its text untouched but for the CreationTime."""
    paths = sorted((SHARED / "data").glob("*.ndjson.gz"))
    with Sandbox(
        tmp_path / "box", tenants=["contoso"], records=list(map(str, paths)), **PERIOD
    ) as box:
        rows = served(box)
    lines = [line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(lines) == len(rows)
    for line in lines:
        old = json.loads(line)
        text = rows[old.get("Id") or old["id"]]["AuditData"]
        new = json.loads(text)
        if "CreationTime" in old:
            assert text.encode() == line.replace(
                old["CreationTime"].encode(), new["CreationTime"].encode(), 1
            ) or (
                json.dumps({**old, "CreationTime": ""}) == json.dumps({**new, "CreationTime": ""})
            )
        else:
            assert text.encode() == line


def generated(box: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(text) for text in truth(box).values()]


def test_generator_is_seeded(tmp_path: Path) -> None:
    """The same seed gives the same records, another seed others."""
    found = []
    for seed in (1, 1, 2):
        with Sandbox(tmp_path / "box", tenants=["contoso"], rate=300, seed=seed, **PERIOD) as box:
            found.append(truth(box))
    assert found[0] == found[1]
    assert found[0].keys().isdisjoint(found[2].keys())


def test_generator_keeps_the_load_profile(tmp_path: Path) -> None:
    """Days, nights, weekends, mix, sizes and bursts are those of the load profile, roughly."""
    with Sandbox(tmp_path / "box", tenants=["contoso"], rate=3000, **PERIOD) as box:
        records = generated(box)
    times = [datetime.fromisoformat(record["CreationTime"]) for record in records]
    day = sum(7 <= time.hour < 18 for time in times) / len(times)
    weekend = sum(time.weekday() >= 5 for time in times) / len(times)
    sizes = sorted(len(json.dumps(record)) for record in records)
    loads = Counter(record["Workload"] for record in records)
    same_second = sum(a == b for a, b in zip(sorted(times), sorted(times)[1:], strict=False))
    assert 40_000 < len(records) < 110_000
    assert 0.8 < day < 0.93
    assert 0.01 < weekend < 0.12
    assert 900 < sizes[len(sizes) // 2] < 1600
    assert sizes[-1] > 8_000
    assert 0.35 < (loads["SharePoint"] + loads["OneDrive"]) / len(records) < 0.55
    assert 0.15 < loads["Exchange"] / len(records) < 0.35
    assert same_second / len(records) > 0.1
    assert len({record["Id"] for record in records}) == len(records)


def test_empty_nights(tmp_path: Path) -> None:
    """The rhythm `empty-nights` has no record at night or on a weekend."""
    with Sandbox(
        tmp_path / "box", tenants=["contoso"], rate=500, rhythm="empty-nights", **PERIOD
    ) as box:
        times = [datetime.fromisoformat(record["CreationTime"]) for record in generated(box)]
    assert times
    assert all(time.weekday() < 5 and 7 <= time.hour < 19 for time in times)
