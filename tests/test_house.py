"""The house rules that a machine can hold: imports, names, and what a tracked file may say."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from beat.ticks import TICKS
from trailkeeper import settings
from trailkeeper.messages import Queue, Task

ROOT = Path(__file__).parents[1]
PACKAGES = ("trailkeeper", "worker", "beat", "wire", "sandbox")


@cache
def _tracked() -> tuple[Path, ...]:
    """Every file that git knows, or would take in."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive, or no git at all
        pytest.skip("this is not a git checkout, so there is no list of tracked files")
    paths = (ROOT / name.decode() for name in listed.split(b"\0") if name)
    return tuple(path for path in paths if path.is_file())


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            yield path.relative_to(ROOT), content.decode("utf-8", "replace")


def _found(pattern: str) -> list[str]:
    """`file:line` of every tracked line that matches."""
    wanted = re.compile(pattern)
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


def _in_fresh_process(code: str, **variables: str) -> str:
    """What `code` prints in an interpreter that has imported nothing of ours."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def configuration(tmp_path: Path) -> dict[str, str]:
    """Enough configuration for the doors to be imported; nothing is connected to."""
    (tmp_path / "trailkeeper.toml").write_text("", encoding="utf-8")
    return {"TRAILKEEPER_CONFIG": str(tmp_path), "TRAILKEEPER_REDIS": "redis://127.0.0.1:1/0"}


def test_import_contracts_hold() -> None:
    """Every import contract of pyproject.toml is kept."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_no_registry_host_is_named() -> None:
    """No tracked file names a package registry's host: where packages come from is local."""
    # Pieced together, so that this very line names none.
    hosts = [
        "py" + r"pi\.org",
        "python" + r"hosted\.org",
        "registry" + r"\.npmjs",
        "index" + "-url =",
    ]
    assert _found("|".join([*hosts, "deb" + r"\.debian\.org", r"^--find" + "-links"])) == []


def test_no_path_of_one_machine_is_named() -> None:
    """No tracked file holds a path that exists on one developer's machine only."""
    homes = {str(Path.home()), str(ROOT.parent)} - {"/", "/home", "/tmp", "/root"}  # noqa: S108 - too general to mean anything
    patterns = [re.escape(home) + r"/[a-z.]" for home in homes]
    assert _found("|".join(patterns)) == [] if patterns else True


def test_no_private_key_is_tracked() -> None:
    """No tracked file outside the tests and the sandbox holds the text of a private key."""
    found = _found("BEGIN (RSA |EC |ENCRYPTED )?PRIVATE" + " KEY")
    assert [line for line in found if not line.startswith(("tests/", "sandbox/"))] == []


