"""Every refusal has a class by rule: what nobody has listed parks with the provider's sentence, and
what comes from a gateway on the way is told apart. None of it is a bug of ours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.aadsts import CODES, LoginRefused, refusal_body
from trailkeeper.errors import Bug, NeedsPerson, Throttled, TrailkeeperError, Transient
from trailkeeper.microsoft.activity.faults import ACTIVITY, activity_error
from trailkeeper.microsoft.exchange.faults import exchange_error
from trailkeeper.microsoft.graph.faults import graph_error
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.fault_table import Kind
from trailkeeper.microsoft.identity.faults import AADSTS, token_error

# Of Microsoft's list of login errors: those that a client with a certificate can meet, and others.
_PUBLISHED = (
    16000, 20001, 20012, 20033, 40008, 50000, 50001, 50002, 50003, 50005, 50006, 50007, 50008,
    50011, 50013, 50014, 50020, 50033, 50042, 50048, 50049, 50053, 50055, 50057, 50058, 50068,
    50072, 50076, 50079, 50085, 50089, 50097, 50105, 50107, 50120, 50126, 50128, 50131, 50132,
    50135, 50140, 50143, 50146, 50155, 50161, 50168, 50177, 50178, 50180, 50194, 50196, 51001,
    51004, 51005, 53000, 53001, 53002, 53004, 53011, 54000, 65002, 65004, 65005, 67003, 70000,
    70001, 70002, 70003, 70004, 70005, 70007, 70008, 70012, 70037, 70043, 75001, 80001, 81004,
    90004, 90005, 90007, 90008, 90009, 90010, 90012, 90013, 90014, 90015, 90016, 90019, 90020,
    90022, 90023, 90025, 90027, 90036, 90043, 90051, 90056, 90081, 90082, 90084, 90086, 90091,
    90092, 90093, 90094, 90095, 90100, 90101, 90102, 90106, 90107, 90112, 90114, 90117, 90119,
    90123, 90124, 90125, 90126, 120000, 130004, 130501, 140000, 220450, 221000, 240001, 399284,
    500014, 500021, 500022, 500131, 500133, 500212, 500571, 501461, 5000611, 530032, 530034,
    540000, 650053, 650054, 650057, 700005, 700020, 700054, 700082, 700084, 900144, 9002313,
    9002332, 900384, 1000000, 1000002, 1000031, 1000104, 1600011, 7000110, 7000113, 7000114,
    7000116, 7000218, 7500514, 7500529,
)  # fmt: skip


def _refusal(code: int) -> dict[str, object]:
    return refusal_body(LoginRefused(code, tenant="t", client="c"), "https://login.example")


def _parked_or_later(error: TrailkeeperError) -> None:
    assert isinstance(error, NeedsPerson | Transient), error
    assert not isinstance(error, Bug)
    assert error.remedy
    assert "report this" not in str(error).lower()


@pytest.mark.parametrize("code", sorted({*AADSTS, *CODES, *_PUBLISHED}))
def test_no_code_of_entra_is_a_bug(code: int) -> None:
    """Each ends with Entra's sentence, its code, its ids and a remedy, whatever its status."""
    body = _refusal(code)
    for status in (400, 401, 403):
        error = token_error(json.dumps(body).encode(), status)
        _parked_or_later(error)
        assert error.code == f"AADSTS{code}"
        assert str(body["correlation_id"]) in error.request_id
        said = str(body["error_description"]).partition("\r\n")[0].partition(": ")[2]
        assert said[:80] in error.summary


@given(st.integers(10**4, 10**9 - 1).filter(lambda code: code not in AADSTS))
def test_an_unknown_code_of_entra_parks(code: int) -> None:
    """Nothing of ours knows it, so a person gets its sentence, and the id that support asks for."""
    body = _refusal(code)
    error = token_error(body, 400)
    assert type(error) is NeedsPerson
    assert error.code == f"AADSTS{code}"
    assert str(body["correlation_id"]) in error.remedy


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (500014, NeedsPerson, "Enterprise applications"),
        (50196, Throttled, "again"),
        (53000, NeedsPerson, "Conditional Access"),
        (530032, NeedsPerson, "Conditional Access"),
        (650057, NeedsPerson, "consent"),
        (90043, NeedsPerson, "national cloud"),
        (900023, NeedsPerson, "tenant_id"),
        (700021, NeedsPerson, "client_id"),
    ],
)
def test_a_codes_family_gives_the_remedy(
    code: int, kind: type[TrailkeeperError], word: str
) -> None:
    """What is not listed by itself is classed by what codes of its beginning are about."""
    error = token_error(_refusal(code), 400)
    assert type(error) is kind
    assert word in error.remedy


