"""Structured logs: one line an event, a constant name first, to standard error.

Event names are past-tense `noun_verb`, listed in docs/logs.md; a test holds that table against the
code. Identifiers are logged, never objects, record bodies or secrets.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from trailkeeper.model.text import visible

_SECRET_KEY = re.compile(r"token|assertion|password|secret|authorization|private|passphrase", re.I)
_SECRET_TEXT = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.S
)
_OF_LINES = ("exception", "stack")
_LONGEST = 2000
"""characters of one value: an error body must not flood the log"""


def configure(level: str = "info", *, as_json: bool | None = None) -> None:
    """Set up structlog and the standard library's loggers. JSON unless a person is watching."""
    machine = not sys.stderr.isatty() if as_json is None else as_json
    renderer = structlog.processors.JSONRenderer() if machine else structlog.dev.ConsoleRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        redact,
    ]
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=_StderrFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(numeric, logging.INFO))
    for noisy in ("urllib3", "msal", "azure", "celery.redirected", "matplotlib", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _StderrFactory:
    """Looks standard error up at each call, so that a terminal's live display can capture it."""

    def __call__(self, *args: object) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)


def redact(logger: object, name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Last line of defence: blank values under secret-looking keys, tokens and keys in any text;
    what a terminal would obey is shown as an escape, and one event is one line."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: object) -> object:
    if _SECRET_KEY.search(key) and isinstance(value, (str, bytes)):
        return "[redacted]"
    if isinstance(value, Mapping):
        return {k: _clean(str(k), v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(key, item) for item in value]
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    text = visible(_SECRET_TEXT.sub("[redacted]", str(value))[:_LONGEST])
    return text if key in _OF_LINES else text.replace("\n", "\\n")
