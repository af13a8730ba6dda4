"""Change the code by one small step at a time, and see whether the tests near it notice.

    python -m benchmarks.mutants [--sample 100] [--seed 1] [--jobs 2] [FILE_OR_FOLDER...]

Each *mutant* is one file with one change: a comparison moved by one, `and` for `or`, a number one
higher, the last element of a tuple gone, a statement left out. The changed file exists only in the
memory of a forked process; nothing on the disk is touched. A mutant is *killed* when a test near it
(`NEAR`) fails, or when the tests take ten times as long as they did without it. One that survives
is either equivalent (nothing can observe it; `EQUIVALENT` says why) or shows a missing test.

Of all mutants of the named files a sample is drawn, the same for the same seed. What is printed is
a page for benchmarks/mutants.md. A tool of the market was not taken: mutmut changes no constants of
modules and classes and no decorated functions, and cosmic-ray starts Python anew for each mutant.

Hypothesis runs few examples here, always the same, so that two runs agree.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
_SEARCH = tuple(f"tests/model/test_search_{name}.py" for name in ("share", "walk", "empty"))
NEAR: dict[str, tuple[str, ...]] = {
    "trailkeeper/model/search/": _SEARCH,
    "trailkeeper/model/feed/rules.py": ("tests/model/test_feed.py",),
    "trailkeeper/model/feed/": ("tests/model/test_feed.py", "tests/model/test_spread.py"),
    "trailkeeper/steps/heartbeat.py": ("tests/steps/test_merge.py",),
    "trailkeeper/steps/close_months.py": ("tests/steps/test_months.py",),
    "trailkeeper/steps/report.py": ("tests/steps/test_months.py",),
}
"""by the beginning of a file's path: the tests that are to notice a change there. Of any other file
it is the test file of its name in tests/model or tests/steps"""
EXAMPLES = 5
"""of each property-based test: enough to reach each line, few enough to ask of each mutant"""


# --- changing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: which one of those that `_changes` finds in the file, and what it is."""

    path: str
    number: int
    line: int
    where: str
    """the function or class, with those around it"""
    change: str

    def __str__(self) -> str:
        if self.number < 0:
            return f"{self.path}:{self.line} {self.where} → {self.change}".replace("\n", " ")
        return f"{self.path}:{self.line} {self.where}: {self.change}"


