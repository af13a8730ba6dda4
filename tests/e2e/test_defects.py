"""The whole line against every lie of the search, alone and mixed: never silently short.

Every test has a tenant of its own in one sandbox, reached over TLS with real tokens; what is asked
of it is a real service divided by 25 (`proving.SMALL`).
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from sandbox import Sandbox
from tests.days import recent
from tests.e2e.proving import (
    SMALL,
    Proof,
    SkippingClock,
    Subject,
    altered,
    configured,
    silently_short,
)
from trailkeeper.model.record_types import record_type_names
from trailkeeper.model.segment import Landed, NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window, iso

pytestmark = pytest.mark.xdist_group("defects")
_NUMBERS = itertools.count()
_TENANTS = 400
"""more than any run has tests"""

BOUND = 50
"""calls at most, as a multiple of the least, two attempts of everything included"""
SWEEP = 2 * len(record_type_names())
"""calls that a full second may cost when its sessions lie: one per record type and attempt"""
CROWDED = recent("2026-10-05T11:15:00Z")

Fault = tuple[str, dict[str, Any]]


@pytest.fixture(scope="session")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Subject]]:
    folder = tmp_path_factory.mktemp("defects")
    with Sandbox(folder / "box", tenants=()) as box:

        def subject() -> Subject:
            name = f"t{next(_NUMBERS):03}"
            return Subject(box, configured(box, folder / name, [name]), name)

        yield subject


@pytest.fixture
def subject(_place: Callable[[], Subject]) -> Iterator[Subject]:
    """A tenant of three days with 500 records a day, 300 more in one second of the first."""
    found = _place()
    found.fill(500, crowd=300)
    yield found
    found.box.control.clear_faults()


def _judge(subject: Subject, proof: Proof) -> None:
    """Nothing missing inside proven time, nothing twice, nothing changed, calls bounded."""
    truth = subject.truth()
    assert silently_short(proof, truth) == []
    assert [key for key, count in proof.ids.items() if count > 1] == []
    assert altered(proof, truth) == []
    assert subject.requests().get("search", 0) <= BOUND * (1 + len(truth) / SMALL.cap) + SWEEP


PASSING: list[Fault] = [
    ("duplicate_rows", {"times": 0}),
    ("bogus_row", {"times": 3}),
    ("bogus_row", {"times": 3, "form": "empty"}),
    ("bogus_row", {"on": 2, "times": 2, "form": "page"}),
    ("count_zero", {"times": 2}),
    ("count_is_page_size", {"times": 0}),
    ("session_restarts", {"times": 0}),
    ("session_restarts", {"times": 0, "rounds": 1}),
    ("short_first_page", {"times": 1}),
    ("stall", {"times": 1}),
    ("stall", {"times": 1, "form": "repeat"}),
    ("warning_zero_rows", {"times": 3}),
    ("warning_zero_rows", {"on": 3, "times": 2}),
    ("first_large_empty", {}),
    ("first_large_empty", {"times": 0, "min_span_seconds": 86400}),
    ("first_large_empty", {"times": 0}),
    ("first_large_empty", {"times": 3, "min_span_seconds": 0}),
    ("first_large_empty", {"times": 10, "chance": 0.4}),
    ("foreign_rows", {"times": 3}),
    ("foreign_rows", {"on": 3, "times": 2, "replace": False}),
    ("invalid_json", {"times": 0}),
    ("warning_partial_rows", {"times": 3}),
    ("more_results_warning", {"times": 0, "rows": 150}),
    ("errors_in_200", {"times": 2}),
    ("unauthorized", {}),
    ("unauthorized", {"form": "empty"}),
    ("nul_403", {}),
    ("transient_400", {"times": 3}),
    ("throttled", {"times": 4, "seconds": 2}),
    ("throttled", {"times": 2, "seconds": 2, "form": "message"}),
    ("throttled", {"on": 2, "times": 2, "form": "text", "status": 200}),
    ("throttled", {"on": 2, "times": 2, "form": "text", "status": 400}),
    ("throttled", {"on": 3, "form": "bare"}),
    ("server_error", {"times": 3}),
    ("server_error", {"times": 2, "retry_after": 2}),
    ("gzip_mislabelled", {"times": 2}),
    ("not_json", {"times": 2}),
    ("reset", {"times": 2}),
    ("reset_mid_body", {"times": 2}),
    ("cut_body", {"times": 2}),
    ("slow", {"seconds": 0.1}),
]
LASTING: list[Fault] = [
    ("bogus_row", {"times": 0}),
    ("bogus_row", {"times": 0, "form": "page", "chance": 0.4}),
    ("count_zero", {"times": 0, "min_span_seconds": 1800}),
    ("short_first_page", {"times": 0}),
    ("stall", {"times": 0}),
    ("stall", {"times": 0, "form": "repeat"}),
    ("warning_zero_rows", {"times": 0}),
    ("first_large_empty", {"times": 0, "chance": 0.3}),
    ("first_large_empty", {"times": 0, "chance": 0.3, "min_span_seconds": 0}),
    ("first_large_empty", {"times": 0, "min_span_seconds": 900}),
    ("first_large_empty", {"times": 0, "min_span_seconds": 0, "min_rows": 100}),
    ("first_large_empty", {"times": 0, "min_span_seconds": 0, "min_rows": 10}),
    ("foreign_rows", {"times": 0}),
    ("foreign_rows", {"times": 0, "share": 0.02, "chance": 0.5}),
    ("warning_partial_rows", {"times": 0}),
    ("warning_partial_rows", {"times": 0, "keep": 0.9, "text": "Something new to us."}),
    ("errors_in_200", {"times": 0}),
    ("not_json", {"times": 0}),
    ("redirect", {"times": 0}),
    ("throttled", {"times": 0, "seconds": 1, "chance": 0.4}),
    ("unauthorized", {"times": 0}),
    ("nul_403", {"times": 0}),
]


def _name(fault: Fault) -> str:
    return "-".join([fault[0], *(f"{k}={v}" for k, v in fault[1].items())])


@pytest.mark.parametrize("fault", PASSING, ids=_name)
def test_a_fault_that_passes_costs_time_and_no_record(subject: Subject, fault: Fault) -> None:
    """Each lie that is not told for ever ends in a complete window with every record once."""
    subject.box.control.set_fault(fault[0], subject.name, **fault[1])
    proof = subject.collect()
    _judge(subject, proof)
    assert proof.complete, (proof.coverage.suspect, proof.coverage.gaps)


@pytest.mark.parametrize("fault", LASTING, ids=_name)
def test_a_fault_that_lasts_is_never_taken_for_the_truth(subject: Subject, fault: Fault) -> None:
    """Each lie told for ever leaves every record stored, or its window suspect or a gap."""
    subject.box.control.set_fault(fault[0], subject.name, **fault[1])
    _judge(subject, subject.collect())


@pytest.mark.parametrize("longer_than", [0, 60])
def test_a_tenant_of_which_a_row_is_known_is_never_taken_for_empty(
    subject: Subject, longer_than: int
) -> None:
    """D10 for every question and for ever: what an earlier collection saw refutes it."""
    day = subject.window.start - timedelta(days=1)
    assert subject.collect(window=Window(day, day + timedelta(days=1))).complete
    subject.box.control.set_fault(
        "first_large_empty", subject.name, times=0, min_span_seconds=longer_than
    )
    proof = subject.collect()
    _judge(subject, proof)
    assert not proof.complete


def test_paging_tokens_that_expire_start_the_window_again(subject: Subject) -> None:
    """A skip token that is refused costs the page's call and no record."""
    subject.box.control.alter(subject.name, odata_split=True)
    subject.box.control.set_fault("expired_skip_token", subject.name, times=2)
    proof = subject.collect()
    _judge(subject, proof)
    assert proof.complete


