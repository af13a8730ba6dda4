"""Fetching blobs side by side: read in order of their creation, landed one by one.

The order makes an early stop clean: everything created before the first blob left is proven.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from functools import partial

import structlog

from trailkeeper.errors import (
    AnswerTooLarge,
    ConfigurationError,
    Lost,
    NeedsPerson,
    Throttled,
    TrailkeeperError,
    Transient,
    Unavailable,
)
from trailkeeper.microsoft.activity.blob import UnreadableBlob, lag_seconds, read_blob
from trailkeeper.microsoft.activity.client import MAX_BLOB_BYTES, ActivityClient, BrokenOff
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.records import RecordReader
from trailkeeper.model.feed.blob import MOST_ATTEMPTS, Blob, BlobMark, BlobState
from trailkeeper.model.feed.rules import Trouble
from trailkeeper.model.record import RecordColumns
from trailkeeper.ports.source import RecordSink

log = structlog.get_logger()

AHEAD = 2
"""blobs asked for, per thread: the next answer is there when one has been read"""
AHEAD_BYTES = 2 << 20
"""of a blob that is asked for before its turn, since all of them may wait behind one that is slow.
One that is larger is asked for once more at its turn; a thousand records have about 1 MiB"""
ENOUGH_BYTES = 24 << 20
"""raw text after which a pull ends and the rest becomes the next one: bounds the memory of merging
and lets it begin"""
_MOST_CUTS = 7
"""of a rest at once; what is left behind the last of them is cut in its turn"""
_IN_A_ROW = 5
"""failures one after another are the service's, not the blobs'"""

_STOPS = (Throttled, NeedsPerson, ConfigurationError, Unavailable)


class Fetching:
    """One pull's blobs. `run` may be called for several listings."""

    def __init__(
        self,
        client: ActivityClient,
        pool: Executor,
        threads: int,
        sink: RecordSink,
        still_ours: Callable[[], None],
        first_seen: datetime,
    ) -> None:
        self._client = client
        self._pool = pool
        self._ahead = threads * AHEAD
        self._sink = sink
        self._still_ours = still_ours
        self._reader = RecordReader(first_seen)
        self._failed_in_a_row: list[tuple[Blob, TrailkeeperError]] = []
        self._taken_for_outage: list[tuple[Blob, TrailkeeperError]] = []
        self._reread: set[str] = set()
        self.marks: list[BlobMark] = []
        self.troubles: list[Trouble] = []
        self.fetched = 0
        self.interrupted: TrailkeeperError | None = None
        self._left: list[datetime] = []

    def run(self, blobs: Sequence[Blob]) -> datetime | None:
        """Fetch `blobs`, oldest first. None when all were looked at, else when the oldest that was
        not was created. Raises what `still_ours` raises, and `Unavailable` when the disk refuses.
        """
        waiting = iter(blobs)
        running: deque[tuple[Blob, Future[list[Answer]]]] = deque()
        try:
            self._submit(waiting, running)
            while running:
                self._still_ours()
                self._look(*running.popleft(), running)
                self._submit(waiting, running)
        finally:
            for _, future in running:
                future.cancel()
        self._left += [blob.created_at for blob in waiting]
        self._settle_failures()
        return min(self._left, default=None)

    def cuts(self) -> list[datetime]:
        """Where a rest that was too much for one pull is best cut: as much for each as this one
        had, so that several processes share it and none lists it all again."""
        if self.interrupted or not self.fetched:
            return []
        left = sorted(created_at.replace(microsecond=0) for created_at in self._left)
        return left[self.fetched :: self.fetched][:_MOST_CUTS]

    @property
    def _goes_on(self) -> bool:
        return self.interrupted is None and self._sink.size < ENOUGH_BYTES

    def _submit(
        self, waiting: Iterator[Blob], running: deque[tuple[Blob, Future[list[Answer]]]]
    ) -> None:
        while self._goes_on and len(running) < self._ahead:
            blob = next(waiting, None)
            if blob is None:
                return
            running.append((blob, self._ahead_of_turn(blob)))

    def _ahead_of_turn(self, blob: Blob) -> Future[list[Answer]]:
        return self._pool.submit(self._client.blob, blob.uri, AHEAD_BYTES)

    def _answered(self, blob: Blob, future: Future[list[Answer]]) -> list[Answer]:
        """Its pages, at its turn. Raises `AnswerTooLarge` for one that is left to the next pull,
        or that is larger than what is read at all."""
        try:
            return future.result()
        except AnswerTooLarge:
            if not self._goes_on:
                raise
            return self._client.blob(blob.uri, MAX_BLOB_BYTES)

    def _look(
        self,
        blob: Blob,
        future: Future[list[Answer]],
        running: deque[tuple[Blob, Future[list[Answer]]]],
    ) -> None:
        if self.interrupted and future.cancel():
            self._left.append(blob.created_at)
            return
        try:
            records = self._read(partial(self._answered, blob, future))
        except _STOPS as error:
            self._taken_for_outage.clear()
            self.interrupted = error
            self._left.append(blob.created_at)
        except Lost as error:
            self._lost(blob, error)
        except UnreadableBlob as error:
            if blob.content_id not in self._reread and self.interrupted is None:
                self._reread.add(blob.content_id)
                running.append((blob, self._ahead_of_turn(blob)))
            else:
                self._bad(blob, error, error.readable)
        except TrailkeeperError as error:
            if isinstance(error, AnswerTooLarge) and not self._goes_on:
                self._left.append(blob.created_at)
            else:
                self._broken(blob, error)
        else:
            self._done(blob, records)

    def _read(self, answered: Callable[[], list[Answer]]) -> RecordColumns:
        """The records of a blob's pages. Raises `UnreadableBlob` with what is readable of all, and
        what the blob's first page raised."""
        pages, bad = _came(answered)
        if len(pages) == 1 and not bad:
            return read_blob(pages[0].body, self._reader, pages[0].request_id)
        records = RecordColumns()
        for page in pages:
            try:
                records.extend(read_blob(page.body, self._reader, page.request_id))
            except UnreadableBlob as error:
                records.extend(error.readable)
                bad = error
        if bad:
            bad.readable = records
            raise bad
        return records

    def _done(self, blob: Blob, records: RecordColumns) -> None:
        self._no_outage()
        self._settle_failures()
        self._sink.add(records)
        self.fetched += 1
        lag = lag_seconds(blob, records)
        self.marks.append(
            BlobMark(blob.content_id, BlobState.DONE, blob.attempts, "", len(records), lag)
        )

    def _lost(self, blob: Blob, error: TrailkeeperError) -> None:
        self._settle_failures()
        self._mark(blob, BlobState.LOST, error)

    def _broken(self, blob: Blob, error: TrailkeeperError) -> None:
        """Nothing came. Several in a row are no fault of theirs, and cost them nothing."""
        self._failed_in_a_row.append((blob, error))
        if len(self._failed_in_a_row) >= _IN_A_ROW and isinstance(error, Transient):
            if self.interrupted is None:
                self._taken_for_outage = list(self._failed_in_a_row)
            self.interrupted = self.interrupted or error
            self._left += [failed.created_at for failed, _ in self._failed_in_a_row]
            self._failed_in_a_row.clear()

    def _no_outage(self) -> None:
        """A blob that was under way came whole: those in a row before it failed by themselves.

        Otherwise a handful of bad neighbours would stop every look at the same place.
        """
        failed, self._taken_for_outage = self._taken_for_outage, []
        if not failed:
            return
        self.interrupted = None
        for blob, error in failed:
            self._left.remove(blob.created_at)
            self._bad(blob, error, RecordColumns())

    def _settle_failures(self) -> None:
        """Something else came since: what failed before counts against the blobs themselves."""
        failed, self._failed_in_a_row = self._failed_in_a_row, []
        if self.interrupted is not None:
            self._left += [blob.created_at for blob, _ in failed]
            return
        for blob, error in failed:
            self._bad(blob, error, RecordColumns())

    def _bad(self, blob: Blob, error: TrailkeeperError, readable: RecordColumns) -> None:
        """One more failed look; after the last one what is readable of it is kept."""
        if blob.expires_at <= self._client.now():
            self._sink.add(readable)
            self._mark(blob, BlobState.LOST, error)
        elif blob.attempts + 1 < MOST_ATTEMPTS:
            self._mark(blob, BlobState.LISTED, error)
        else:
            self._sink.add(readable)
            self._mark(blob, BlobState.SET_ASIDE, error)

    def _mark(self, blob: Blob, state: BlobState, error: TrailkeeperError) -> None:
        attempts = blob.attempts + 1
        evidence = f"{error.summary} [{error.code}] {error.request_id}".strip()
        self.marks.append(BlobMark(blob.content_id, state, attempts, evidence))
        self.troubles.append(Trouble(blob.created_at, state is BlobState.LOST, error.summary))
        with structlog.contextvars.bound_contextvars(
            content_type=blob.content_type,
            content_id=blob.content_id,
            attempts=attempts,
            reason=error.summary,
            code=error.code,
            request_id=error.request_id,
        ):
            if state is BlobState.LOST:
                log.warning("blob_lost")
            elif state is BlobState.SET_ASIDE:
                log.warning("blob_shelved")
            else:
                log.warning("blob_failed")


def _came(answered: Callable[[], list[Answer]]) -> tuple[Sequence[Answer], UnreadableBlob | None]:
    """The pages of a blob that came, and why there are no more if there should be."""
    try:
        return answered(), None
    except BrokenOff as error:
        why = UnreadableBlob(error.summary, error.remedy, error.code, error.request_id)
        return error.pages, why
