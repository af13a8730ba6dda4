from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailkeeper.errors import Bug, Lost, NeedsPerson, Throttled, TrailkeeperError, Transient
from trailkeeper.microsoft.activity.faults import ACTIVITY, activity_error
from trailkeeper.microsoft.exchange.faults import exchange_error
from trailkeeper.microsoft.graph.faults import graph_error
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_table import Kind
from trailkeeper.microsoft.identity.faults import token_error

KINDS = {
    Kind.RETRY: Transient,
    Kind.THROTTLED: Throttled,
    Kind.PERSON: NeedsPerson,
    Kind.LOST: Lost,
    Kind.BUG: Bug,
}


def answer(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, headers, raw, "request-1")


def cmdlet(text: str, kind: str = "", outer: str = "Error executing cmdlet") -> dict[str, object]:
    return {
        "error": {
            "code": "BadRequest",
            "message": outer,
            "details": [{"code": "Context", "target": "", "message": f"Ex1|{kind}|{text}"}],
            "innererror": {
                "message": outer,
                "type": "Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
                "internalexception": {"message": text, "type": kind},
            },
        }
    }


@pytest.mark.parametrize(
    "text",
    [
        "AADSTS700016: Unknown app.\r\nTrace ID: t\r\nCorrelation ID: c\r\nTimestamp: x",
        "AADSTS700016: Unknown app. Trace ID: t Correlation ID: c Timestamp: x",
    ],
)
def test_entras_sentence_is_kept_and_its_trailer_is_not(text: str) -> None:
    """The sentence survives, the trace and correlation ids move into `request_id`."""
    body = {
        "error": "unauthorized_client",
        "error_description": text,
        "trace_id": "t-1",
        "correlation_id": "c-1",
        "timestamp": "2026-11-22 10:11:12Z",
    }
    error = token_error(body, 400)
    assert error.summary == "Entra refused the login: Unknown app."
    assert error.code == "AADSTS700016"
    assert error.request_id == "trace=t-1 correlation=c-1 at=2026-11-22 10:11:12Z"
    assert isinstance(error, NeedsPerson)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"<html>down</html>", Transient),
        (429, b"", Throttled),
        (400, b'{"error":"temporarily_unavailable"}', Transient),
        (400, b'{"error":"something new"}', NeedsPerson),
        (400, b'{"error_codes":["700016"]}', NeedsPerson),
        (400, b'{"error_codes":[700016.5]}', NeedsPerson),
        (400, b'{"error_codes":[true]}', NeedsPerson),
        (400, b"[" * 100_000, Transient),
        (302, b"", Transient),
        (407, b"", NeedsPerson),
    ],
)
def test_an_unlisted_refusal_goes_by_its_status(
    status: int, body: bytes, kind: type[TrailkeeperError]
) -> None:
    """Without a code of the table the HTTP status decides, whatever the body is."""
    assert type(token_error(body, status)) is kind


def test_a_code_in_text_alone_is_found() -> None:
    """A body that is no JSON but names its code is classed by it."""
    assert token_error(b"oops AADSTS90055: slow", 400).code == "AADSTS90055"


EXCHANGE = {
    "transient by type": (400, cmdlet("try again", "Microsoft.X.ServerBusyException"), Transient),
    "transient by suffix": (400, cmdlet("x", "M.Data.MapiTransientException"), Transient),
    "unknown parameter": (400, cmdlet("x", "S.M.AmbiguousParameterSetException"), Bug),
    "untyped 400": (400, b"Bad Request", Transient),
    "expired page": (
        400,
        cmdlet("Expired or Invalid pagination request. Default Expiry time is 00:30:00", "M.X"),
        Transient,
    ),
    "unauthorised": (401, b"", NeedsPerson),
    "no role": (403, b"\0" * 4096, NeedsPerson),
    "role text": (
        400,
        cmdlet("The role assigned to application 1 isn't supported in this scenario.", "M.X"),
        NeedsPerson,
    ),
    "not found": (404, cmdlet("x", "M.ManagementObjectNotFoundException"), NeedsPerson),
    "wrong path": (405, b"", NeedsPerson),
    "gateway": (504, b"", Transient),
    "internal": (500, cmdlet("x", "M.Whatever"), Transient),
    "throttled": (429, b"", Throttled),
    "busy as 400": (
        400,
        b"You have reached the maximum number of concurrent requests per tenant. Please wait",
        Throttled,
    ),
    "unreadable success": (200, b"<html>", Transient),
}


@pytest.mark.parametrize("case", EXCHANGE)
def test_exchanges_refusals_have_their_class(case: str) -> None:
    """Each form of refusal of the reference becomes the error that the reference asks for."""
    status, body, kind = EXCHANGE[case]
    error = exchange_error(answer(status, body))
    assert type(error) is kind
    assert error.remedy
    assert error.request_id == "request-1"


def test_exchanges_best_sentence_is_told() -> None:
    """The innermost message is shown, and the exception's type is the code."""
    error = exchange_error(answer(400, cmdlet("The real reason.", "A.B.FooException")))
    assert "The real reason." in error.summary
    assert error.code == "FooException"


@pytest.mark.parametrize(
    "details",
    [
        "Ex6F9304|Microsoft.X.ServerBusyException|The real reason.",
        "|Microsoft.X.ServerBusyException|The real reason.",
        '{"Message":"The real reason.","TypeName":"Microsoft.X.ServerBusyException"}',
    ],
)
def test_the_details_speak_when_nothing_is_nested(details: str) -> None:
    """All three shapes of details[].message give sentence and type."""
    body = {"error": {"message": "Error executing cmdlet", "details": [{"message": details}]}}
    error = exchange_error(answer(400, body))
    assert "The real reason." in error.summary
    assert error.code == "ServerBusyException"
    assert type(error) is Transient