def test_auditing_off_is_no_empty_month(subject: Subject) -> None:
    """D14: success with zero rows while ingestion is off parks the tenant and proves nothing."""
    subject.box.control.alter(subject.name, ingestion=False)
    proof = subject.collect()
    assert [p.code for p in proof.came.parked] == ["auditing_off"]
    assert not proof.coverage.complete
    assert proof.coverage.gaps


SWITCHES: dict[str, list[Any]] = {
    "result_count": ["total", "page", "zero"],
    "more_records": ["object", "string", "off"],
    "order": ["newest", "oldest", "shuffled", "arbitrary"],
    "odata_split": [False, True],
    "start_inclusive": [True, False],
    "end_inclusive": [False, True],
}
_GRID = [
    dict(zip(SWITCHES, values, strict=True)) for values in itertools.product(*SWITCHES.values())
]


@pytest.mark.parametrize(
    "switches", random.Random(4).sample(_GRID, 8), ids=lambda s: "-".join(map(str, s.values()))
)
def test_every_honest_service_is_proven_complete(
    subject: Subject, switches: dict[str, Any]
) -> None:
    """Whatever ResultCount, flags, order and borders mean in a tenant, its window is complete."""
    _honest(subject, switches)


@pytest.mark.nightly
@pytest.mark.parametrize("switches", _GRID, ids=lambda s: "-".join(map(str, s.values())))
def test_every_combination_of_switches(subject: Subject, switches: dict[str, Any]) -> None:
    """The same for all combinations."""
    _honest(subject, switches)


