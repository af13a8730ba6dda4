"""A month's report as files: mail body in HTML and text, chart, zipped CSV, report.json.

Nothing here reads a clock or the environment: the same report gives the same bytes. Whatever comes
from records passes `wording.shown` and, in HTML, Jinja's autoescape; none of it reaches a header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from trailkeeper.errors import Unavailable
from trailkeeper.mail import chart
from trailkeeper.mail.archive import place, zip_csv
from trailkeeper.mail.brand import logo_beside
from trailkeeper.mail.message import content_id
from trailkeeper.mail.report import sections
from trailkeeper.mail.report.blocks import Section
from trailkeeper.mail.report.facts import Facts, gather
from trailkeeper.mail.wording import instant, month_name, shown
from trailkeeper.model.report import Attachment, MonthReport, Rendered
from trailkeeper.model.window import iso

ATTACH_UP_TO = 15_000_000
"""bytes of zip that go by mail: base64 makes 20.5 MB of it, and common servers take 25 MB"""


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
        logo = logo_beside(report.brand.logo, folder)
        facts = gather(report, archive, self._attach_up_to, logo)
        parts = list(sections.of(facts))
        page = _page(facts, parts)
        _draw(facts, folder)
        html = _fill("report.html", page, image=lambda file: f"cid:{content_id(file)}")
        text = _fill("report.txt", page)
        _keep(folder, "report.html", _fill("report.html", page, image=lambda file: file))
        _keep(folder, "report.txt", text)
        _keep(folder, "report.json", _as_json(report, parts))
        return Rendered(
            folder=str(folder),
            subject=page["subject"],
            html=html,
            text=text,
            images=tuple(_images(facts, folder)),
            attachments=(Attachment(str(archive.path), "application/zip"),)
            if facts.attached
            else (),
            rendered_at=report.rendered_at,
        )


def _images(facts: Facts, folder: Path) -> Iterator[Attachment]:
    yield Attachment(str(folder / chart.FILE), "image/png")
    if facts.logo:
        kind = "png" if facts.logo.suffix == ".png" else "jpeg"
        yield Attachment(str(facts.logo), f"image/{kind}")


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


def _draw(facts: Facts, folder: Path) -> None:
    report = facts.report
    days = facts.statement.unproven_days
    png = chart.draw(report.figures, report.month, report.timezone, days)
    place(folder / chart.FILE, lambda file: file.write(png))


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


def _fill(template: str, page: dict[str, Any], **more: Callable[[str], str]) -> str:
    return _templates().get_template(template).render(page, **more)


def _page(facts: Facts, parts: Sequence[Section]) -> dict[str, Any]:
    """Everything that the templates show: text already made harmless, numbers already written."""
    report = facts.report
    return {
        "subject": _subject(facts),
        "tenant": shown(report.name or report.tenant),
        "brand": shown(report.brand.name) if report.brand.name else "",
        "colour": report.brand.colour,
        "logo": facts.logo.name if facts.logo else "",
        "language": report.language,
        "domain": shown(report.domain),
        "month": month_name(report.month),
        "timezone": shown(report.timezone),
        "sections": [part for part in parts if part.blocks],
        "rendered_at": instant(report.rendered_at, facts.zone),
    }


def _subject(facts: Facts) -> str:
    report, statement = facts.report, facts.statement
    verdict = "complete" if statement.complete else "INCOMPLETE"
    verdict += " so far" if statement.running else ""
    name = shown(report.name or report.tenant)
    kind = "Preliminary Microsoft 365" if report.is_preliminary else "Microsoft 365"
    return f"{kind} audit report — {name} — {month_name(report.month)} — {verdict}"


def _as_json(report: MonthReport, parts: Sequence[Section]) -> str:
    whole = {
        "tenant": report.tenant,
        "domain": report.domain,
        "month": str(report.month),
        "timezone": report.timezone,
        "from": iso(report.window.start),
        "to": iso(report.window.end),
        "rendered_at": iso(report.rendered_at),
    }
    for part in parts:
        whole |= part.json
    return json.dumps(whole, indent=2, default=_plain) + "\n"


def _plain(value: object) -> str:
    """datetimes in UTC with `Z`, dates as they are."""
    return iso(value) if isinstance(value, datetime) else str(value)
