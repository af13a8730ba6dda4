"""`trailkeeper collect` as an operator uses it: real processes against the sandbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.cli.conftest import DAYS, RECORDS, ROOT, Line
from tests.days import recent
from tests.servers.redis import redis_server
from trailkeeper.bootstrap import READABLE, World
from trailkeeper.messages import Queue
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.process.lock import data_folder
from trailkeeper.settings import load
from worker.health import Role, judge

CONTRACT_KEYS = [
    "tenant",
    "source",
    "from",
    "to",
    "complete_seconds",
    "provisional_from",
    "suspect",
    "gaps",
    "records_received",
    "records_stored",
    "duplicates",
    "conflicts",
]
SLOW_RANGE = (recent("2026-09-01"), recent("2026-10-31"))


def exported(line: Line) -> list[str]:
    """Every stored record's text."""
    said = line.run("export", "--tenant", line.tenant, "--format", "jsonl")
    assert said.code == 0, said.err
    return said.out.splitlines()


def truth(line: Line, box: Sandbox) -> list[str]:
    return [record["AuditData"] for record in box.control.records(line.tenant)]


def test_a_range_is_collected_and_its_coverage_stated(seeded: Line, box: Sandbox) -> None:
    """Everything the tenant has in the range is stored once, and the exit code says complete."""
    said = seeded.collect()
    assert said.code == 0, said.err
    assert "100 %" in said.out
    assert f" {RECORDS} stored" in said.out
    assert sorted(exported(seeded)) == sorted(truth(seeded, box))


def test_a_damaged_landing_file_is_collected_again(seeded: Line, box: Sandbox) -> None:
    """What was received lies cut on the disk: the next collection asks again, and says complete."""
    world = World(load(seeded.config.folder))
    stream, now = Stream(seeded.tenant, Source.EXCHANGE), world.clock.now()
    whole = Window(*(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in DAYS))
    wanted = NewSegment(stream, whole, Purpose.BACKFILL)
    world.ledger.plan(stream, lambda _: [wanted], now)
    (due,) = world.ledger.due(now, 1, 1)
    world.pull(due.id, "test")
    for file in world.landing.files(seeded.tenant):
        path = world.landing.path(seeded.tenant, file)
        path.write_bytes(path.read_bytes()[:-1000])
    world.close()
    said = seeded.collect("--json")
    assert said.code == 0, said.err
    (stated,) = said.objects
    assert stated["records_stored"] == RECORDS
    assert sorted(exported(seeded)) == sorted(truth(seeded, box))
    again = seeded.collect("--json")
    assert again.objects[0]["records_stored"] == RECORDS


def test_json_is_the_contract_s_object(seeded: Line) -> None:
    """--json prints one object per source with exactly the contract's keys, in its order."""
    said = seeded.collect("--json")
    (stated,) = said.objects
    assert list(stated) == CONTRACT_KEYS
    assert stated["complete_seconds"] == 2 * 86400
    assert stated["from"] == f"{DAYS[0]}T00:00:00Z"


def test_collecting_twice_stores_nothing_twice(seeded: Line, box: Sandbox) -> None:
    """The same range again is received again and stored never again."""
    seeded.collect()
    again = seeded.collect("--json")
    assert again.code == 0
    assert again.objects[0]["records_stored"] == RECORDS
    assert sorted(exported(seeded)) == sorted(truth(seeded, box))


def test_whoever_waits_is_told_why(seeded: Line, box: Sandbox) -> None:
    """While nothing can be asked, the progress says what the service answered."""
    box.control.set_fault("throttled", seeded.tenant, times=1, seconds=12)
    said = seeded.collect()
    box.control.clear_faults()
    assert said.code == 0
    assert "waiting: " in said.err
    assert "429" in said.err


def test_two_collections_at_once_share_the_work(seeded: Line, box: Sandbox) -> None:
    """Two processes that collect the same range both end well, and each record is stored once."""
    words = ("collect", "--tenant", seeded.tenant, "--from", DAYS[0], "--to", DAYS[1])
    both = [seeded.start(*words), seeded.start(*words)]
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert sorted(exported(seeded)) == sorted(truth(seeded, box))


def test_the_pulling_processes_log_in_once_between_them(seeded: Line, box: Sandbox) -> None:
    """Without Redis too: two segments are pulled side by side with one token."""
    box.control.alter(seeded.tenant, seconds_per_call=0.1)
    words = ("collect", "--tenant", seeded.tenant, "--from", SLOW_RANGE[0], "--to", DAYS[1])
    said = seeded.run(*words)
    assert said.code == 0, said.err
    assert box.control.counters()["by_tenant"][seeded.tenant]["token"] == 1


