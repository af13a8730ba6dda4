"""Faults that any HTTP call can meet."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests
from urllib3.exceptions import HTTPError

from sandbox import ControlRefused
from tests.days import recent
from tests.sandbox.callers import Caller


def fault(caller: Caller, name: str, **rest: Any) -> None:
    caller.box.control.set_fault(name, caller.name, **rest)


def test_nth_call_and_times(small: Caller) -> None:
    """A fault plays from its n-th matching call, so many times, and then no more."""
    fault(small, "server_error", on=2, times=2)
    assert [small.search().status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert small.box.control.faults()[-1]["played"] == 2


def test_faults_are_the_tenants_own(small: Caller) -> None:
    """A fault of one tenant leaves the others alone."""
    small.box.control.set_fault("server_error", "somebody-else", times=0)
    assert small.search().status_code == 200


def test_unknown_faults_are_refused(box: Any) -> None:
    """A misspelt fault is refused with the list of those that exist."""
    with pytest.raises(ControlRefused, match="foreign_rows"):
        box.control.set_fault("no_such_fault")


def test_throttling_forms(small: Caller) -> None:
    """429 comes with Retry-After, with the seconds as second-to-last word, and as plain text."""
    fault(small, "throttled", seconds=7)
    assert small.search().headers["Retry-After"] == "7"
    fault(small, "throttled", form="message", seconds=9)
    message = small.search().json()["error"]["message"]
    assert message.split()[-2] == "9"
    fault(small, "throttled", form="text", status=400)
    answer = small.search()
    assert answer.status_code == 400
    assert answer.text.startswith("You have reached the maximum number of concurrent requests")


def test_server_errors(small: Caller) -> None:
    """5xx comes with and without Retry-After."""
    fault(small, "server_error", status=500)
    answer = small.search()
    assert (answer.status_code, "Retry-After" in answer.headers) == (500, False)
    fault(small, "server_error", retry_after=3)
    assert small.search().headers["Retry-After"] == "3"


def test_mislabelled_gzip(small: Caller) -> None:
    """An error body in plain JSON claims to be gzip, though identity was asked for."""
    fault(small, "gzip_mislabelled", status=400)
    answer = small.search()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(answer.content)["error"]["message"] == "Error executing cmdlet"


def test_nul_403(small: Caller) -> None:
    """The 4 KB of NULs can be played though the role is there."""
    fault(small, "nul_403")
    assert small.search().content == bytes(4096)


@pytest.mark.parametrize("form", ["json", "empty"])
def test_unauthorized(small: Caller, form: str) -> None:
    """401 comes as JSON or with an empty body."""
    fault(small, "unauthorized", form=form)
    answer = small.search()
    assert answer.status_code == 401
    assert bool(answer.content) is (form == "json")


def test_transient_exception_on_400(small: Caller) -> None:
    """Transient trouble hides in a 400 and shows only in the exception type."""
    fault(small, "transient_400", type="Lab.StorageTransientException")
    answer = small.search()
    inner = answer.json()["error"]["innererror"]["internalexception"]
    assert (answer.status_code, inner["type"]) == (400, "Lab.StorageTransientException")


@pytest.mark.parametrize("status", [302, 307])
def test_redirect_to_another_host(small: Caller, status: int) -> None:
    """A redirect leads to another host, which tells whether it ever saw a token."""
    small.box.control.clear_counters()
    fault(small, "redirect", status=status)
    answer = small.invoke("Get-AdminAuditLogConfig", {}, allow_redirects=False)
    assert answer.status_code == status
    assert answer.headers["Location"].startswith(small.box["elsewhere"])
    small.session.get(answer.headers["Location"])
    assert small.box.control.elsewhere()["saw_authorization"] is False
    small.session.get(small.box["elsewhere"], headers={"Authorization": "Bearer x"})
    assert small.box.control.elsewhere()["saw_authorization"] is True


@pytest.mark.parametrize("name", ["reset", "reset_mid_body", "cut_body"])
def test_cut_connections(small: Caller, name: str) -> None:
    """Resets before and in mid-body and a short body break the call, and serve no row."""
    fault(small, name)
    with pytest.raises((requests.RequestException, HTTPError)):
        small.search(ResultSize=5000).json()
    assert small.box.control.report()["tenants"][small.name]["never"] == 350
    assert small.search().status_code == 200


def test_login_can_be_cut_too(caller: Caller) -> None:
    """The token endpoint resets its connection on demand."""
    fault(caller, "reset", calls=["token"])
    with pytest.raises((requests.ConnectionError, OSError)):
        caller.ask_token()


def test_slow_answers(small: Caller) -> None:
    """An answer can be held back for a while."""
    fault(small, "slow", seconds=0.4)
    begun = time.monotonic()
    assert small.search().status_code == 200
    assert time.monotonic() - begun >= 0.4


def test_latency_per_call_and_row(small: Caller) -> None:
    """A call takes its fixed time plus a time for each row."""
    small.box.control.alter(small.name, seconds_per_call=0.2, seconds_per_row=0.002)
    begun = time.monotonic()
    small.rows(ResultSize=100)
    assert time.monotonic() - begun >= 0.4


def test_not_json(small: Caller) -> None:
    """A 200 can carry an HTML page."""
    fault(small, "not_json")
    assert small.search().text.startswith("<!DOCTYPE html>")


def test_expired_skip_token_on_demand(busy: Caller) -> None:
    """A good skip token can be refused on demand."""
    busy.box.control.alter(busy.name, odata_split=True)
    link = busy.search(ResultSize=5000).json()["@odata.nextLink"]
    fault(busy, "expired_skip_token")
    answer = busy.invoke("Search-UnifiedAuditLog", {}, url=link)
    assert "Expired or Invalid pagination" in answer.text


def test_honest_gzip(small: Caller) -> None:
    """Successes are compressed honestly when the tenant does so and the client accepts it."""
    small.box.control.alter(small.name, compressed=True)
    answer = small.invoke("Get-AdminAuditLogConfig", {}, headers={"Accept-Encoding": "gzip"})
    assert answer.content[:2] == b"\x1f\x8b"


def test_token_without_role_once(caller: Caller) -> None:
    """One token can lack its role while consent stands."""
    fault(caller, "token_without_role")
    assert caller.search().status_code == 401
    caller.forget_token()
    assert caller.search().status_code == 200


def test_chance_makes_seeded_mixtures(small: Caller) -> None:
    """With a chance a fault plays by lot: the same seed gives the same calls, at most so many."""
    seen = []
    for seed in (1, 1, 2):
        fault(small, "server_error", times=0, chance=0.5, seed=seed)
        seen.append([small.search(ResultSize=1).status_code for _ in range(12)])
        small.box.control.clear_faults()
    assert seen[0] == seen[1] != seen[2]
    assert set(seen[0]) == {200, 503}
    fault(small, "server_error", times=2, chance=1.0)
    assert [small.search(ResultSize=1).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_warning_that_there_are_more(busy: Caller) -> None:
    """A set can be cut with nothing but a warning that more results are available."""
    fault(busy, "more_results_warning", rows=700)
    answer = busy.search(ResultSize=5000).json()
    assert len(answer["value"]) == 700
    assert "more results available" in answer["@adminapi.warnings"][0]


def test_a_client_that_leaves_was_not_served(caller: Caller) -> None:
    """Rows of an answer that its client did not wait for do not count as served."""
    caller.box.control.crowd(caller.name, recent("2026-10-05T00:00:00Z"), 5000, seconds=80_000)
    url = f"{caller.box['exchange']}/adminapi/beta/{caller.tenant['tenant_id']}/InvokeCommand"
    window = {
        "StartDate": recent("2026-10-05"),
        "EndDate": recent("2026-10-06"),
        "ResultSize": 5000,
    }
    answer = caller.session.post(
        url,
        json={"CmdletInput": {"CmdletName": "Search-UnifiedAuditLog", "Parameters": window}},
        headers={"Authorization": f"Bearer {caller.token}"},
        stream=True,
    )
    answer.raw.read(1000)
    answer.raw._connection.sock.close()  # as a killed process leaves it
    answer.close()
    deadline = time.monotonic() + 10
    while caller.box.control.report()["tenants"][caller.name]["never"] < 5000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
