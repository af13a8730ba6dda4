"""The lake: one Delta table a tenant, each record once.

Imported only by workers that merge or report: polars and deltalake must not be *used* before a
process forks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

import polars as pl
import structlog
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from trailkeeper.errors import TrailkeeperError
from trailkeeper.model.measures.match import Match
from trailkeeper.model.measures.spread import Spread
from trailkeeper.model.report import Figures
from trailkeeper.model.review.control import About, Found
from trailkeeper.model.review.rule import Rule
from trailkeeper.model.segment import LandedSegment, Merge, MergeCounts
from trailkeeper.model.stream import Source
from trailkeeper.model.window import Window, iso
from trailkeeper.process.crash_points import durable
from trailkeeper.store import lake_arrivals, lake_export, lake_figures, lake_match
from trailkeeper.store.disk import make_folder, sync, unavailable
from trailkeeper.store.lake_faults import error_words, lake_errors
from trailkeeper.store.lake_identity import Whose, nobody
from trailkeeper.store.lake_merge import Folded, fold, received
from trailkeeper.store.lake_refused import may_blame_content, mended
from trailkeeper.store.lake_sightings import Sightings
from trailkeeper.store.lake_table import PARTITION, WRITER_PROPERTIES, Tables
from trailkeeper.store.review.evaluating import Evaluation

log = structlog.get_logger()

_APPLICATION = "trailkeeper-merge"
_NOTE = "trailkeeper"
_LOOK_BACK = (32, 1024, None)
_JOIN_EVERY = 32
"""versions of a table; a look into a day costs about 0.3 ms a file, joining them 40 ms"""
_SMALL_BYTES = 8 << 20
"""what is larger is left to `compact`"""
_ORPHANS_FROM = timedelta(days=1)
_NAMED = 10
"""refused records that the log names by the digest of their text"""


class DeltaLake:
    """`url`: a folder, or az://container/prefix, s3://bucket/prefix.

    `storage_options` are deltalake's; what is not given is read from the environment (AZURE_…,
    AWS_…), as every client of these stores does.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, str] | None = None,
        expected: Callable[[str], bool] = lambda tenant: False,
        whose: Whose = nobody,
    ) -> None:
        """`expected`: whether the ledger knows of stored records of a tenant. Then a missing table
        is `Unavailable` for every method but `remove`, and never an empty one.

        `whose`: the directory that a tenant's name stands for. A table of another one is refused
        with `ConfigurationError` by every method but `remove`, which frees the name."""
        self._tables = Tables(url, storage_options, expected, whose=whose)
        self._sightings = Sightings(url, storage_options)

    def merge(
        self, merge: Merge, files: Sequence[tuple[LandedSegment, Path]]
    ) -> dict[int, MergeCounts]:
        """Fold the files into the tenant's table in one commit; counts by segment id.

        The table is opened, compared with, and appended to at one version: a commit that finds a
        newer version is refused, so of two workers with the same merge one wins and the other gets
        `Transient`. Every merge commits, one that brings nothing new as well: its counts are kept
        with the commit, and a repeated call returns them.

        Conflicts are counted among records of the same day; see `lake_merge.Stored`. Rows that a
        library refuses for what they hold are stored without their header; see `lake_refused`.
        """
        with lake_errors(f"merging {merge.tenant}"):
            table = self._tables.find_or_create(merge.tenant)
            counts = self._committed(table, merge)
            if counts is None:
                counts = self._folded(merge, table, received(files))
            return counts

    def _folded(
        self, merge: Merge, table: DeltaTable, rows: pl.DataFrame
    ) -> dict[int, MergeCounts]:
        """As `_stored`; rows that are refused for what they hold do not keep the others out."""
        try:
            return self._stored(merge, table, rows)
        except BaseException as error:
            if not may_blame_content(error):
                raise
            storable = mended(rows)
            if storable is None:
                raise
            _tell_refused(merge, storable.refused, error)
        table = self._tables.find_or_create(merge.tenant)
        return self._committed(table, merge) or self._stored(merge, table, storable.rows)

    def _committed(self, table: DeltaTable, merge: Merge) -> dict[int, MergeCounts] | None:
        """As `_committed`; whoever made that commit may have ended before it was durable."""
        found = _committed(table, merge)
        if found is None:
            return None
        version, counts = found
        self._make_durable(merge.tenant, table, version)
        return counts

    def _stored(
        self, merge: Merge, table: DeltaTable, rows: pl.DataFrame
    ) -> dict[int, MergeCounts]:
        folded = fold(rows, self._tables.scan(table))
        counts = _all_entries(merge, folded.counts)
        self._note_sightings(merge.tenant, folded)
        with durable("lake.commit"):
            _append(table, merge, folded, counts)
        self._make_durable(merge.tenant, table)
        if table.version() % _JOIN_EVERY == 0:
            _join_small_files(table, merge, folded.new[PARTITION].unique().to_list())
            self._make_durable(merge.tenant, table)
        return counts

    def _note_sightings(self, tenant: str, folded: Folded) -> None:
        """Before the merge commits: what is noted and made again says nothing new."""
        table = self._sightings.add(tenant, folded.sightings)
        if table is not None and self._sightings.tables.folder:
            _make_durable(self._sightings.tables.folder / tenant, table)

    def match(
        self,
        tenant: str,
        hours: Sequence[datetime],
        since: Mapping[Source, datetime | None],
        ignored: Sequence[int] = (),
    ) -> Match:
        """Match the records of some hours of one day by Id; see `lake_match`."""
        with lake_errors(f"matching the records of {tenant}"):
            table = self._tables.find(tenant)
            if table is None or not hours:
                return Match(len(hours), missed={source: {} for source in since})
            day = hours[0].replace(hour=0)
            stored = self._tables.scan(table, Window(day, day + timedelta(days=1)))
            sightings = self._sightings.of_day(tenant, day.date())
            return lake_match.match_day(stored, sightings, hours, since, ignored)

    def arrivals(
        self,
        tenant: str,
        source: Source,
        window: Window,
        looks: Sequence[tuple[Window, datetime]],
        on_time: timedelta,
    ) -> dict[str, Spread]:
        """By workload, when the records of a day were first seen; see `lake_arrivals`."""
        with lake_errors(f"measuring the arrivals of {tenant}"):
            table = self._tables.find(tenant)
            if table is None or not looks:
                return {}
            stored = self._tables.scan(table, window)
            sightings = self._sightings.of_day(tenant, window.start.date())
            return lake_arrivals.arrivals(stored, sightings, source, looks, on_time)

    def forget_sightings(self, tenant: str, before: date) -> None:
        """Delete what matching needs of events before a day; the records stay."""
        with lake_errors(f"forgetting sightings of {tenant}"):
            self._sightings.forget(tenant, before)

    def _make_durable(self, tenant: str, table: DeltaTable, since: int | None = None) -> None:
        """The table's newest commit, or all from `since` on. An object store is durable by itself.

        The log of an old one may be gone by now, which then proves that it was durable long ago.
        """
        if self._tables.folder:
            with durable("lake.fsync"):
                _make_durable(self._tables.folder / tenant, table, since)

    def export_jsonl(self, tenant: str, window: Window | None, out: BinaryIO) -> int:
        """One record a line by time, then Id; how many. The same state gives the same bytes."""
        with lake_errors(f"exporting {tenant}"):
            return lake_export.write_jsonl(self._tables, tenant, window, out)

    def export_csv(self, tenant: str, window: Window | None, out: BinaryIO) -> int:
        """RFC 4180 with a header line, UTF-8; how many records. Safe to open in a spreadsheet."""
        with lake_errors(f"exporting {tenant}"):
            return lake_export.write_csv(self._tables, tenant, window, out)

    def export_parquet(self, tenant: str, window: Window | None, out: Path) -> int:
        """One file, complete or absent; how many records."""
        with lake_errors(f"exporting {tenant}"):
            return lake_export.write_parquet(self._tables, tenant, window, out)

    def figures(self, tenant: str, window: Window, zone: ZoneInfo) -> Figures:
        """What the report states of `window`; days and times in `zone`."""
        with lake_errors(f"counting the records of {tenant}"):
            return lake_figures.figures(self._tables, tenant, window, zone)

    def review(
        self, tenant: str, window: Window, rules: Sequence[Rule], about: About, language: str
    ) -> dict[str, Found]:
        """What each rule found, by its id; see `review.evaluating`."""
        with lake_errors(f"reviewing the records of {tenant}"):
            return Evaluation(rules, about, language).over(self._tables, tenant, window)

    def compact(self, tenant: str, retain: timedelta) -> None:
        """Join small files; delete files that no version younger than `retain` needs.

        A merge that commits meanwhile is tried again by itself. Exports that run longer than
        `retain` fail. What killed merges left behind goes too, unless `retain` is under a day: a
        running merge has not committed its files yet.
        """
        with lake_errors(f"compacting {tenant}"):
            table = self._tables.find(tenant)
            if table is None:
                return
            with durable("lake.compact"):
                table.optimize.compact(writer_properties=WRITER_PROPERTIES, max_concurrent_tasks=1)
            with durable("lake.vacuum"):
                table.vacuum(
                    retention_hours=math.ceil(retain / timedelta(hours=1)),
                    dry_run=False,
                    enforce_retention_duration=False,
                    full=retain >= _ORPHANS_FROM,
                )
            self._sightings.compact(tenant, retain)

    def remove(self, tenant: str) -> None:
        """Delete all records of the tenant, for good."""
        with lake_errors(f"removing {tenant}"):
            self._sightings.tables.drop(tenant)
            self._tables.drop(tenant)

    def require_ours(self, tenant: str) -> None:
        """Raises `ConfigurationError` when the tenant's table is another directory's."""
        with lake_errors(f"opening the lake of {tenant}"):
            self._tables.find_ours(tenant)

    def require(self, tenant: str) -> None:
        """Raises `Unavailable` when the tenant's records should be here and are not."""
        with lake_errors(f"opening the lake of {tenant}"):
            self._tables.find(tenant)

    def check(self) -> None:
        """Raises `Unavailable` when the folder cannot be written, or the store not be reached."""
        folder = self._tables.folder
        if folder is None:
            with lake_errors(f"reaching the lake {self._tables.url}"):
                DeltaTable.is_deltatable(self._tables.url, self._tables.options)
            return
        probe = folder / ".write-probe"
        try:
            make_folder(folder)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise unavailable(folder, "written", error) from None


