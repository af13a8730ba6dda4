"""Children of the supervisor: order, patience, restarts, and what becomes of their children."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from trailkeeper.errors import Unavailable
from trailkeeper.process.children import Child, ChildSpec, Supervisor

_POLITE = """
import signal, sys, time
from pathlib import Path
def end(*_):
    with open('ended', 'a') as file: file.write(sys.argv[1] + ' ')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
Path(sys.argv[1]).touch()
time.sleep(600)
"""
_STUBBORN = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    Path(sys.argv[1]).touch()
time.sleep(600)
"""


def _spec(
    name: str, code: str, folder: Path, stage: int = 1, patience: float = 30.0, restart: bool = True
) -> ChildSpec:
    argv = (sys.executable, "-c", code, name)
    return ChildSpec(name, argv, folder, stage, patience, restart=restart)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _started(supervisor: Supervisor, spec: ChildSpec) -> Child:
    """A child that has got as far as installing its signal handlers."""
    child = supervisor.start(spec)
    _until((spec.folder / spec.name).exists)
    return child


def _gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_stages_stop_in_descending_order(tmp_path: Path) -> None:
    """A stage is asked to stop only when every later one has ended."""
    with Supervisor() as supervisor:
        for name, stage in (("redis", 1), ("worker", 2), ("beat", 3)):
            _started(supervisor, _spec(name, _POLITE, tmp_path, stage))
        supervisor.stop()
        assert [child.code for child in supervisor.children] == [0, 0, 0]
    assert (tmp_path / "ended").read_text() == "beat worker redis "


def test_who_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    """When the patience is over, the whole process group gets SIGKILL."""
    with Supervisor() as supervisor:
        child = _started(supervisor, _spec("stubborn", _STUBBORN, tmp_path, patience=0.2))
        family = psutil.Process(child.pid).children(recursive=True)
        assert family
        supervisor.stop()
        assert child.code == -signal.SIGKILL
        _until(lambda: all(map(_gone, family)))


def test_a_second_request_ends_the_patience(tmp_path: Path) -> None:
    """In a hurry nobody is waited for."""
    with Supervisor() as supervisor:
        child = _started(supervisor, _spec("stubborn", _STUBBORN, tmp_path, patience=3600))
        supervisor.stop(lambda: True)
        assert child.code == -signal.SIGKILL


def test_children_of_a_dead_child_die_before_it_is_restarted(tmp_path: Path) -> None:
    """What a killed child had started is gone when the next one begins."""
    with Supervisor() as supervisor:
        child = _started(supervisor, _spec("stubborn", _STUBBORN, tmp_path))
        first, family = child.pid, psutil.Process(child.pid).children(recursive=True)
        psutil.Process(first).kill()
        _until(lambda: child.code is not None)
        _until(lambda: all(map(_gone, family)))
        child.tend(time.monotonic())
        assert child.restart_at is not None
        child.tend(child.restart_at)
        assert child.pid != first
        assert child.restarts == 1


def test_the_pause_before_a_restart_grows_and_is_forgotten(tmp_path: Path) -> None:
    """A child that keeps dying is restarted ever later; one that lived for long begins anew."""
    with Supervisor() as supervisor:
        child = supervisor.start(_spec("brief", "", tmp_path))
        pauses = [_pause(child, lived=0.0) for _ in range(8)]
        assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
        assert _pause(child, lived=3600.0) == 1.0


def _pause(child: Child, lived: float) -> float:
    """Let it end after `lived` seconds of our own reckoning, and restart it; the pause between."""
    _until(lambda: child.code is not None)
    ended_at = child.started_at + lived
    child.tend(ended_at)
    assert child.restart_at is not None
    pause = child.restart_at - ended_at
    child.tend(child.restart_at - 0.01)
    assert child.restart_at is not None
    child.tend(child.restart_at)
    assert child.restart_at is None
    return round(pause, 6)


def test_a_child_that_must_not_be_restarted_ends_the_run(tmp_path: Path) -> None:
    """Its end is an error that names it."""
    with Supervisor() as supervisor:
        child = supervisor.start(_spec("once", "raise SystemExit(3)", tmp_path, restart=False))
        _until(lambda: child.code is not None)
        with pytest.raises(Unavailable, match="once ended with code 3"):
            supervisor.tend()


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    """A child whose folder is missing is refused with that folder."""
    with Supervisor() as supervisor, pytest.raises(Unavailable, match="cannot be started"):
        supervisor.start(_spec("lost", "", tmp_path / "missing"))


def test_leaving_the_supervisor_leaves_nobody(tmp_path: Path) -> None:
    """Whatever ends the block, every child and its children are gone."""
    family: list[psutil.Process] = []

    def fail() -> None:
        with Supervisor() as supervisor:
            child = _started(supervisor, _spec("stubborn", _STUBBORN, tmp_path))
            family.append(psutil.Process(child.pid))
            family.extend(family[0].children(recursive=True))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(family) == 2
    _until(lambda: all(map(_gone, family)))