def test_requirements_are_pinned_by_hash() -> None:
    """Every line of requirements/*.txt is an exact version with hashes, and names no place."""
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text("utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
        assert lines
        for line in lines:
            assert re.match(r"\S+==\S+.* --hash=sha256:", line), f"{path.name}: {line[:80]}"
            assert "://" not in line, f"{path.name}: {line[:80]}"


def test_requirements_cover_the_dependencies() -> None:
    """What pyproject.toml asks for is pinned for the product, and all of it for the tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    runtime, dev = _pinned("runtime.txt"), _pinned("dev.txt")
    assert {_name(wish) for wish in project["dependencies"]} <= runtime
    assert {_name(wish) for wish in project["optional-dependencies"]["sandbox"]} | runtime <= dev


def test_what_is_imported_is_asked_for() -> None:
    """Every outside package that the product imports is a dependency of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {_name(wish) for wish in project["dependencies"]}
    # Parts of Celery and of requests that show through, at the versions that those ask for.
    wanted |= {"kombu", "urllib3"}
    known = packages_distributions()
    missing = {
        f"{path}: {module}"
        for path, code in _texts()
        if path.suffix == ".py" and path.parts[0] in ("trailkeeper", "worker", "beat", "wire")
        for module in _imported(code) - sys.stdlib_module_names - set(PACKAGES)
        if wanted.isdisjoint(map(_name, known.get(module, [])))
    }
    assert missing == set()


def _imported(code: str) -> set[str]:
    """The first part of every absolute import."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _pinned(file: str) -> set[str]:
    text = (ROOT / "requirements" / file).read_text("utf-8")
    return {_name(line) for line in text.splitlines() if "==" in line and not line[0].isspace()}


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_tasks_sent_are_the_tasks_registered(configuration: dict[str, str]) -> None:
    """The worker registers exactly the tasks that `messages` names, each routed to its queue."""
    code = (
        "import json\n"
        "from worker.app import app\n"
        "app.loader.import_default_modules()\n"
        "ours = [name for name in app.tasks if not name.startswith('celery.')]\n"
        "print(json.dumps([ours, {k: v['queue'] for k, v in app.conf.task_routes.items()}]))"
    )
    registered, routes = json.loads(_in_fresh_process(code, **configuration))
    assert sorted(registered) == sorted(task.value for task in Task)
    assert routes == {task.value: task.queue.value for task in Task}
    assert {tick.task for tick in TICKS} == {task for task in Task if ".tick_" in task.value}


def test_compactions_wait_for_their_turn() -> None:
    """Nothing enqueues one again for six hours: its message outlives a queue of many minutes, and
    is gone before the next twelfth's; what a reconciliation repeats is gone in two minutes."""
    from celery import Celery

    from worker.enqueuer import CeleryEnqueuer

    queue = Celery("test", broker="memory://", set_as_current=False)
    queue.conf.task_create_missing_queues = True
    enqueuer, sent_at = CeleryEnqueuer(queue), datetime.now(UTC)
    enqueuer.compact("contoso")
    enqueuer.merge("contoso")
    left = {}
    with queue.connection_for_read() as connection:
        for name in (Queue.REPORT, Queue.MERGE):
            message = connection.SimpleQueue(name.value).get(timeout=5)
            left[name] = datetime.fromisoformat(message.headers["expires"]) - sent_at
            message.ack()
    (turn,) = (tick.every for tick in TICKS if tick.task is Task.TICK_COMPACT)
    assert turn / 3 < left[Queue.REPORT] < turn
    assert left[Queue.MERGE] < timedelta(minutes=2)


def test_up_drains_every_queue() -> None:
    """The workers that `up` starts listen to every queue there is, each to its own."""
    from trailkeeper.settings import Settings
    from trailkeeper.supervisor.service import children

    started = [spec.argv for spec in children(Settings(folder=ROOT), {}) if "-Q" in spec.argv]
    drained = [argv[argv.index("-Q") + 1].split(",") for argv in started]
    assert sorted(queue for queues in drained for queue in queues) == sorted(Queue)


def test_a_pulling_worker_loads_no_tables(configuration: dict[str, str]) -> None:
    """A worker ready to pull has neither polars nor deltalake, pandas nor matplotlib in memory."""
    code = (
        "import json, sys\n"
        "import worker.tasks\n"
        "from worker.world import open_world\n"
        "open_world().pull\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = set(json.loads(_in_fresh_process(code, **configuration)))
    assert "requests" in loaded
    assert loaded.isdisjoint({"polars", "deltalake", "pandas", "pyarrow", "matplotlib", "sandbox"})


def test_a_planning_worker_loads_no_tables(configuration: dict[str, str]) -> None:
    """One that has planned and enqueued a tenant's work has none of what makes a merge worker
    heavy."""
    folder = Path(configuration["TRAILKEEPER_CONFIG"])
    (folder / "trailkeeper.toml").write_text(
        f'[service]\ndata = "{folder}/data"\n[mail]\nsender = "a@example.com"\n'
        '[mail.smtp]\nhost = "127.0.0.1"\nport = 25\nsecurity = "none"\n'
    )
    (folder / "tenants").mkdir()
    (folder / "tenants" / "contoso.toml").write_text(
        'tenant_id = "11111111-2222-4333-8444-555555555555"\n'
        'client_id = "11111111-2222-4333-8444-555555555555"\n'
        'domain = "contoso.example"\nsince = 2026-01-01T00:00:00Z\n'
        '[certificate]\npfx = "key.pfx"\n[report]\nto = ["b@example.com"]\n'
    )
    code = (
        "import json, sys\n"
        "from worker import tasks\n"
        "from worker.enqueuer import CeleryEnqueuer\n"
        "for name in ('pull', 'merge', 'deliver', 'report', 'compact', 'months'):\n"
        "    setattr(CeleryEnqueuer, name, lambda self, *words: None)\n"
        "for name in ('collect', 'feeds', 'months', 'compact'):\n"
        "    getattr(tasks, f'tick_{name}')()\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    said = _in_fresh_process(code, **configuration)
    loaded = set(json.loads(said.splitlines()[-1]))
    assert said.count("task_finished") == 4
    assert re.search(r"planned [1-9]\d*, enqueued [1-9]", said), said
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({"polars", "deltalake", "pandas", "pyarrow", "matplotlib", "sandbox"})


def test_beat_loads_no_part_that_plans(configuration: dict[str, str]) -> None:
    """Beat's process knows neither steps nor store nor Microsoft: it can only tick."""
    code = (
        "import json, sys, beat.app\n"
        "beat.app.app.conf.beat_scheduler; import beat.scheduler\n"
        "print(json.dumps(list(sys.modules)))"
    )
    loaded = set(json.loads(_in_fresh_process(code, **configuration)))
    rooms = {"bootstrap", "steps", "store", "microsoft", "mail", "ports"}
    assert loaded.isdisjoint({f"trailkeeper.{room}" for room in rooms} | {"sqlalchemy", "requests"})


def test_importing_starts_nothing(configuration: dict[str, str]) -> None:
    """Importing every module of ours starts no thread and connects to nothing."""
    code = (
        "import importlib, pkgutil, socket, sys, threading\n"
        "def refused(*_): raise SystemExit('something connects at import')\n"
        "socket.socket.connect = refused\n"
        f"for package in {PACKAGES!r}:\n"
        "    found = importlib.import_module(package)\n"
        "    for module in pkgutil.walk_packages(found.__path__, f'{package}.'):\n"
        "        if '__main__' not in module.name and '.migrations' not in module.name:\n"
        "            importlib.import_module(module.name)\n"
        "alive = [t.name for t in threading.enumerate() if t is not threading.main_thread()]\n"
        "print(alive or 'nothing')"
    )
    assert _in_fresh_process(code, **configuration).strip() == "nothing"


def test_only_settings_read_the_environment() -> None:
    """Beside `settings`, only the supervisor touches the environment: it hands it on, whole."""
    readers = {
        str(path)
        for path, text in _texts()
        if path.suffix == ".py" and path.parts[0] in ("trailkeeper", "worker", "beat", "wire")
        if re.search(r"os\.(environ|getenv)", text)
    }
    assert readers == {"trailkeeper/settings/environment.py", "trailkeeper/process/children.py"}


def test_suppressions_say_why() -> None:
    """Every `noqa` and `type: ignore` in the product names its rule, and a reason is beside it."""
    bare = [
        place
        for place in _found(r"# noqa(?!: ?[A-Z]+[0-9]+)|# type: ignore(?!\[)")
        if place.startswith(("trailkeeper/", "worker/", "beat/", "wire/"))
    ]
    assert bare == []
    silent = [
        place
        for place in _found(r"# noqa: [A-Z0-9, ]+$|# type: ignore\[[a-z-, ]+\]$")
        if place.startswith(("trailkeeper/", "worker/", "beat/", "wire/"))
    ]
    assert silent == []


def test_every_test_says_what_it_proves() -> None:
    """Each test's docstring is the behaviour that it proves."""
    silent = [
        f"{path}: {match[1]}"
        for path, text in _texts()
        if path.parts[0] == "tests" and path.name.startswith("test_")
        for match in re.finditer(
            r"^ *(?:async )?def (test_\w+)\((?:[^()]|\([^()]*\))*\)[^:]*:\n(?! *\"\"\")", text, re.M
        )
    ]
    assert silent == []


def test_the_readme_shows_the_commands() -> None:
    """README shows the two commands, and every make target it names exists."""
    text = (ROOT / "README.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"`?make ([a-z-]+)", text))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link in a document points at a file of the checkout."""
    dead = [
        f"{path}: {link}"
        for path, text in _texts()
        if path.suffix == ".md"
        for link in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text)
        if not (ROOT / path.parent / link).exists()
    ]
    assert dead == []


def _ways_to_mail() -> dict[str, type[BaseModel]]:
    """The section of each transport, as the settings have them."""
    fields = {way: settings.MailSettings.model_fields[way] for way in settings.MailSettings.ways()}
    return {f"[mail.{way}]": get_args(field.annotation)[0] for way, field in fields.items()}


SECTIONS: dict[str, type[BaseModel]] = {
    "[service]": settings.ServiceSettings,
    "[collection]": settings.CollectionSettings,
    "[brand]": settings.BrandSettings,
    "[mail]": settings.MailSettings,
    **_ways_to_mail(),
    "[clouds.NAME]": settings.CloudSettings,
    "The tenant itself": settings.TenantSettings,
    "[certificate]": settings.CertificateSettings,
    "[certificate.key_vault]": settings.KeyVaultReference,
    "[report]": settings.ReportSettings,
}
ELSEWHERE = {"name", "certificate", "report"}
"""of a tenant: the file's name, and tables with a section of their own"""


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_reference_names_every_key(heading: str) -> None:
    """docs/configuration.md has exactly the keys of the settings, each with its default."""
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*?) \|", section, re.M))
    model = SECTIONS[heading]
    skipped = ELSEWHERE if model is settings.TenantSettings else set()
    fields = {key: field for key, field in model.model_fields.items() if key not in skipped}
    assert set(rows) == set(fields)
    for key, field in fields.items():
        assert _plain(rows[key]) == _shown(field.default), key


def _plain(cell: str) -> str:
    """What the table says, without its typography; words for "it depends" count as none."""
    text = cell.replace("`", "").removeprefix("./")
    found = re.search(r"^(none|system|newest|a month back|certificates|.* under data)$", text)
    return "none" if found else text


def _shown(default: object) -> str:
    """The default as the reference writes it."""
    if default is PydanticUndefined:
        return "required"
    if default in (None, "", ()):
        return "none"
    if isinstance(default, tuple):
        return ", ".join(map(_shown, default))
    if isinstance(default, timedelta):
        return _duration(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _duration(length: timedelta) -> str:
    """In the largest unit that stays whole and is more than one: 24h, 7d, 60s."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0 and seconds // size > 1:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def test_the_log_reference_names_every_event() -> None:
    """docs/logs.md has exactly the events that the code logs, all in past-tense `noun_verb`."""
    text = (ROOT / "docs" / "logs.md").read_text("utf-8")
    logged = {event for path, code in _texts() for event in _events(path, code)}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == logged
    irregular = {
        "sent",
        "lost",
        "taken_over",
        "cache_local",
        "cache_unreachable",
        "cache_unreadable",
        "not_shared",
        "not_started",
        "unreadable",
    }
    for event in logged:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event), event
        assert event.endswith("ed") or event.split("_", 1)[1] in irregular, event


def _events(path: Path, code: str) -> Iterator[str]:
    """The first argument of every `log.…(…)`; one that is not a constant fails the test."""
    if path.suffix != ".py" or path.parts[0] not in ("trailkeeper", "worker", "beat", "wire"):
        return
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level), args=[first, *_]
            ) if level in levels:
                assert isinstance(first, ast.Constant), f"{path}:{node.lineno}"
                yield str(first.value)
