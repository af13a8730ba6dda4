"""A task that never ends is killed by the worker's main process, which says so and goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from celery.app.defaults import NAMESPACES, flatten

_WORKER = """
import sys, time
from celery import Celery
from trailkeeper import logs
from trailkeeper.process.leash import die_with_parent
import worker.overdue

die_with_parent()
app = Celery("stuck", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": sys.argv[1], "data_folder_out": sys.argv[1], "control_folder": sys.argv[2]
}
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)

@app.task(name="stuck", time_limit=1)
def stuck(number):
    after.delay()  # there is one process, and this one has it
    time.sleep(600)

@app.task(name="after")
def after():
    print("AFTER", file=sys.stderr, flush=True)

logs.configure("info", as_json=True)
stuck.delay(17)
app.worker_main(["worker", "-c", "1", "-P", "prefork", "--without-gossip", "--without-mingle"])
"""


def test_a_task_beyond_the_hard_limit_is_killed_and_named(tmp_path: Path) -> None:
    """The log names the task and its ids; the next task gets a process of its own."""
    script, queue, control = tmp_path / "stuck_worker.py", tmp_path / "queue", tmp_path / "control"
    script.write_text(_WORKER)
    queue.mkdir()
    control.mkdir()
    root = str(Path(__file__).parents[2])
    worker = subprocess.Popen(
        [sys.executable, str(script), str(queue), str(control)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "C_FORCE_ROOT": "1"},
        cwd=tmp_path,
    )
    guard = threading.Timer(120, worker.kill)
    guard.start()
    said: list[str] = []
    try:
        assert worker.stderr is not None
        for line in worker.stderr:
            said.append(line)
            if "AFTER" in line:
                break
    finally:
        guard.cancel()
        worker.kill()
        worker.wait()
        worker.stderr.close()
    killed = [line for line in said if '"event": "task_killed"' in line]
    assert len(killed) == 1, said[-12:]
    assert '"task": "stuck"' in killed[0]
    assert '"ids": [17]' in killed[0]
    assert said[-1].startswith("AFTER")


def test_every_task_has_the_limit() -> None:
    """The option is one that Celery knows, and no task has a longer one of its own."""
    text = (Path(__file__).parents[2] / "worker" / "config.py").read_text()
    assert "\ntask_time_limit = HARD_LIMIT_SECONDS\n" in text
    assert "task_time_limit" in {name for name, _ in flatten(NAMESPACES)}
    assert "time_limit" not in (Path(__file__).parents[2] / "worker" / "tasks.py").read_text()
