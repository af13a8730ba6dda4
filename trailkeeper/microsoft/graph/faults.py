"""Microsoft Graph's answers in our words."""

from __future__ import annotations

from trailkeeper.errors import TrailkeeperError
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_table import Kind, Row, by_status, fault
from trailkeeper.microsoft.http.fault_text import json_object, plain_text, sentence, text_member
from trailkeeper.microsoft.http.gateway import gateway_row, is_page, page_says

_GRANT = "Grant the app the application permission it lacks in Microsoft Graph, with admin consent."
_GRAPH = {401: Row(Kind.PERSON, _GRANT), 403: Row(Kind.PERSON, _GRANT)}


def graph_error(answer: Answer) -> TrailkeeperError:
    """Our error for any answer of Microsoft Graph that is not a success."""
    fields = json_object(answer.body)
    text = plain_text(answer.body)
    page = not fields and is_page(text)
    said = page_says(text) if page else sentence(text_member(fields, "error", "message") or text)
    code = sentence(text_member(fields, "error", "code"), 80) or f"HTTP {answer.status}"
    inner = sentence(text_member(fields, "error", "innerError", "request-id"), 60)
    row = _GRAPH.get(answer.status) or by_status(answer.status)
    if page:
        row = gateway_row(answer.status, row.remedy if row.kind is Kind.PERSON else "")
    what = "sent a page instead of an answer, HTTP" if page else "answered HTTP"
    summary = f"Microsoft Graph {what} {answer.status}" + (f": {said}" if said else "")
    return fault(row, summary, code, answer.request_id or inner, answer.retry_after)
