"""Child processes: started on a leash, started again when they die, stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from trailkeeper.errors import Unavailable
from trailkeeper.process import leash

log = structlog.get_logger()

POLL_SECONDS = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_HEALTHY_SECONDS = 60.0
"""a child that lived so long starts over with the shortest pause"""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    """the program's absolute path first; never a secret"""
    folder: Path
    """its working directory"""
    stage: int
    """stages are stopped in descending order, one after the other"""
    stop_seconds: float
    """how long it may take to end after SIGTERM, before SIGKILL"""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """added to the environment; secrets may be here"""
    orphan_signal: signal.Signals = signal.SIGKILL
    """what it gets when this process dies"""
    restart: bool = True
    prepare: Callable[[], None] | None = None
    """called before each start; may raise `OSError` or `Unavailable`"""


def ended(
    argv: tuple[str, ...], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run a short program to its end, with what it wrote; `variables` as in `ChildSpec`."""
    return subprocess.run(  # noqa: S603 - our own words, no shell
        argv,
        env={**os.environ, **variables},  # handed on whole, not read
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


class Child:
    """One running (or ended) process and when to start it again."""

    def __init__(self, spec: ChildSpec, output: IO[bytes] | None) -> None:
        self.spec = spec
        self._output = output
        self._pause = _FIRST_PAUSE
        self.restarts = 0
        self.restart_at: float | None = None
        self._begin()

    def _begin(self) -> None:
        spec = self.spec
        if spec.prepare:
            spec.prepare()
        words = (str(os.getpid()), str(int(spec.orphan_signal)), *spec.argv)
        # -I -S: the leash needs nothing but the standard library, and starts in milliseconds.
        self._process = subprocess.Popen(  # noqa: S603 - our own words, no shell
            [sys.executable, "-I", "-S", leash.__file__, *words],
            cwd=spec.folder,
            env={**os.environ, **spec.variables},  # handed on whole, not read
            stdin=subprocess.DEVNULL,
            stdout=self._output or sys.stderr,
            stderr=self._output or sys.stderr,
            start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop them in order
        )
        self.started_at = time.monotonic()
        self.restart_at = None
        log.info("child_started", child=spec.name, process=self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code (negative: the signal), None while it runs. Ends its own children too."""
        if self._process.returncode is None and self._has_ended():
            # Before it is reaped its number cannot belong to anybody else.
            self._signal_group(signal.SIGKILL)
            self._process.wait()
        return self._process.returncode

    def _has_ended(self) -> bool:
        waiting = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, waiting) is not None

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # it has not made its group yet, or nobody is left in it

    def ask_to_stop(self) -> None:
        """SIGTERM to the process alone: a Celery worker tells its own children."""
        self.restart_at = None
        if self.code is None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the process and everything it started."""
        if self.code is None:
            self._signal_group(signal.SIGKILL)
            self._process.kill()
            self._process.wait()

    def tend(self, now: float) -> None:
        """Start it again when it has ended and its pause is over."""
        code = self.code
        if code is None:
            return
        if self.restart_at is None:
            if now - self.started_at > _HEALTHY_SECONDS:
                self._pause = _FIRST_PAUSE
            self.restart_at = now + self._pause
            log.warning(
                "child_ended", child=self.spec.name, code=code, restart_in_seconds=self._pause
            )
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        elif now >= self.restart_at:
            self.restarts += 1
            self._begin_again(now)

    def _begin_again(self, now: float) -> None:
        """A start that fails is tried again later: one child's trouble ends nobody else."""
        try:
            self._begin()
        except (OSError, Unavailable) as error:
            self.restart_at = now + self._pause
            log.error(
                "child_not_started",
                child=self.spec.name,
                reason=str(error)[:300],
                remedy=f"Check {self.spec.argv[0]} and the folder {self.spec.folder}.",
                again_in_seconds=self._pause,
            )
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)


class Supervisor:
    """Keeps children running until told to stop. Use it from the main thread only: the leash is
    tied to the thread that started a child. As a context manager it kills what is left."""

    def __init__(self, output: IO[bytes] | None = None) -> None:
        """`output`: where the children write; None: to our own standard error."""
        self._output = output
        self.children: list[Child] = []

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()

    def start(self, spec: ChildSpec) -> Child:
        """Raises `Unavailable` when the program cannot be started."""
        try:
            child = Child(spec, self._output)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Unavailable(
                f"{spec.name} cannot be started: {reason}",
                f"Check {spec.argv[0]} and the folder {spec.folder}.",
            ) from None
        self.children.append(child)
        return child

    def drop(self, child: Child) -> None:
        """Kill one and forget it."""
        child.kill()
        self.children.remove(child)

    def tend(self) -> None:
        """Restart what ended. Raises `Unavailable` for a child that must not be restarted."""
        now = time.monotonic()
        for child in self.children:
            if child.spec.restart:
                child.tend(now)
            elif child.code is not None:
                raise Unavailable(
                    f"{child.spec.name} ended with code {child.code}", "See what it wrote last."
                )

    def run(self, stopping: Callable[[], bool], watch: Callable[[], object] = lambda: None) -> None:
        """Tend the children until `stopping`; `watch` is called again and again meanwhile."""
        while not stopping():
            self.tend()
            watch()
            time.sleep(POLL_SECONDS)

    def stop(self, in_a_hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop every stage, the last first: SIGTERM, patience, then SIGKILL.

        `in_a_hurry` is asked again and again; once true, nothing is waited for any more.
        """
        for stage in sorted({child.spec.stage for child in self.children}, reverse=True):
            self._stop([c for c in self.children if c.spec.stage == stage], in_a_hurry)

    def _stop(self, children: list[Child], in_a_hurry: Callable[[], bool]) -> None:
        began = time.monotonic()
        for child in children:
            child.ask_to_stop()
        while waiting := [c for c in children if c.code is None]:
            for child in waiting:
                if in_a_hurry() or time.monotonic() - began > child.spec.stop_seconds:
                    log.warning("child_killed", child=child.spec.name)
                    child.kill()
            time.sleep(POLL_SECONDS)
        for child in children:
            log.info("child_stopped", child=child.spec.name, code=child.code)
