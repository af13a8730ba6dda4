"""The daily questions cost what the work in hand costs, not what the years behind it weigh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.contract.ledger_words import CONTOSO, MANY, T0, at, window
from trailkeeper.store.database import open_database
from trailkeeper.store.ledger import SqlLedger
from trailkeeper.store.outbox import SqlOutbox

QUESTIONS: dict[str, Callable[[SqlLedger, SqlOutbox], object]] = {
    "ix_segments_open": lambda ledger, _: ledger.due(T0, 500, 2),
    "ix_segments_leased": lambda ledger, _: ledger.due(T0, 500, 2),
    "ix_segments_landed": lambda ledger, _: ledger.tenants_to_merge(),
    "ix_segments_kept": lambda ledger, _: ledger.merged_files(T0),
    "ix_segments_unfinished": lambda ledger, _: ledger.unfinished("contoso", window(0, 1)),
    "ix_segments_stream": lambda ledger, _: ledger.findings(CONTOSO, window(0, 1)),
    "uq_merges_open": lambda ledger, _: ledger.open_merge("contoso", "m", T0, at(1), MANY),
    "ix_outbox_owed": lambda _, outbox: outbox.due(T0, 9),
}


@pytest.mark.parametrize("index", QUESTIONS)
def test_a_question_reads_its_index(index: str, tmp_path: Path) -> None:
    """SQLite answers each question from the index made for it."""
    engine = open_database(f"sqlite:///{tmp_path}/ledger.db")
    plans: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _explain(_c: object, cursor, sql: str, values, _x: object, many: bool) -> None:  # type: ignore[no-untyped-def]  # the driver's own types
        if sql.lstrip().startswith("SELECT"):
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
            plans.extend(row[3] for row in cursor.fetchall())

    QUESTIONS[index](SqlLedger(engine), SqlOutbox(engine))
    assert any(f"INDEX {index}" in plan for plan in plans), plans
    engine.dispose()
