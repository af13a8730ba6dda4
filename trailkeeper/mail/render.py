"""A month's report as files: mail body in HTML and text, chart, zipped CSV, report.json.

Nothing here reads a clock or the environment: the same report gives the same bytes. Whatever comes
from records passes `wording.shown` and, in HTML, Jinja's autoescape; none of it reaches a header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from trailkeeper.errors import Unavailable
from trailkeeper.mail import chart
from trailkeeper.mail.archive import Archive, place, zip_csv
from trailkeeper.mail.expiry import expiry_json, expiry_sentences
from trailkeeper.mail.measured import (
    LAG_NOTE,
    TIMES_NOTE,
    lag_rows,
    match_rows,
    match_text,
    workload_rows,
)
from trailkeeper.mail.message import content_id
from trailkeeper.mail.statement import SourceRow, Statement, state, unproven_days
from trailkeeper.mail.wording import (
    counted,
    instant,
    month_name,
    number,
    share,
    shown,
    size,
)
from trailkeeper.model.report import Attachment, Count, MonthReport, Rendered
from trailkeeper.model.window import iso

ATTACH_UP_TO = 15_000_000
"""bytes of zip that go by mail: base64 makes 20.5 MB of it, and common servers take 25 MB"""

RANKING_ROWS = 10
CHART_FILE = "chart.png"

_PATH_LIMIT = 400
_SOURCES_NOTE = (
    "Received counts every row that was answered, re-readings included; stored counts those that "
    "were new. A duplicate was there already with the same content; a conflict shares its Id with "
    "other content, and both are kept. The month is read in pieces, and each "
    "counts whole: those that reach beyond its ends count with what they brought of the days "
    "before and after, so that these numbers can exceed the records above."
)

_PRELIMINARY_NOTE = (
    "Preliminary: this month is not over. Its report follows by itself once it has ended and late "
    "records have had their time to arrive."
)

_AVAILABILITY_NOTE = (
    "The Management Activity feed is asked by the time at which records became available, which is "
    "mostly an hour or two after they happened."
)


class ReportRenderer:
    """Implements `ports.Renderer`. A zip larger than `attach_up_to` bytes stays in the folder."""

    def __init__(self, attach_up_to: int = ATTACH_UP_TO) -> None:
        self._attach_up_to = attach_up_to

    def render(
        self, report: MonthReport, folder: Path, write_csv: Callable[[BinaryIO], int]
    ) -> Rendered:
        """Write everything into `folder` (made if absent). Raises `Unavailable` when it cannot."""
        folder = _made(folder)
        archive = zip_csv(folder, _file_name(report), report.rendered_at, write_csv)
        attached = archive.size <= self._attach_up_to
        statement = state(report)
        page = _page(report, statement, _archive_text(archive, attached, self._attach_up_to))
        page |= {"sha256": archive.sha256, "stored_between": _stored_between(report, archive)}
        _draw(report, folder)
        html = _fill("report.html", page, image=f"cid:{content_id(CHART_FILE)}")
        text = _fill("report.txt", page)
        _keep(folder, "report.html", _fill("report.html", page, image=CHART_FILE))
        _keep(folder, "report.txt", text)
        _keep(folder, "report.json", _as_json(report, statement, archive, attached))
        return Rendered(
            folder=str(folder),
            subject=page["subject"],
            html=html,
            text=text,
            images=(Attachment(str(folder / CHART_FILE), "image/png"),),
            attachments=(Attachment(str(archive.path), "application/zip"),) if attached else (),
            rendered_at=report.rendered_at,
        )


# --- files -------------------------------------------------------------------------------------


def _made(folder: Path) -> Path:
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"the report folder {folder} cannot be made: {(error.strerror or str(error)).lower()}",
            "Make its parent a folder that this user can write.",
        ) from error
    return folder


def _keep(folder: Path, name: str, text: str) -> None:
    place(folder / name, lambda file: file.write(text.encode("utf-8", "replace")))


def _draw(report: MonthReport, folder: Path) -> None:
    png = chart.draw(report.figures, report.month, report.timezone, unproven_days(report))
    place(folder / CHART_FILE, lambda file: file.write(png))


def _file_name(report: MonthReport) -> str:
    tenant = re.sub(r"[^A-Za-z0-9._-]", "_", report.tenant)[:64].lstrip(".")
    return f"{tenant or 'tenant'}-{report.month}"


# --- words -------------------------------------------------------------------------------------


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("trailkeeper.mail"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _fill(template: str, page: dict[str, Any], **more: str) -> str:
    return _templates().get_template(template).render(page, **more)


def _page(report: MonthReport, statement: Statement, archive_text: str) -> dict[str, Any]:
    """Everything that the templates show: text already made harmless, numbers already written."""
    figures = report.figures
    zone = ZoneInfo(report.timezone)
    verdict, _, reason = statement.headline.partition(":")
    return {
        "subject": _subject(report, statement),
        "tenant": shown(report.tenant),
        "domain": shown(report.domain),
        "month": month_name(report.month),
        "timezone": shown(report.timezone),
        "statement": statement,
        "preliminary": _PRELIMINARY_NOTE if report.is_preliminary else "",
        "verdict": verdict,
        "reason": reason,
        "more": counted(statement.more, "more stretch", "more stretches"),
        "availability_note": _AVAILABILITY_NOTE,
        "totals": _totals(report, zone),
        "chart_text": chart.described(figures, report.month, unproven_days(report)),
        "chart_width": chart.WIDTH,
        "workloads": _ranking(_by_workload(report), figures.records),
        "operations": _ranking(figures.by_operation, figures.records),
        "users": _ranking(figures.by_user, figures.records),
        "sources": [_source(row) for row in statement.sources],
        "sources_note": _SOURCES_NOTE,
        "match_text": match_text(report),
        "matches": list(match_rows(report)),
        "match_workloads": workload_rows(report),
        "lags": list(lag_rows(report)),
        "lag_note": LAG_NOTE,
        "times_note": TIMES_NOTE,
        "archive_text": archive_text,
        "expiries": expiry_sentences(report),
        "rendered_at": instant(report.rendered_at, zone),
    }


def _subject(report: MonthReport, statement: Statement) -> str:
    verdict = "complete" if statement.complete else "INCOMPLETE"
    verdict += " so far" if statement.running else ""
    kind = "Preliminary Microsoft 365" if report.is_preliminary else "Microsoft 365"
    return f"{kind} audit report — {shown(report.tenant)} — {month_name(report.month)} — {verdict}"


def _totals(report: MonthReport, zone: ZoneInfo) -> list[dict[str, str]]:
    figures = report.figures
    tiles = [
        ("records", number(figures.records)),
        ("users", number(figures.users)),
        ("failed sign-ins", number(figures.sign_ins_failed)),
        ("malformed", number(figures.malformed)),
        ("without an Id", number(figures.keyless)),
        ("conflicting", number(figures.conflicting)),
    ]
    return [{"label": label, "value": value} for label, value in tiles]


def _by_workload(report: MonthReport) -> Sequence[Count]:
    """The rows of the chart, in its order, with the same "other"."""
    layers = chart.stack(report.figures, report.month)
    return [Count(layer.name, sum(layer.counts)) for layer in layers]


def _ranking(rows: Iterable[Count], whole: int) -> list[dict[str, str]]:
    return [
        {
            "name": shown(row.name),
            "records": number(row.records),
            "share": share(row.records, whole),
        }
        for row in list(rows)[:RANKING_ROWS]
    ]


def _source(row: SourceRow) -> dict[str, str]:
    counts = {name: number(count) for name, count in asdict(row.counts).items()}
    return {"source": row.source, "proven": row.proven, **counts}


def _archive_text(archive: Archive, attached: bool, limit: int) -> str:
    what = f"{archive.path.name} ({counted(archive.records, 'record')}, {size(archive.size)})"
    if attached:
        return f"Attached: {what}, one row for each record, as CSV in UTF-8."
    return (
        f"Not attached: {what} is larger than the {size(limit)} that go by mail. It lies on the "
        f"collecting machine at {shown(archive.path, _PATH_LIMIT)}; ask whoever runs it for a copy."
    )


def _stored_between(report: MonthReport, archive: Archive) -> str:
    """Empty unless the lake grew between the figures and the CSV."""
    if archive.records == report.figures.records:
        return ""
    return (
        f"The CSV file holds {counted(archive.records, 'record')}: records were merged while this "
        f"report was being made."
    )


def _as_json(report: MonthReport, statement: Statement, archive: Archive, attached: bool) -> str:
    whole = {
        "tenant": report.tenant,
        "domain": report.domain,
        "month": str(report.month),
        "timezone": report.timezone,
        "from": iso(report.window.start),
        "to": iso(report.window.end),
        "rendered_at": iso(report.rendered_at),
        "preliminary": report.is_preliminary,
        "complete": statement.complete,
        "statement": statement.headline,
        "figures": asdict(report.figures),
        "coverage": [
            {**c.as_json(), "content_type": c.stream.content_type} for c in report.coverage
        ],
        "certificates": expiry_json(report),
        "csv": {
            "file": archive.path.name,
            "attached": attached,
            "records": archive.records,
            "bytes": archive.size,
            "sha256": archive.sha256,
        },
    }
    return json.dumps(whole, indent=2, default=_plain) + "\n"


def _plain(value: object) -> str:
    """datetimes in UTC with `Z`, dates as they are."""
    return iso(value) if isinstance(value, datetime) else str(value)
