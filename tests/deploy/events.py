"""Every event name that the code logs, read from its source."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged_events() -> set[str]:
    """First arguments of log calls in the product; constants by the rule of logs.py."""
    return {
        name
        for folder in ("trailkeeper", "worker", "beat")
        for path in (ROOT / folder).rglob("*.py")
        for name in _events(ast.parse(path.read_text(encoding="utf-8")))
    }


def _events(tree: ast.Module) -> list[str]:
    return [
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _LEVELS
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]
