"""Threads where the system refuses them: in a process of its own, with a real limit."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

_STRANGERS = 100_000
"""A process's own number behind this is a user of no other process, whom the limit of processes
binds: it does not bind root."""


def limited(threads: int, code: str) -> str:
    """Run `code` where at most `threads` threads can exist, the main one included."""
    script = f"""
        import os, resource, threading, time
        from trailkeeper.errors import Unavailable
        from trailkeeper.process.threads import Crew, start
        if os.geteuid() == 0:
            os.setuid({_STRANGERS} + os.getpid())
        mine = {threads} if os.geteuid() > {_STRANGERS} else 1
        resource.setrlimit(resource.RLIMIT_NPROC, (mine, mine))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become a user whose threads can be counted on"
)
def test_a_crew_works_with_the_threads_that_it_gets() -> None:
    """Forty pieces of work are done by fewer threads than were asked for, each piece once."""
    said = limited(
        4,
        """
        done = []
        def work(number):
            time.sleep(0.01)
            done.append((number, threading.current_thread().name))
        with Crew(16, "few") as crew:
            list(crew.map(work, range(40)))
        assert sorted(number for number, _ in done) == list(range(40)), done
        print(len({name for _, name in done}))
        """,
    )
    assert said == "3"


def test_no_thread_at_all_is_said_with_its_remedy() -> None:
    """Not a bare RuntimeError: the operator reads which limit to raise."""
    said = limited(
        1,
        """
        for begin in (lambda: Crew(2).submit(print), lambda: start(threading.Thread())):
            try:
                begin()
            except Unavailable as error:
                print(error.summary, "|", error.remedy)
        """,
    )
    assert said.count("starts no more threads") == 2
    assert said.count("ulimit -u") == 2
