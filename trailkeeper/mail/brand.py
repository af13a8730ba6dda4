"""The provider's logo, copied beside the report: a report that waits does not change with it."""

from __future__ import annotations

from pathlib import Path

import structlog

from trailkeeper.mail.archive import place

log = structlog.get_logger()

MAX_LOGO_BYTES = 100_000
_KINDS = ((b"\x89PNG\r\n\x1a\n", "logo.png"), (b"\xff\xd8\xff", "logo.jpg"))


def logo_beside(logo: Path | None, folder: Path) -> Path | None:
    """The copy in `folder`; None without a logo, or where the file cannot be used."""
    if logo is None:
        return None
    try:
        with logo.open("rb") as file:
            content = file.read(MAX_LOGO_BYTES + 1)
    except OSError:
        content = b""
    name = next((name for start, name in _KINDS if content.startswith(start)), "")
    if not name or len(content) > MAX_LOGO_BYTES:
        # A report goes out without its ornament rather than not at all.
        log.warning("logo_skipped", file=str(logo), bytes=len(content))
        return None
    place(folder / name, lambda file: file.write(content))
    return folder / name