def _honest(subject: Subject, switches: dict[str, Any]) -> None:
    subject.box.control.alter(subject.name, **switches)
    proof = subject.collect()
    _judge(subject, proof)
    assert proof.complete, (proof.coverage.suspect, proof.coverage.gaps)


def test_a_full_second_is_complete_by_record_type(subject: Subject) -> None:
    """More records in one second than any session holds are whole when no type fills one."""
    subject.box.control.crowd(subject.name, CROWDED, SMALL.session_cap + 500)
    proof = subject.collect()
    _judge(subject, proof)
    assert proof.complete, (proof.coverage.suspect, proof.coverage.gaps)


def test_more_of_one_type_than_a_session_holds_is_a_named_gap(subject: Subject) -> None:
    """What no question can bring is a gap of that second with its reason; the rest is complete."""
    control = subject.box.control
    control.crowd(subject.name, CROWDED, SMALL.session_cap + 500, operation="UserLoggedIn")
    proof = subject.collect()
    assert silently_short(proof, subject.truth()) == []
    assert [iso(gap.window.start) for gap in proof.coverage.gaps] == [CROWDED]
    assert [gap.window.duration for gap in proof.coverage.gaps] == [timedelta(seconds=1)]
    assert "more than 2,000" in proof.coverage.gaps[0].reason
    assert "in one second" in proof.coverage.gaps[0].reason


def test_what_arrives_later_is_found_by_a_later_reading(subject: Subject) -> None:
    """D13: a window is proven for what had arrived; asked again, it brings the rest."""
    control = subject.box.control
    span = {"from": iso(subject.window.start), "to": iso(subject.window.end)}
    control.set_fault("late_arrival", subject.name, seconds=3600, share=0.3, **span)
    first = subject.collect()
    assert first.complete
    assert 0 < len(first.lines) < len(subject.truth())
    control.set_clock(events_offset=7200)
    second = subject.collect()
    control.set_clock(events_offset=0)
    _judge(subject, second)
    assert len(second.lines) == len(subject.truth())


def test_time_before_the_horizon_is_lost_by_name(subject: Subject) -> None:
    """Older than the tenant's retention: lost, with the service's sentence; the rest complete."""
    kept = (datetime.now(UTC) - subject.window.start - timedelta(hours=15)) / timedelta(days=1)
    subject.box.control.alter(subject.name, retention_days=kept)
    proof = subject.collect()
    _judge(subject, proof)
    (gap,) = proof.coverage.gaps
    assert gap.window.start == subject.window.start
    assert abs(gap.window.duration - timedelta(hours=15)) < timedelta(minutes=1)
    assert "startDate should be after" in gap.reason


