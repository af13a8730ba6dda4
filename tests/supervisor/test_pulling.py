"""Pulling processes of `collect`, each in a real command of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

_SCRIPT = """
    import os, resource, sys, time
    from pathlib import Path
    from trailkeeper import logs
    from trailkeeper.model.stream import Source
    from trailkeeper.settings import Settings
    from trailkeeper.supervisor import pulling
    from trailkeeper.supervisor.pulling import SharedFlag, pulling_processes

    logs.configure("warning")
    settings = Settings(folder=Path(sys.argv[1]))

    def stopped():
        return pulling._here[0][1].is_set()

    def loaded():
        return [name for name in ("polars", "deltalake") if name in sys.modules]
"""


@contextmanager
def command(folder: Path, code: str, **more: object) -> Iterator[subprocess.Popen[str]]:
    """Run `code` after the words above, as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_SCRIPT) + textwrap.dedent(code), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
        start_new_session=True,
        **more,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


_WAITING = """
    with pulling_processes(settings, 2, SharedFlag()) as pullers:
        pool = pullers[Source.EXCHANGE].executor
        print(*{f.result() for f in [pool.submit(os.getpid) for _ in range(50)]}, flush=True)
        time.sleep(600)
"""


def test_they_load_no_tables(tmp_path: Path) -> None:
    """A pulling process holds neither polars nor deltalake, though its command uses both."""
    code = """
        with pulling_processes(settings, 1, SharedFlag()) as pullers:
            import polars, deltalake
            print(loaded(), pullers[Source.EXCHANGE].executor.submit(loaded).result(), flush=True)
    """
    with command(tmp_path, code) as process:
        assert said(process) == "['polars', 'deltalake'] []"
        assert process.wait(60) == 0


def test_a_killed_command_leaves_none_behind(tmp_path: Path) -> None:
    """SIGKILL of the command ends its pulling processes: their leases run out like its own."""
    with command(tmp_path, _WAITING) as process:
        pids = [int(pid) for pid in said(process).split()]
        assert pids
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not all(map(gone, pids)):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_for_the_command(tmp_path: Path, number: signal.Signals) -> None:
    """What a terminal or systemd sends to everybody does not stop a pull in mid-page; the flag that
    the command sets is seen instead."""
    code = """
        flag = SharedFlag()
        with pulling_processes(settings, 1, flag) as pullers:
            submit = pullers[Source.EXCHANGE].executor.submit
            print(submit(os.getpid).result(), flush=True)
            sys.stdin.readline()
            before = submit(stopped).result()
            flag.set()
            print(before, submit(stopped).result(), flush=True)
    """
    with command(tmp_path, code, stdin=subprocess.PIPE) as process:
        os.kill(int(said(process)), number)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert said(process) == "False True"
        assert process.wait(60) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user with a limit")
def test_a_machine_that_refuses_processes_is_worked_with(tmp_path: Path) -> None:
    """No processes are no reason to fail: the command is told to pull by itself."""
    code = """
        import multiprocessing.popen_fork, multiprocessing.queues, multiprocessing.synchronize
        pulling.import_pulling()  # while files can still be read
        os.setuid(54_322)
        resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
        with pulling_processes(settings, 4, SharedFlag()) as pullers:
            print(pullers, flush=True)
    """
    with command(tmp_path, code) as process:
        assert said(process) == "{}"
        assert process.wait(60) == 0


def test_one_that_is_killed_while_idle_holds_up_nobody(tmp_path: Path) -> None:
    """It takes the queue's lock with it; the command says so and ends, and nobody is left over."""
    code = """
        import multiprocessing, signal
        from concurrent.futures import BrokenExecutor
        with pulling_processes(settings, 3, SharedFlag()) as pullers:
            pool = pullers[Source.EXCHANGE].executor
            [f.result() for f in [pool.submit(os.getpid) for _ in range(50)]]
            time.sleep(1)
            for child in multiprocessing.active_children()[:2]:
                os.kill(child.pid, signal.SIGKILL)
            try:
                [f.result(60) for f in [pool.submit(time.sleep, 0.1) for _ in range(50)]]
            except BrokenExecutor:
                print("broken", flush=True)
        print("left", len(multiprocessing.active_children()), flush=True)
    """
    with command(tmp_path, code) as process:
        assert said(process) == "broken"
        assert said(process) == "left 0"
        assert process.wait(60) == 0