@pytest.mark.parametrize("word", ["temporarily_unavailable", "server_error"])
def test_entras_own_word_for_a_passing_trouble_counts(word: str) -> None:
    """An unknown code beside it does not park."""
    body = {**_refusal(123456), "error": word}
    assert type(token_error(body, 400)) is Transient


_PAGE = (
    b"\xef\xbb\xbf\r\n<!DOCTYPE html><html><head><title>Blocked &amp; logged\r\n</title><style>"
    b"x</style></head><body>AskIT</body></html>"
)
_FOR_GOOD = {401, 403, 407, 451, 511}


@pytest.mark.parametrize("status", [200, 302, *range(400, 432), 451, *range(500, 512), 520, 599])
@pytest.mark.parametrize("of", ["entra", "exchange", "activity", "graph"])
def test_a_gateways_page_goes_by_rule(of: str, status: int) -> None:
    """A page of any status is no answer of the service: a few statuses need a person who opens the
    way, all others pass; what is told is the page's title."""
    answer = Answer(status, {}, _PAGE, "r")
    errors = {"exchange": exchange_error, "activity": activity_error, "graph": graph_error}
    error = token_error(_PAGE, status) if of == "entra" else errors[of](answer)
    _parked_or_later(error)
    assert isinstance(error, NeedsPerson) is (status in _FOR_GOOD)
    assert isinstance(error, Throttled) is (status == 429)
    assert "Blocked & logged" in error.summary
    assert "<" not in str(error)
    assert "page" in error.summary
    if status == 403:
        assert "proxy" in error.remedy


@given(st.binary(max_size=200), st.integers(100, 999))
def test_no_body_of_any_status_is_a_bug(body: bytes, status: int) -> None:
    """Whatever somebody on the way answers, the tenant waits or is parked with a remedy."""
    answer = Answer(status, {}, body, "r")
    _parked_or_later(token_error(body, status))
    for told in (exchange_error, activity_error, graph_error):
        _parked_or_later(told(answer))


@given(
    st.one_of(st.integers(100, 999), st.integers(10**4, 10**6 - 1)).filter(
        lambda number: f"AF{number}" not in ACTIVITY
    ),
    st.sampled_from([400, 401, 403, 404, 500]),
)
def test_an_unknown_code_of_the_feed_has_a_class(number: int, status: int) -> None:
    """AF5… passes, AF1… is about permissions, the others park with the feed's sentence."""
    text = f"{{'error':{{'code':'AF{number}','message':'Said so.'}}}}".replace("'", '"')
    error = activity_error(Answer(status, {}, text.encode(), "r"))
    _parked_or_later(error)
    assert error.code == f"AF{number}"
    assert "Said so." in error.summary
    if str(number).startswith("1"):
        assert "ActivityFeed.Read" in error.remedy
    if str(number).startswith("5") and status != 404:
        assert type(error) is Transient


@given(st.from_regex(r"[A-Z][a-z]{3,12}(Error|Failure)Exception", fullmatch=True))
def test_an_unknown_exception_of_exchange_parks(kind: str) -> None:
    """Its last name is the code, its innermost sentence is told."""
    inner = {"message": "The reason.", "type": f"Microsoft.Exchange.{kind}"}
    body = {"error": {"code": "BadRequest", "innererror": {"internalexception": inner}}}
    error = exchange_error(Answer(400, {}, json.dumps(body).encode(), "r"))
    assert type(error) is NeedsPerson
    assert error.code == kind
    assert "The reason." in error.summary


def test_what_the_feed_says_of_our_own_request_stays_loud() -> None:
    """Codes that name a mistake of the request itself are known, and bugs."""
    bugs = {code for code, row in ACTIVITY.items() if row.kind is Kind.BUG}
    assert bugs >= {"AF20001", "AF20002", "AF20020"}