@pytest.mark.parametrize(
    ("text", "horizon"),
    [
        ("should be after 5/26/2026 12:00:00 AM UTC", "2026-05-26T00:00:00Z"),
        ("should be after 2026-05-26T00:00:00Z.", "2026-05-26T00:00:00Z"),
        ("should be after some other day", ""),
    ],
)
def test_too_old_a_date_is_lost_and_names_the_horizon(text: str, horizon: str) -> None:
    """A start before the retention is Lost, with the oldest instant that Exchange answers for."""
    error = exchange_error(answer(400, cmdlet(f"Audit log search argument startDate {text}")))
    assert isinstance(error, Lost)
    assert error.horizon == horizon


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "37"}, b"", 37.0),
        ({}, cmdlet("Too many. Retry after 42 seconds."), 42.0),
        ({}, b"", 60.0),
        ({"Retry-After": "37"}, cmdlet("Retry after 42 seconds."), 37.0),
    ],
)
def test_throttling_carries_its_seconds(
    headers: dict[str, str], body: object, seconds: float
) -> None:
    """Retry-After wins, then the second-to-last word of the message, then a minute."""
    error = exchange_error(answer(429, body, **headers))
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


def test_a_named_wait_is_obeyed_on_a_503_too() -> None:
    """Retry-After on a gateway error is obeyed in full."""
    error = exchange_error(answer(503, b"", **{"Retry-After": "900"}))
    assert isinstance(error, Throttled)
    assert error.retry_after == 900


@pytest.mark.parametrize("code", sorted(ACTIVITY))
@pytest.mark.parametrize("quote", ['"', "'"])
def test_every_code_of_the_feed_ends_in_its_class(code: str, quote: str) -> None:
    """Each AF code becomes the error of its row, in JSON and in the single-quoted form."""
    text = f'{{"error":{{"code":"{code}","message":"Something."}}}}'.replace('"', quote)
    error = activity_error(answer(400, text.encode()))
    assert type(error) is KINDS[ACTIVITY[code].kind]
    assert error.code == code
    assert "Something." in error.summary


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, b"{'error':{'code':'AF429','message':'Too many'}}", Throttled),
        (401, b"", NeedsPerson),
        (404, b"", Transient),
        (503, b"", Transient),
        (500, {"error": {"code": "AF50099", "message": "new"}}, Transient),
        (
            400,
            {
                "error": {
                    "code": "StartSubscription [TenantId=1] failed. Exception",
                    "message": "Microsoft.Office.Compliance.Audit.DataServiceException: "
                    "Tenant 1 does not exist.",
                }
            },
            NeedsPerson,
        ),
        (400, {"error": {"code": "AF29999", "message": "new"}}, NeedsPerson),
    ],
)
def test_the_feeds_odd_refusals_have_their_class(
    status: int, body: object, kind: type[TrailkeeperError]
) -> None:
    """Refusals outside the table go by their text, then by their status."""
    assert type(activity_error(answer(status, body))) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, NeedsPerson),
        (403, NeedsPerson),
        (429, Throttled),
        (503, Transient),
        (404, NeedsPerson),
    ],
)
def test_graph_goes_by_status(status: int, kind: type[TrailkeeperError]) -> None:
    """Graph's errors keep code and request id and are classed by their status."""
    body = {"error": {"code": "Some_Code", "message": "No.", "innerError": {"request-id": "r"}}}
    error = graph_error(Answer(status, {}, json.dumps(body).encode()))
    assert type(error) is kind
    assert (error.code, error.request_id) == ("Some_Code", "r")


JWT = "eyJhbGciOiJQUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJlLWNhbmFyeQ"


@pytest.mark.parametrize("translate", [exchange_error, activity_error, graph_error])
def test_an_echoed_token_is_removed(translate: object) -> None:
    """A provider that repeats our token in its message does not get it into our error."""
    body = {"error": {"code": f"x {JWT}", "message": f"Token {JWT} (Bearer {JWT}) is bad."}}
    assert callable(translate)
    error = translate(answer(400, body))
    assert "eyJ" not in repr(error) + str(error)
    assert "c2lnbmF0dXJl" not in repr(error)


def test_an_echoed_assertion_is_removed() -> None:
    """Entra repeating the assertion does not get it into our error."""
    error = token_error({"error_description": f"AADSTS50027: bad {JWT}"}, 400)
    assert "eyJ" not in repr(error)


@given(
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "error",
                        "error_description",
                        "error_codes",
                        "innererror",
                        "internalexception",
                        "details",
                        "message",
                        "code",
                        "type",
                        "trace_id",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    status=st.integers(100, 599),
)
def test_no_body_breaks_the_translation(body: object, status: int) -> None:
    """Whatever a server sends, each translation gives one bounded, printable, picklable error."""
    got = answer(status, body)
    for error in (
        token_error(got.body, status),
        exchange_error(got),
        activity_error(got),
        graph_error(got),
    ):
        assert len(str(error)) < 1500
        assert error.summary.isprintable()
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, made a line above
        assert (str(again), again.args) == (str(error), error.args)


def test_a_huge_sentence_is_cut() -> None:
    """A message of megabytes becomes a sentence of a few hundred characters."""
    error = exchange_error(answer(500, cmdlet("x\x00\x1b[31m" * 500_000)))
    assert len(str(error)) < 1000
    assert "\x1b" not in error.summary