def test_interrupted_and_started_again(seeded: Line, box: Sandbox) -> None:
    """Ctrl-C in the middle loses nothing, says so, and the same command goes on from there."""
    box.control.alter(seeded.tenant, seconds_per_call=1.0)
    words = ("collect", "--tenant", seeded.tenant, "--from", SLOW_RANGE[0], "--to", DAYS[1])
    process = seeded.start(*words)
    calls_begin(box, seeded.tenant)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Nothing is lost" in err
    assert "Traceback" not in err
    box.control.alter(seeded.tenant, seconds_per_call=0.0)
    assert seeded.run(*words).code == 0
    assert sorted(exported(seeded)) == sorted(truth(seeded, box))


def calls_begin(box: Sandbox, tenant: str) -> None:
    """Return once the tenant's first search has reached the sandbox."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if box.control.counters()["by_tenant"].get(tenant, {}).get("search"):
            return
        time.sleep(0.05)
    raise TimeoutError("no search within a minute")


def test_a_missing_consent_needs_a_person_and_then_is_forgotten(seeded: Line, box: Sandbox) -> None:
    """Without the app role the command ends with 20 and the remedy; after the grant, asking again
    is enough: the parking is lifted by whoever asks."""
    box.control.alter(seeded.tenant, consented=False)
    refused = seeded.collect()
    assert refused.code == 20
    assert "Exchange.ManageAsApp" in refused.last_words
    assert "parked" in refused.out
    box.control.alter(seeded.tenant, consented=True)
    assert seeded.collect().code == 0


def test_a_paused_tenant_is_not_collected_until_it_is_resumed(seeded: Line) -> None:
    """What an operator paused stays so for collect too; resume lets it go on."""
    assert seeded.run("tenants", "pause", seeded.tenant).code == 0
    refused = seeded.collect()
    assert refused.code == 20
    assert f"trailkeeper tenants resume {seeded.tenant}" in refused.last_words
    assert seeded.run("tenants", "resume", seeded.tenant).code == 0
    assert seeded.collect().code == 0


def test_a_source_without_reader_is_a_named_gap(seeded: Line) -> None:
    """A configured source that this version cannot read makes the range incomplete, with reason."""
    # Fails once every source has a reader: then there is no such gap any more, nor this test.
    name = next(source for source in Source.known() if source not in READABLE).value
    seeded.replace('sources = ["exchange"]', f'sources = ["exchange", "{name}"]')
    said = seeded.collect("--json")
    assert said.code == 10
    by_source = {stated["source"]: stated for stated in said.objects}
    assert by_source["exchange"]["gaps"] == []
    assert "no reader" in by_source[name]["gaps"][0]["reason"]


def test_one_source_of_several(seeded: Line) -> None:
    """--source leaves the others out of the work and of the verdict."""
    seeded.replace('sources = ["exchange"]', 'sources = ["exchange", "graph"]')
    said = seeded.collect("--source", "exchange", "--json")
    assert said.code == 0
    assert [stated["source"] for stated in said.objects] == ["exchange"]


def test_collect_works_while_redis_is_down(seeded: Line) -> None:
    """Tokens fall back to this process: a dead Redis keeps nobody from collecting."""
    main = seeded.config.folder / "trailkeeper.toml"
    seeded.replace("[service]\n", '[service]\nredis = "redis://127.0.0.1:1/0"\n', main)
    assert seeded.collect().code == 0


def test_a_future_end_is_cut_to_now(seeded: Line) -> None:
    """What has not happened yet is not asked for, and the command says so."""
    said = seeded.collect("--json", end="2200-01-01")
    assert said.code == 0, said.err
    assert "collecting up to now" in said.err
    assert said.objects[0]["provisional_from"] is not None


def test_work_handed_over_is_planned_and_left_alone(seeded: Line, box: Sandbox) -> None:
    """--enqueue asks nothing of Microsoft itself; it warns when the workers' Redis is not there."""
    said = seeded.collect("--enqueue")
    assert said.code == 0
    assert "1 segment planned" in said.err
    assert "warning:" in said.err
    assert box.control.counters()["by_tenant"].get(seeded.tenant, {}).get("search", 0) == 0
    stated = seeded.run(
        "coverage", "--tenant", seeded.tenant, "--from", DAYS[0], "--to", DAYS[1], "--json"
    )
    assert stated.code == 10
    assert stated.objects[0]["gaps"][0]["reason"] == "not collected yet"