def _tell_refused(merge: Merge, refused: Sequence[bytes], error: BaseException) -> None:
    log.error(
        "records_refused",
        tenant=merge.tenant,
        merge=merge.id,
        records=len(refused),
        digests=[digest.hex() for digest in refused[:_NAMED]],
        reason=error_words(error),
    )


def _join_small_files(table: DeltaTable, merge: Merge, days: Sequence[date]) -> None:
    """Of the days that a merge has just written to: every look into them opens all their files.

    Part of the merge, so that no other commit of ours comes in between. The merge itself is done:
    whatever goes wrong here is only said.
    """
    if not days:
        return
    try:
        with lake_errors(f"joining small files of {merge.tenant}"):
            table.optimize.compact(
                partition_filters=[(PARTITION, "in", [day.isoformat() for day in days])],
                target_size=_SMALL_BYTES,
                max_concurrent_tasks=1,
                writer_properties=WRITER_PROPERTIES,
            )
    except TrailkeeperError as error:
        log.warning("compaction_failed", tenant=merge.tenant, reason=str(error))


def _append(
    table: DeltaTable, merge: Merge, folded: Folded, counts: dict[int, MergeCounts]
) -> None:
    """One commit on top of the very version that `folded` was compared with."""
    note = {
        "merge": merge.id,
        "entries": _fingerprint(merge),
        "counts": {str(segment): _numbers(count) for segment, count in counts.items()},
    }
    write_deltalake(
        table,
        folded.new,
        mode="append",
        writer_properties=WRITER_PROPERTIES,
        commit_properties=CommitProperties(
            app_transactions=[Transaction(_APPLICATION, merge.id)],
            custom_metadata={_NOTE: json.dumps(note, separators=(",", ":"))},
            max_commit_retries=0,
        ),
    )


