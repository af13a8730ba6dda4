"""Short words for the suites of landing and lake: records, pages, merges of a made-up October."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from trailkeeper.model.canonical import content_digest
from trailkeeper.model.record import PlacedBy, RecordColumns
from trailkeeper.model.segment import Landed, LandedSegment, Lease, Merge, MergeCounts
from trailkeeper.model.stream import Source, Stream
from trailkeeper.model.window import Window
from trailkeeper.store.lake import DeltaLake
from trailkeeper.store.landing import FileLanding

ROOT = Path(__file__).parents[2]
T0 = datetime(2026, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TENANT = "contoso"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def october(first: float, last: float) -> Window:
    """Days of October, counted from 0."""
    return Window(T0 + first * DAY, T0 + last * DAY)


def record(record_id: str | None, at: str | None = "2026-10-01T08:00:00", **more: object) -> str:
    """A record's text; no Id or no CreationTime where None is given."""
    named = {"Id": record_id, "CreationTime": at}
    return json.dumps({**{k: v for k, v in named.items() if v is not None}, **more})


def columns(*texts: str, seen: datetime = T0) -> RecordColumns:
    """Texts with their headers, as a source reads them."""
    page = RecordColumns()
    for text in texts:
        fields = json.loads(text, parse_int=_integer)
        keyless = not isinstance(fields.get("Id"), str)
        placed_by, moment = _placed(fields.get("CreationTime"), seen)
        page.id.append(content_digest(text).hex() if keyless else fields["Id"])
        page.keyless.append(keyless)
        page.digest.append(blake2b(text.encode(), digest_size=16).digest())
        page.created_at.append((moment - EPOCH) // timedelta(microseconds=1))
        page.placed_by.append(placed_by)
        page.malformed.append("AuditDataText" in fields)
        page.record_type.append(_whole(fields.get("RecordType")))
        page.operation.append(fields.get("Operation"))
        page.workload.append(fields.get("Workload"))
        page.user_id.append(fields.get("UserId"))
        page.user_type.append(_whole(fields.get("UserType")))
        page.client_ip.append(fields.get("ClientIP"))
        page.result_status.append(fields.get("ResultStatus"))
        page.raw.append(text)
    return page


def _integer(digits: str) -> int | None:
    """Python refuses to read integers beyond 4,300 digits."""
    return int(digits) if len(digits) < 100 else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _placed(text: object, seen: datetime) -> tuple[PlacedBy, datetime]:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return PlacedBy.FIRST_SEEN, seen
    return PlacedBy.CREATION_TIME, moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own, from the repository's root."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )


class World:
    """A landing folder and a lake below one root; every attempt lands a second after the last."""

    def __init__(self, root: Path, lake: DeltaLake | None = None) -> None:
        self.root = root
        self.landing = FileLanding(root / "landing")
        self.lake = lake or DeltaLake(str(root / "lake"))
        self.segments = 0
        self.merges = 0

    def land(
        self, *pages: RecordColumns, source: Source = Source.EXCHANGE, at: datetime | None = None
    ) -> LandedSegment:
        self.segments += 1
        lease = Lease(self.segments, "test", 1, T0)
        with self.landing.open(lease, TENANT) as writer:
            for page in pages:
                writer.add(page)
            landed = Landed(writer.seal(), writer.received, writer.size, requests=1)
        landed_at = at or T0 + 40 * DAY + timedelta(seconds=self.segments)
        return LandedSegment(self.segments, Stream(TENANT, source), landed, landed_at)

    def claim(self, *entries: LandedSegment, number: int | None = None) -> Merge:
        self.merges = number or self.merges + 1
        return Merge(self.merges, TENANT, "test", 1, entries)

    def files(self, merge: Merge) -> list[tuple[LandedSegment, Path]]:
        entries = [(e, e.landed.file) for e in merge.entries]
        return [(e, self.landing.path(TENANT, file)) for e, file in entries if file]

    def fold(self, merge: Merge) -> dict[int, MergeCounts]:
        return self.lake.merge(merge, self.files(merge))

    def store(
        self, *texts: str, source: Source = Source.EXCHANGE, seen: datetime = T0
    ) -> MergeCounts:
        """Land the texts as one page and merge them at once."""
        merge = self.claim(self.land(columns(*texts, seen=seen), source=source))
        (counts,) = self.fold(merge).values()
        return counts

    def lines(self, window: Window | None = None) -> list[str]:
        return lines(self.lake, window)


def lines(lake: DeltaLake, window: Window | None = None, tenant: str = TENANT) -> list[str]:
    out = io.BytesIO()
    count = lake.export_jsonl(tenant, window, out)
    exported = out.getvalue().decode().split("\n")
    assert exported.pop() == ""
    assert len(exported) == count
    return exported


def counted(received: int, stored: int, conflicts: int = 0) -> MergeCounts:
    return MergeCounts(received, stored, received - stored, conflicts)


def summed(counts: Sequence[MergeCounts]) -> MergeCounts:
    return sum(counts, MergeCounts())