def test_work_is_handed_over_to_workers_that_answer(seeded: Line) -> None:
    """Nothing is promised, and the remedy is named, while there is no worker or only one that
    waits for what nobody would enqueue; with both, the beginning is."""
    main = seeded.config.folder / "trailkeeper.toml"
    with redis_server() as redis:
        seeded.replace("[service]\n", f'[service]\nredis = "{redis.url}"\n', main)
        alone = seeded.collect("--enqueue")
        assert alone.code == 0
        assert "no worker takes the queue `plan`" in alone.last_words
        assert "trailkeeper up" in alone.last_words
        assert "within a minute" not in alone.err
        with worker_of(seeded, Queue.PULL):
            idle = seeded.collect("--enqueue")
            assert "no worker takes the queue `plan`" in idle.last_words
            assert "within a minute" not in idle.err
            with worker_of(seeded, Queue.PLAN):
                assert "the workers begin at beat's next tick" in seeded.collect("--enqueue").err
        with worker_of(seeded, Queue.PLAN):
            assert "a worker with -Q pull" in seeded.collect("--enqueue").last_words


def test_work_is_handed_over_to_the_service_here(seeded: Line) -> None:
    """`trailkeeper up` on the same data folder starts what is missing: nobody has to be asked."""
    with data_folder(seeded.config.data):
        assert "the workers begin at beat's next tick" in seeded.collect("--enqueue").last_words


@contextmanager
def worker_of(line: Line, queue: Queue) -> Iterator[None]:
    """A worker that takes this queue, and is ready."""
    words = ("-A", "worker.app", "worker", "-Q", queue.value, "-n", f"{queue.value}@%h")
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", *words, "--concurrency", "1"],
        cwd=ROOT,
        env={**os.environ, "TRAILKEEPER_CONFIG": str(line.config.folder)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        settings = load(line.config.folder)
        deadline = time.monotonic() + 60
        while not judge(Role(queue.value), settings, datetime.now(UTC), anywhere=True).alive:
            assert time.monotonic() < deadline
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_waiting_for_others_to_do_the_work(seeded: Line) -> None:
    """--enqueue --wait ends complete once somebody else has pulled and merged what was planned."""
    waiting = seeded.start(
        "collect", "--tenant", seeded.tenant, "--from", DAYS[0], "--to", DAYS[1],
        "--enqueue", "--wait", "--json",
    )  # fmt: skip
    assert waiting.stderr is not None
    said = ""
    while "waiting for one all the same" not in said:
        said += waiting.stderr.readline()
        assert waiting.poll() is None, said
    assert "no worker takes the queue `plan`" in said
    assert seeded.collect().code == 0
    out, err = waiting.communicate(timeout=240)
    assert waiting.returncode == 0, said + err
    assert json.loads(out)["gaps"] == []


_TELLS_OF_FORKS = """
import os
from pathlib import Path
os.register_at_fork(before=lambda: Path({told!r}).touch())
"""


@pytest.mark.parametrize(
    ("words", "forked", "codes"),
    [
        (("--from", "last tuesday"), False, {2}),
        (("--from", DAYS[0], "--to", DAYS[1], "--source", "activity"), False, {0, 10}),
        (("--from", DAYS[0], "--to", DAYS[1], "--source", "exchange"), True, {0}),
    ],
)
def test_processes_where_they_are_of_use(
    seeded: Line, tmp_path: Path, words: tuple[str, ...], forked: bool, codes: set[int]
) -> None:
    """Pulling processes are started for a search that can be meant, and for nothing else."""
    told = tmp_path / "told"
    (tmp_path / "sitecustomize.py").write_text(_TELLS_OF_FORKS.format(told=str(told)))
    seeded.environment["PYTHONPATH"] = str(tmp_path)
    seeded.replace('sources = ["exchange"]', 'sources = ["exchange", "activity"]')
    assert seeded.run_fresh("collect", "--tenant", seeded.tenant, *words).code in codes
    assert told.exists() is forked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "2026-10-02", "--to", "2026-10-01"), "is not before"),
        (("--from", "2026-10-01", "--to", "2026-10-01"), "is not before"),
        (("--from", "last tuesday"), "ISO 8601"),
        (("--from", "2200-01-01"), "future"),
        (("--from", "0026-10-01"), "older than any audit log"),
        (("--from", "2026-10-01", "--source", "exchagne"), "the nearest first: exchange"),
        (("--from", "2026-10-01", "--source", "activity"), "Name one of exchange"),
        (
            ("--from", "2026-10-01", "--source", "graph"),
            "reads these, the nearest first: exchange",
        ),
        (("--from", "2026-10-01", "--wait"), "--enqueue"),
        ((), "--from"),
    ],
)
def test_words_that_make_no_sense(line: Line, words: tuple[str, ...], said: str) -> None:
    """A range or option that cannot be meant is refused before anything is asked or planned."""
    refused = line.run("collect", "--tenant", line.tenant, *words)
    assert refused.code == 2
    assert refused.out == ""
    assert refused.last_words.startswith("trailkeeper: ")
    assert said in refused.last_words
