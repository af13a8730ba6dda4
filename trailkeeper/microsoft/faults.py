"""Providers' answers in our words: one function per provider, one table behind each.

Each keeps the provider's sentence (bounded, printable, without tokens), its code and request id.
"""

from __future__ import annotations

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.activity_faults import ALREADY_ENABLED, NO_SUBSCRIPTION, activity_error
from trailkeeper.microsoft.answer import Answer
from trailkeeper.microsoft.entra_faults import RELOAD_CERTIFICATE, code_number, token_error
from trailkeeper.microsoft.exchange_faults import exchange_error
from trailkeeper.microsoft.fault_table import Kind, Row, by_status, fault
from trailkeeper.microsoft.fault_text import json_object, plain_text, sentence, text_member

__all__ = [
    "ALREADY_ENABLED",
    "NO_SUBSCRIPTION",
    "RELOAD_CERTIFICATE",
    "activity_error",
    "code_number",
    "exchange_error",
    "graph_error",
    "token_error",
]

_GRANT = "Grant the app the application permission it lacks in Microsoft Graph, with admin consent."
_GRAPH = {401: Row(Kind.PERSON, _GRANT), 403: Row(Kind.PERSON, _GRANT)}


def graph_error(answer: Answer) -> TrailkeeperError:
    """Our error for any answer of Microsoft Graph that is not a success."""
    fields = json_object(answer.body)
    said = sentence(text_member(fields, "error", "message") or plain_text(answer.body))
    code = sentence(text_member(fields, "error", "code"), 80) or f"HTTP {answer.status}"
    inner = sentence(text_member(fields, "error", "innerError", "request-id"), 60)
    row = _GRAPH.get(answer.status) or by_status(answer.status)
    summary = f"Microsoft Graph answered HTTP {answer.status}" + (f": {said}" if said else "")
    return fault(row, summary, code, answer.request_id or inner, answer.retry_after)
