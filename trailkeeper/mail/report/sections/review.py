"""What a reviewer signs off: one line for each control, then the notable events of those found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from trailkeeper.mail.report.blocks import (
    Banner,
    Block,
    Cell,
    Column,
    Paragraph,
    Row,
    Section,
    Table,
)
from trailkeeper.mail.report.facts import Facts
from trailkeeper.mail.report.review_words import Words, words_in
from trailkeeper.mail.wording import number, shown
from trailkeeper.model.review.chains import chains
from trailkeeper.model.review.control import Notable, Reviewed, State
from trailkeeper.model.window import iso

ROWS_PER_CONTROL = 25
_BYTES_IN_ALL = 48_000
"""for events and unproven times together: Gmail clips mails over 102 kB"""
_BYTES_OF_MARKUP = 900
"""of a row, and of a table's head"""
_CHAINS_SHOWN = 3
_DETAIL_LIMIT = 200
_TARGET_LIMIT = 120
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TONES: Mapping[State, str] = {State.FOUND: "warn", State.NOTHING: "good", State.UNKNOWN: ""}


def section(facts: Facts) -> Section:
    review = facts.report.review
    if not review:
        return Section(json={"review": []})
    words = words_in(facts.report.language)
    rows = [[_event(facts, n) for n in each.notable[:ROWS_PER_CONTROL]] for each in review]
    limit = _rows_each(rows, _BYTES_IN_ALL - _bytes_of_stretches(facts))
    blocks: list[Block] = [*_first(facts, words), _overview(review, words)]
    blocks += [Paragraph(text, "note") for text in _notes(review, words)]
    for each, events in zip(review, rows, strict=True):
        if events:
            blocks += _events(each, events[:limit], words)
    return Section(words.title, tuple(blocks), {"review": [_json(each) for each in review]})


def _first(facts: Facts, words: Words) -> Iterator[Block]:
    """Accounts whose findings tell one story: a way in, and what was done with it."""
    lines = []
    for each in chains(facts.report.review)[:_CHAINS_SHOWN]:
        begin = words.instant(_local(each.begin, facts))
        controls = ", ".join(words.controls[control] for control in each.controls)
        lines.append(words.chain.format(shown(each.actor), begin, controls))
    if lines:
        yield Banner("bad", words.look_first, tuple(lines))


def _local(at: int, facts: Facts) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(facts.zone)


def _rows_each(rows: Sequence[Sequence[Row]], size: int) -> int:
    """The most rows that every control may have for all of them to fit into the mail."""
    sizes = [[_BYTES_OF_MARKUP + len(escape(row.text).encode()) for row in of] for of in rows]
    left = size - _BYTES_OF_MARKUP * sum(map(bool, rows))
    limits = range(ROWS_PER_CONTROL, 0, -1)
    return next((n for n in limits if sum(sum(of[:n]) for of in sizes) <= left), 0)


def _bytes_of_stretches(facts: Facts) -> int:
    """What the table of unproven times takes of the same mail."""
    rows = facts.statement.stretches
    return sum(_BYTES_OF_MARKUP + len(escape(row.reason).encode()) for row in rows)


def _overview(review: tuple[Reviewed, ...], words: Words) -> Table:
    columns = (
        Column(words.control),
        Column(words.outcome),
        Column(words.count, right=True, width="50"),
        Column(words.before, right=True, width="70"),
    )
    return Table(columns, tuple(_line(each, words) for each in review))


def _line(each: Reviewed, words: Words) -> Row:
    title, state = words.controls[each.control], words.states[each.state]
    count = number(each.count) if each.state is not State.UNKNOWN else "?"
    previous = number(each.previous) if each.previous_state is not State.UNKNOWN else "?"
    return Row(
        (
            Cell(title),
            Cell(state, tone=_TONES[each.state]),
            Cell(count),
            Cell(previous, quiet=True),
        ),
        f"{count:>7}  {title}: {state} ({words.before.lower()}: {previous})",
    )


def _notes(review: tuple[Reviewed, ...], words: Words) -> Iterator[str]:
    if any(State.UNKNOWN in (each.state, each.previous_state) for each in review):
        yield words.unknown_note


def _events(each: Reviewed, rows: Sequence[Row], words: Words) -> Iterator[Block]:
    if rows:
        columns = (Column(words.when, width="30%"), Column(words.what))
        yield Table(columns, tuple(rows), title=words.controls[each.control])
    if each.count > len(rows):
        more = words.more if rows else words.only_counted
        left = number(each.count - len(rows))
        yield Paragraph(more.format(left, control=words.controls[each.control]), "note")


def _event(facts: Facts, notable: Notable) -> Row:
    when = words_in(facts.report.language).instant(_local(notable.at, facts))
    actor, detail = shown(notable.actor), shown(notable.detail, _DETAIL_LIMIT)
    address = shown(notable.client_ip) if notable.client_ip else ""
    under = " · ".join(_context(notable))
    return Row(
        (Cell(when, under=address), Cell(detail, strong=f"{actor}:", under=under)),
        f"{'  '.join(filter(None, (when, address)))}\n    {actor}: {detail}\n    {under}",
    )


def _context(notable: Notable) -> Iterator[str]:
    """On what, by which operation, and the Id under which the CSV has the record."""
    if notable.target and notable.target.lower() != notable.actor.lower():
        yield shown(notable.target, _TARGET_LIMIT)
    yield shown(notable.operation)
    yield shown(notable.id)


def _json(each: Reviewed) -> dict[str, Any]:
    return {
        "control": each.control.value,
        "state": each.state.value,
        "count": each.count,
        "previous": each.previous,
        "previous_state": each.previous_state.value,
        "notable": [_notable(notable) for notable in each.notable],
    }


def _notable(notable: Notable) -> dict[str, Any]:
    return {
        "id": notable.id,
        "at": iso(_EPOCH + timedelta(microseconds=notable.at)),
        "operation": notable.operation,
        "actor": notable.actor,
        "target": notable.target,
        "detail": notable.detail,
        "client_ip": notable.client_ip,
        "rule": notable.rule,
        "records": notable.records,
    }
