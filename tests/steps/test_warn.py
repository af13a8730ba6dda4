from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.clocks import HandClock
from tests.microsoft.identity import make_pair
from trailkeeper.metrics import Metrics
from trailkeeper.microsoft.certificates.expiry import ConfiguredCertificates
from trailkeeper.microsoft.certificates.loading import Certificates
from trailkeeper.model.expiry import CertificateNote
from trailkeeper.model.segment import NewSegment, Purpose
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.ports.parking import Parking
from trailkeeper.settings import load
from trailkeeper.steps.warn import WarnStep, noted_certificates
from trailkeeper.store.ledger import SqlLedger

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ENDS = NOW + timedelta(days=62)
TENANT = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
[certificate]
pfx = "contoso.pfx"
"""


class Dates:
    """One tenant's certificate, as a test wishes it to be."""

    def __init__(self) -> None:
        self.note = CertificateNote("contoso", "certificate", "AB" * 20, ENDS)

    def of(self, tenant: str) -> list[CertificateNote]:
        assert tenant == "contoso"
        return [self.note]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "trailkeeper.toml").write_text("")
    (tmp_path / "tenants" / "contoso.toml").write_text(TENANT)
    return tmp_path


def test_each_threshold_is_said_once(folder: Path, ledger: SqlLedger) -> None:
    """Looked at every hour to the very end, a certificate causes five warnings, one per step."""
    clock, settings = HandClock(NOW), load(folder)
    said = []
    while clock.time <= ENDS:
        with capture_logs() as events:  # a step of its own each time: nothing is kept in memory
            WarnStep(settings, ledger, Dates(), clock)()
        said += [event["days_left"] for event in events]
        clock.time += timedelta(hours=1)
    assert said == [60, 30, 14, 7, 1]


def test_a_new_certificate_begins_anew(folder: Path, ledger: SqlLedger) -> None:
    """A replaced certificate is watched like the first, and the ledger knows the new one."""
    clock, dates = HandClock(NOW), Dates()
    clock.time = ENDS - timedelta(days=5)
    step = WarnStep(load(folder), ledger, dates, clock)
    assert (step(), step()) == (1, 0)
    dates.note = CertificateNote("contoso", "certificate", "CD" * 20, ENDS + timedelta(days=300))
    assert step() == 0
    assert noted_certificates(ledger)["contoso", "certificate"] == dates.note
    clock.time = ENDS + timedelta(days=299.5)
    assert step() == 1


def test_one_of_no_use_is_said_once(folder: Path, ledger: SqlLedger) -> None:
    """A certificate that cannot be used is an error in the log, once, with its reason."""
    settings, clock = load(folder), HandClock(NOW)
    dates = ConfiguredCertificates(settings, Certificates(settings, clock))
    step = WarnStep(settings, ledger, dates, clock)
    with capture_logs() as events:
        assert (step(), step()) == (1, 0)
    [event] = [each for each in events if each["event"] == "certificate_refused"]
    assert event["log_level"] == "error"
    assert "contoso.pfx" in event["reason"]


def test_a_share_at_a_time_reaches_everybody(folder: Path, ledger: SqlLedger) -> None:
    """Of a fleet, those looked at longest ago come next: twelve twelfths are all, once each."""
    for number in range(299):
        name = f"tenant-{number:03}"
        (folder / "tenants" / f"{name}.toml").write_text(
            TENANT.replace("8000-0", f"8{number:03}-0")
        )
    settings, clock, seen = load(folder), HandClock(NOW), []

    class Everybody:
        def of(self, tenant: str) -> list[CertificateNote]:
            seen.append(tenant)
            return [CertificateNote(tenant, "certificate", "AB" * 20, ENDS)]

    for _ in range(12):
        WarnStep(settings, ledger, Everybody(), clock)(1 / 12)
        clock.time += timedelta(minutes=5)
    assert sorted(seen) == sorted(settings.tenants)


def test_real_dates_are_read(folder: Path) -> None:
    """What is looked at is the configured file itself."""
    pair = make_pair()
    (folder / "contoso.pfx").write_bytes(pair.pfx())
    settings, clock = load(folder), HandClock(NOW)
    clock.time = datetime.now(UTC)
    [note] = ConfiguredCertificates(settings, Certificates(settings, clock)).of("contoso")
    assert (note.thumbprint, note.trouble) == (pair.sha1, "")
    assert note.expires_at == pair.certificate.not_valid_after_utc


def written(folder: Path, ledger: SqlLedger) -> list[str]:
    path = folder / "metrics" / "trailkeeper.prom"
    Metrics(load(folder), ledger, HandClock(NOW), path)()
    return [line for line in path.read_text().splitlines() if line[0] != "#"]


def test_metrics_tell_what_the_ledger_knows(folder: Path, ledger: SqlLedger) -> None:
    """Certificate, unfinished segments by state and parked tenants stand in the file."""
    clock, stream = HandClock(NOW), Stream("contoso", Source.EXCHANGE)
    WarnStep(load(folder), ledger, Dates(), clock)()
    window = Window(NOW - timedelta(hours=1), NOW)
    ledger.plan(stream, lambda _: [NewSegment(stream, window, Purpose.COLLECT, 0, NOW)], NOW)
    ledger.park(Parking("contoso", Source.EXCHANGE, NOW, "AADSTS700016", "a", "b", None))
    named = 'slot="certificate",tenant="contoso"'
    assert written(folder, ledger) == [
        f"trailkeeper_certificate_expires_seconds{{{named}}} 5.3568e+06",  # 62 days
        f"trailkeeper_certificate_usable{{{named}}} 1.0",
        'trailkeeper_segments{state="planned"} 1.0',
        'trailkeeper_segments{state="leased"} 0.0',
        'trailkeeper_segments{state="landed"} 0.0',
        "trailkeeper_tenants_parked 1.0",
    ]


def test_a_landing_shows(folder: Path, ledger: SqlLedger) -> None:
    """A stream's last landing is a Unix time, and stays when newer windows are still planned."""
    from trailkeeper.model.segment import Finding, Landed, Verdict

    stream = Stream("contoso", Source.EXCHANGE)
    hours = [Window(NOW + timedelta(hours=n), NOW + timedelta(hours=n + 1)) for n in range(2)]
    new = [NewSegment(stream, window, Purpose.COLLECT, 0, NOW) for window in hours]
    ledger.plan(stream, lambda _: new, NOW)
    segment = next(each for each in ledger.due(NOW, 9, 9) if each.window == hours[0])
    leased = ledger.lease(segment.id, "worker", NOW, NOW + timedelta(hours=1), 9)
    assert leased is not None
    finding = Finding(segment.window, Verdict.COMPLETE, NOW, "read to the end")
    ledger.land(leased.lease, Landed("file", 10, 100, 1, 0), [finding], [], NOW)
    labels = 'content_type="",source="exchange",tenant="contoso"'
    name = "trailkeeper_stream_landed_timestamp_seconds"
    [line] = [line for line in written(folder, ledger) if line.startswith(name)]
    assert line.startswith(f"{name}{{{labels}}} ")
    assert float(line.rpartition(" ")[2]) == NOW.timestamp()


def test_a_disk_that_refuses_is_only_logged(folder: Path, ledger: SqlLedger) -> None:
    """Metrics that cannot be written are said in the log and hold nothing up."""
    (folder / "metrics").write_text("a file stands here")
    with capture_logs() as events:
        Metrics(load(folder), ledger, HandClock(NOW), folder / "metrics" / "trailkeeper.prom")()
    assert [event["event"] for event in events] == ["metrics_write_failed"]