def test_young_time_is_complete_but_provisional(subject: Subject) -> None:
    """Read soon after it happened, time is provisional; read again when settled, it no more is."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    subject.window = Window(hour - timedelta(hours=48), hour - timedelta(hours=1))
    subject.fill()
    early = subject.collect()
    assert early.complete
    assert early.coverage.provisional_from is not None
    settled = datetime.now(UTC) - timedelta(hours=24)
    assert abs(early.coverage.provisional_from - settled) < timedelta(minutes=5)
    days = timedelta(days=2)
    subject.box.control.set_clock(identity_offset=days.total_seconds())
    late = subject.collect(clock=SkippingClock(days))
    subject.box.control.set_clock(identity_offset=0)
    assert late.complete
    assert late.coverage.provisional_from is None


STRANGE = [
    recent('{"Id":"s-1","CreationTime":"2026-10-05T12:00:01","a":1,"a":2}'),
    recent('{"Id":"s-2","CreationTime":"2026-10-05T12:00:02","n":') + "9" * 5000 + "}",
    recent('{"Id":"s-3","CreationTime":"2026-10-05T12:00:03","x":"\\ud800","y":"\\u0000"}'),
    recent('{"Id":"s-4","CreationTime":"2026-10-05T12:00:04","x":"') + "m" * (2 << 20) + '"}',
    recent('{"Id":"s-5","CreationTime":"2026-10-05T12:00:05","RecordType":"Fifteen"}'),
    recent('{"CreationTime":"2026-10-05T12:00:06","no":"id"}'),
    recent('{"Id":"s-7","CreationTime":"2026-10-05T12:00:07","cut":"sho'),
    '{"Id":"s-8","CreationTime":"yesterday","placed":"by the row"}',
]


def test_strange_records_come_out_as_they_went_in(subject: Subject) -> None:
    """Invalid, cut short, huge, with repeated keys or lone surrogates: stored and exported."""
    lines = [
        json.dumps(
            {
                "Identity": f"s-{n}",
                "CreationDate": recent(f"2026-10-05T12:00:0{n}Z"),
                "AuditData": text,
            }
        )
        for n, text in enumerate(STRANGE, 1)
    ]
    subject.box.control.add_lines(subject.name, lines)
    proof = subject.collect()
    assert proof.complete
    assert set(STRANGE) - set(proof.lines) == {STRANGE[6]}
    wrapped = {
        "Id": "s-7",
        "CreationTime": recent("2026-10-05T12:00:07.0000000+00:00"),
        "AuditDataText": STRANGE[6],
    }
    assert wrapped in [json.loads(line) for line in proof.lines if '"s-7"' in line]
    assert len(proof.lines) == len(subject.truth())


def test_a_change_of_habits_is_noticed(subject: Subject) -> None:
    """What ResultCount means is kept per tenant; another meaning later is logged as a change."""
    subject.box.control.alter(subject.name, result_count="total", order="newest")
    with structlog.testing.capture_logs() as before:
        subject.collect()
    subject.box.control.alter(subject.name, result_count="zero")
    with structlog.testing.capture_logs() as after:
        subject.collect()
    assert "search_habits_changed" not in [entry["event"] for entry in before]
    changes = [entry for entry in after if entry["event"] == "search_habits_changed"]
    assert ("total", "zero") in [entry.get("result_count") for entry in changes]


def test_a_million_records_do_not_delay_a_hundred(subject: Subject) -> None:
    """While one tenant has hundreds of segments due, another's only one is among the first."""
    world = subject.world()
    now = world.clock.now()
    large, small = (Stream(name, Source.EXCHANGE) for name in ("large", "small"))
    hours = [
        NewSegment(large, hour, Purpose.BACKFILL)
        for hour in Window(now - timedelta(days=30), now).pieces(timedelta(hours=1))
    ]
    world.ledger.plan(large, lambda watermark: hours, now)
    one = [NewSegment(small, hours[0].window, Purpose.BACKFILL)]
    world.ledger.plan(small, lambda watermark: one, now)
    order = []
    for _ in range(8):
        first = world.ledger.due(now, limit=1, per_stream=3)[0]
        order.append(first.stream.tenant)
        leased = world.ledger.lease(first.id, "test", now, now + timedelta(minutes=2), 3)
        assert leased
        if first.stream == small:
            break
        world.ledger.land(leased.lease, Landed(None, 0, 0, 1), [], [], now)
    world.close()
    assert order.index("small") <= 1, order


MIXED = sorted({name for name, _ in [*PASSING, *LASTING]} - {"unauthorized", "nul_403", "redirect"})


@pytest.mark.parametrize("seed", range(20))
def test_mixtures_are_never_silently_short(subject: Subject, seed: int) -> None:
    """Many lies at once, told by lot: every record that had arrived is stored, or it is named."""
    _mixture(subject, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20, 220))
def test_more_mixtures(subject: Subject, seed: int) -> None:
    """The same with two hundred more seeds."""
    _mixture(subject, seed)


def _mixture(subject: Subject, seed: int) -> None:
    lot = random.Random(seed)
    switches = {name: lot.choice(values) for name, values in SWITCHES.items()}
    if switches["result_count"] != "page":
        switches["order"] = lot.choice(["newest", "oldest"])
    subject.box.control.alter(subject.name, **switches)
    for name in lot.sample(MIXED, lot.randrange(2, len(MIXED))):
        wish = {"chance": lot.choice([0.05, 0.15, 0.3]), "seed": seed, "times": lot.choice([3, 20])}
        if name == "throttled":
            wish["seconds"] = 1
        if name == "slow":
            wish["seconds"] = 0.02
        if name == "invalid_json":  # the same records always, or each would have two contents
            wish = {"times": 0}
        subject.box.control.set_fault(name, subject.name, **wish)
    _judge(subject, subject.collect())
