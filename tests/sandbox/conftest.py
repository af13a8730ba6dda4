"""A running sandbox, and callers in fresh tenants of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import Sandbox
from tests.days import recent
from tests.sandbox.callers import Caller, make_pair


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the whole run; every test makes its own tenant in it."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), tenants=()) as running:
        yield running


@pytest.fixture
def caller(box: Sandbox, request: pytest.FixtureRequest) -> Caller:
    """A caller in a fresh tenant with its certificate registered."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    box.control.create_tenant(name)
    pair = make_pair()
    box.control.register(name, pair.pem)
    return Caller(box, name, pair)


@pytest.fixture
def busy(caller: Caller) -> Caller:
    """The same with 6,000 records on 5 October 2026 and 200 on each of the days around it."""
    control = caller.box.control
    control.crowd(caller.name, recent("2026-10-05T00:00:00Z"), 6000, seconds=86_000)
    control.crowd(caller.name, recent("2026-10-04T00:00:00Z"), 200, seconds=86_000)
    control.crowd(caller.name, recent("2026-10-06T00:00:00Z"), 200, seconds=86_000)
    return caller


@pytest.fixture
def small(caller: Caller) -> Caller:
    """A tenant with 300 records on 5 October 2026 and 50 the day after."""
    caller.box.control.crowd(caller.name, recent("2026-10-05T00:00:00Z"), 300, seconds=86_000)
    caller.box.control.crowd(caller.name, recent("2026-10-06T00:00:00Z"), 50, seconds=86_000)
    return caller


@pytest.fixture(autouse=True)
def no_fault_outlives_its_test(box: Sandbox) -> Iterator[None]:
    yield
    box.control.clear_faults()
    box.control.set_clock(events_offset=0, identity_offset=0)