_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
_CALLED = {"any": "all", "all": "any", "min": "max", "max": "min"}


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may stand in the place of this one."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=others) if type(op) in _COMPARED:
            yield ast.Compare(left, [_COMPARED[type(op)]()], others)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COMPUTED:
            yield ast.BinOp(left, _COMPUTED[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Tuple(elts=[*first, _], ctx=ast.Load()) if first:
            yield ast.Tuple(first, ast.Load())
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLED:
            yield ast.Call(ast.Name(_CALLED[name], ast.Load()), args, keywords)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()


class _Visitor(ast.NodeTransformer):
    """Counts the changes of a file, and makes the one with the wanted number."""

    def __init__(self, path: str, wanted: int = -1) -> None:
        self.path = path
        self.found: list[Mutant] = []
        self._wanted = wanted
        self._where: list[str] = []

    def visit(self, node: ast.AST) -> ast.AST:
        name = node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else ""
        if name:
            self._where.append(name)
        changed = self._one_of(node)
        if changed is None:
            self.generic_visit(node)
        if name:
            self._where.pop()
        return ast.copy_location(changed, node) if changed else node

    def _one_of(self, node: ast.AST) -> ast.AST | None:
        for other in _changes(node):
            number = len(self.found)
            change = f"{_text(node)} → {_text(other)}"
            where = ".".join(self._where) or "module"
            line = getattr(node, "lineno", 0)
            self.found.append(Mutant(self.path, number, line, where, change))
            if number == self._wanted:
                return other
        return None

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Not into annotations, decorators and the arguments of types, which nothing reads."""
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            if isinstance(node, ast.Subscript) and isinstance(value, ast.Tuple):
                continue
            if isinstance(value, list):
                value[:] = [self.visit(v) if isinstance(v, ast.AST) else v for v in value]
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())[:100]


NAMED: dict[tuple[str, str], str] = {
    ("trailkeeper/model/coverage.py", "any(_proves_alone(c.stream.source) for c in complete)"): (
        "bool(complete)"
    ),
    ("trailkeeper/model/window.py", "    if moment.tzinfo is None:\n        raise"): (
        "    if False:\n        raise"
    ),
    ("trailkeeper/model/window.py", "if self.axis is not other.axis"): "if False",
    ("trailkeeper/model/window.py", "and merged[-1].axis is not window.axis"): "and False",
    ("trailkeeper/steps/pull.py", "    timedelta(days=3),\n    timedelta(days=7),\n"): "",
    ("trailkeeper/steps/merge.py", "except Transient:\n            return self.lake"): (
        "except Transient:\n            raise\n            return self.lake"
    ),
    ("trailkeeper/steps/deliver.py", "SENDING_LEASE = timedelta("): (
        "SENDING_LEASE = timedelta(days=3) + timedelta("
    ),
    ("trailkeeper/steps/deliver.py", "return min(timedelta("): (
        "return timedelta(days=3) + min(timedelta("
    ),
    ("trailkeeper/steps/compact.py", "% TURNS :: TURNS"): "* 0 :: TURNS",
}
"""changes that once survived, by file and by text: tried in each run, whatever the sample"""


def named() -> list[Mutant]:
    """The mutants of `NAMED`."""
    return [
        Mutant(path, -1, _source(path)[: _source(path).index(old)].count("\n") + 1, old, new)
        for (path, old), new in NAMED.items()
    ]


def mutants(path: str) -> list[Mutant]:
    """All changes of one file."""
    visitor = _Visitor(path)
    visitor.visit(_parsed(path))
    return visitor.found


def mutated(mutant: Mutant) -> CodeType:
    """The file's code with this one change."""
    if mutant.number < 0:
        source = _source(mutant.path).replace(mutant.where, mutant.change, 1)
        return compile(source, str(ROOT / mutant.path), "exec")
    visitor = _Visitor(mutant.path, mutant.number)
    tree = visitor.visit(_parsed(mutant.path))
    assert isinstance(tree, ast.Module)
    return compile(ast.fix_missing_locations(tree), str(ROOT / mutant.path), "exec")


def _parsed(path: str) -> ast.Module:
    return ast.parse(_source(path))


def _source(path: str) -> str:
    return (ROOT / path).read_text()


# --- testing -------------------------------------------------------------------------------------


class _Loader(importlib.machinery.SourceFileLoader):
    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


@dataclass
class _Finder(importlib.abc.MetaPathFinder):
    """Gives the changed code for the one module that is changed."""

    name: str
    path: str
    code: CodeType

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = _Loader(fullname, self.path)
        loader.code = self.code
        is_package = [str(Path(self.path).parent)] if self.path.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=loader, submodule_search_locations=is_package
        )


class _FewExamples:
    """A plugin: every property-based test runs a few examples, the same each time."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            test = getattr(item, "obj", None)
            inner: Any = getattr(test, "__func__", test)
            if chosen := getattr(inner, "_hypothesis_internal_use_settings", None):
                inner._hypothesis_internal_use_settings = hypothesis.settings(
                    chosen,
                    max_examples=min(EXAMPLES, chosen.max_examples),
                    derandomize=True,
                    database=None,
                    deadline=None,
                    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
                )


def _tested(tests: Sequence[str], mutant: Mutant | None, seconds: float) -> str:
    """Run `tests` in a fork: "passed", "killed" or "too slow"."""
    child = os.fork()
    if child == 0:
        _run(tests, mutant)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "passed" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too slow"


def _run(tests: Sequence[str], mutant: Mutant | None) -> None:
    code = 70
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.chdir(ROOT)
        if mutant:
            name = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            sys.meta_path.insert(0, _Finder(name, str(ROOT / mutant.path), mutated(mutant)))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not nightly"]
        code = int(pytest.main([*options, *tests], plugins=[_FewExamples()]))
    finally:
        os._exit(code)


def near(path: str) -> tuple[str, ...]:
    """The tests that are to notice a change of this file; none where nobody has named any."""
    for beginning, tests in NEAR.items():
        if path.startswith(beginning):
            return tests
    room = path.split("/")[1]
    named = f"tests/{room}/test_{Path(path).name}"
    return (named,) if (ROOT / named).exists() else ()


# --- telling -------------------------------------------------------------------------------------

_WINDOW = "trailkeeper/model/window.py"
EQUIVALENT: dict[str, str] = {
    f"{_WINDOW} union: window.end > merged[-1].end → window.end >= merged[-1].end": (
        "two windows that end together: the joined one stays the same"
    ),
    f"{_WINDOW} subtract: hole.end <= cursor → hole.end < cursor": (
        "a hole that ends where the rest begins takes nothing away"
    ),
    f"{_WINDOW} subtract: hole.start >= window.end → hole.start > window.end": (
        "a hole that begins where the window ends takes nothing away"
    ),
    "trailkeeper/steps/deliver.py _backoff: 10 → 11": (
        "the longest wait is reached after eight tries"
    ),
}
"""mutants that nothing can observe, as they are printed without their line, and why"""


@dataclass(frozen=True, slots=True)
class Result:
    mutant: Mutant
    outcome: str

    @property
    def killed(self) -> bool:
        return self.outcome != "passed"

    @property
    def equivalent(self) -> str:
        """Why nothing can observe it; empty for most."""
        return EQUIVALENT.get(f"{self.mutant.path} {self.mutant.where}: {self.mutant.change}", "")


def judged(chosen: Sequence[Mutant], jobs: int) -> Iterator[Result]:
    """Test each mutant, `jobs` at a time. The tests have to pass without any first."""
    limits: dict[tuple[str, ...], float] = {}
    for tests in {near(mutant.path) for mutant in chosen}:
        began = time.monotonic()
        if _tested(tests, None, _PATIENCE) != "passed":
            raise SystemExit(f"without any change these tests fail: {' '.join(tests)}")
        limits[tests] = max(_LEAST, 10 * (time.monotonic() - began))

    def judge(mutant: Mutant) -> Result:
        tests = near(mutant.path)
        outcome = _tested(tests, mutant, limits[tests])
        print(f"{outcome}: {mutant}", file=sys.stderr, flush=True)
        return Result(mutant, outcome)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(judge, chosen)


_PATIENCE = 900.0
"""seconds for the tests of one file without any change"""
_LEAST = 60.0
"""seconds that a mutant has at least, so that a busy machine kills none"""


def main() -> None:
    options = _options()
    files = sorted(f for name in options.paths for f in _files(name) if near(f))
    everything = [mutant for path in files for mutant in mutants(path)]
    size = min(options.sample, len(everything))
    chosen = sorted(random.Random(options.seed).sample(everything, size), key=str)
    results = list(judged([*named(), *chosen], options.jobs))
    known, sampled = results[: len(NAMED)], results[len(NAMED) :]
    print("# Mutants: small changes of the code, and whether a test notices\n")
    print(f"`make mutants` printed this: {size} of {len(everything)} changes, seed {options.seed},")
    print(f"and {len(NAMED)} changes that once survived.\n")
    print("| file | tried | killed | equivalent | survived |\n|---|---:|---:|---:|---:|")
    _row("*those that once survived*", known)
    for path in sorted({result.mutant.path for result in sampled}):
        _row(f"`{path}`", [result for result in sampled if result.mutant.path == path])
    _row("**all**", results)
    survived = [result for result in results if not result.killed]
    _list("Survived", [result for result in survived if not result.equivalent])
    _list("Equivalent", [result for result in survived if result.equivalent])


def _row(name: str, results: Sequence[Result]) -> None:
    killed = sum(result.killed for result in results)
    equivalent = sum(bool(result.equivalent) for result in results if not result.killed)
    left = len(results) - killed - equivalent
    print(f"| {name} | {len(results)} | {killed} | {equivalent} | {left} |")


def _list(title: str, results: Sequence[Result]) -> None:
    if results:
        print(f"\n## {title}\n")
    for result in results:
        print(f"- `{result.mutant}`" + (f": {result.equivalent}" if result.equivalent else ""))


def _files(name: str) -> list[str]:
    path = ROOT / name
    found = [path] if path.is_file() else path.rglob("*.py")
    return [str(each.relative_to(ROOT)) for each in found]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sample", type=int, default=100, help="how many mutants are tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("paths", nargs="*", default=["trailkeeper/model", "trailkeeper/steps"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
