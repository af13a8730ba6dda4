"""A month in a time zone, and the figures that a report states about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from trailkeeper.model.coverage import Coverage, proves
from trailkeeper.model.expiry import CertificateNote
from trailkeeper.model.review.control import Reviewed
from trailkeeper.model.window import Window

_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month; `window` gives its borders in a tenant's time zone."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read `YYYY-MM`. Raises `ValueError` otherwise."""
        match = _MONTH.fullmatch(text.strip())
        if not match or not 1 <= int(match[2]) <= 12 or not 2000 <= int(match[1]) <= 2999:
            raise ValueError(f"{text!r} is not a month; write it as YYYY-MM, for example 2026-10")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, moment: datetime, zone: ZoneInfo) -> Month:
        local = moment.astimezone(zone)
        return cls(local.year, local.month)

    def next(self) -> Month:
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def previous(self) -> Month:
        return Month(self.year - (self.number == 1), 12 if self.number == 1 else self.number - 1)

    def window(self, zone: ZoneInfo) -> Window:
        """The month's half-open UTC interval on the occurrence axis."""
        following = self.next()
        return Window(
            datetime(self.year, self.number, 1, tzinfo=zone).astimezone(UTC),
            datetime(following.year, following.number, 1, tzinfo=zone).astimezone(UTC),
        )

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


@dataclass(frozen=True, slots=True)
class Count:
    """One row of a ranking."""

    name: str
    records: int


@dataclass(frozen=True, slots=True)
class DayCount:
    """Records of one workload on one local day."""

    day: date
    workload: str
    records: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the lake says of one month; times in the tenant's zone, counts of stored records."""

    records: int
    by_day: tuple[DayCount, ...] = ()
    by_workload: tuple[Count, ...] = ()
    by_operation: tuple[Count, ...] = ()
    """the most frequent first, at most 20"""
    by_user: tuple[Count, ...] = ()
    """people, the most frequent first, at most 20"""
    users: int = 0
    """distinct people: members, guests and partners' technicians; see `model.review.people`"""
    guests: int = 0
    """of them, people of other tenants and anonymous ones"""
    partners: int = 0
    """of them, technicians of partners"""
    machines: int = 0
    """distinct user ids of services and applications; none of them is among the users"""
    sign_ins_failed: int = 0
    malformed: int = 0
    keyless: int = 0
    conflicting: int = 0
    """records whose Id is shared with another record of other content"""
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Brand:
    """How the provider shows itself in its mails."""

    name: str = ""
    colour: str = ""
    """as `#0b5cad`"""
    logo: Path | None = None
    """a PNG or JPEG file"""


@dataclass(frozen=True, slots=True)
class MonthReport:
    """Everything the templates need; nothing is computed after this point."""

    tenant: str
    domain: str
    month: Month
    timezone: str
    window: Window
    figures: Figures
    coverage: tuple[Coverage, ...]
    rendered_at: datetime
    certificates: tuple[CertificateNote, ...] = ()
    """what opens the tenant at `rendered_at`; shown when a warning is due"""
    review: tuple[Reviewed, ...] = ()
    """in the order of `Control`; empty: nothing was reviewed"""
    name: str = ""
    """how people know the customer; empty: the tenant's name"""
    language: str = "en"
    brand: Brand = Brand()

    @property
    def is_preliminary(self) -> bool:
        """Made before the month was over: it does not stand for the month's own report."""
        return self.rendered_at < self.window.end

    @property
    def is_complete(self) -> bool:
        """Whether the month is proven; see `coverage.decisive` for which sources decide."""
        return proves(self.coverage)


class ReportState(StrEnum):
    QUEUED = "queued"
    """rendered and in the outbox"""
    SENDING = "sending"
    """one worker is speaking to the mail server, until the lease's deadline"""
    SENT = "sent"
    """accepted by the mail server"""
    REFUSED = "refused"
    """refused for good; a person is needed"""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes out with the mail."""

    path: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered report on disk, paths absolute. Images are referred to by `cid:` in the HTML."""

    folder: str
    subject: str
    html: str
    text: str
    images: tuple[Attachment, ...] = field(default_factory=tuple)
    attachments: tuple[Attachment, ...] = field(default_factory=tuple)
    rendered_at: datetime | None = None
    """the mail's Date header, so that every try sends the same bytes; None: the server adds one"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try at sending one report from the outbox.

    `message_id` is the same for every try, so that a receiver can recognise a second copy after an
    outcome that we never learned.
    """

    outbox_id: int
    tenant: str
    month: Month
    message_id: str
    recipients: tuple[str, ...]
    rendered: Rendered
    attempt: int
    epoch: int
    left_behind: bool = False
    """the try before ended with its process, or stood still for too long: nobody learned how"""


@dataclass(frozen=True, slots=True)
class Queued:
    """Where one report in the outbox stands."""

    outbox_id: int
    state: ReportState
    recipients: tuple[str, ...]
    folder: str
    """where it was rendered"""
    finished_at: datetime | None
    """when it was sent or refused"""
    error: str = ""
    """why the last try failed; empty when none did"""