def _committed(table: DeltaTable, merge: Merge) -> tuple[int, dict[int, MergeCounts]] | None:
    """Version and counts of the commit that made this merge; None when there is none.

    The number alone is no proof: a ledger restored from a backup hands out the same numbers for
    other segments. A merge whose commit is not found is simply made: what is stored already is
    recognised record by record.
    """
    last = table.transaction_version(_APPLICATION)
    if last is None or last < merge.id:
        return None
    for limit in _LOOK_BACK:
        commits = table.history(limit)
        for commit in commits:
            note = json.loads(commit.get(_NOTE, "{}"))
            if note.get("merge") == merge.id and note["entries"] == _fingerprint(merge):
                counts = {int(key): MergeCounts(*count) for key, count in note["counts"].items()}
                return int(commit["version"]), counts
        if limit is None or len(commits) < limit:
            break
    return None


def _fingerprint(merge: Merge) -> str:
    entries = sorted((e.segment_id, e.landed.file, iso(e.landed_at)) for e in merge.entries)
    return blake2b(json.dumps(entries).encode(), digest_size=8).hexdigest()


def _numbers(count: MergeCounts) -> list[int]:
    return [count.received, count.stored, count.duplicates, count.conflicts]


def _all_entries(merge: Merge, counts: dict[int, MergeCounts]) -> dict[int, MergeCounts]:
    return {e.segment_id: counts.get(e.segment_id, MergeCounts()) for e in merge.entries}


def _make_durable(folder: Path, table: DeltaTable, since: int | None = None) -> None:
    """fsync what the commits wrote, before the ledger is told and the landing files may go."""
    newest = table.version()
    for version in range(newest if since is None else since, newest + 1):
        log = folder / "_delta_log" / f"{version:020d}.json"
        if since is not None and not log.exists():  # cleaned up after a checkpoint
            continue
        actions = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        added = [folder / action["add"]["path"] for action in actions if "add" in action]
        # A later commit may have replaced a file, and a vacuum removed it.
        paths = [path for path in added if since is None or path.exists()]
        for path in [*paths, *{path.parent for path in paths}, log, log.parent, folder]:
            sync(path)
