"""`trailkeeper rules`: what the report's review looks for, and whether it would find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import ConfigOption, JsonOption, VerboseOption

if TYPE_CHECKING:
    from trailkeeper.rules.loading import Written

app = typer.Typer(
    help="The rules of the monthly review: check.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keeps `check` a command of its own while there is only one."""


@app.command()
def check(
    as_json: JsonOption = False, config: ConfigOption = None, verbose: VerboseOption = 0
) -> int:
    """Try every rule on the records of its own file: what it has to find, and what not.

    The rules that come with this version, and those in `rules/*.yml` of the configuration folder.
    Exits with 2 when a rule is wrong, and says which and why.

    Examples:

      trailkeeper rules check

      trailkeeper rules check --json
    """
    from trailkeeper import logs
    from trailkeeper.rules.loading import own, shipped
    from trailkeeper.settings import find_folder

    logs.configure("critical" if not verbose else "info")
    written = [*shipped(), *own(find_folder(config) / "rules")]
    wrong = sum(_told(each, as_json) for each in written)
    if not as_json:
        output.line(f"{len(written)} rules, {wrong} wrong")
    return Exit.USAGE if wrong else Exit.DONE


def _told(written: Written, as_json: bool) -> bool:
    """Whether the rule is wrong."""
    from trailkeeper.store.review.checking import failures

    rule, examples = written.rule, written.examples
    problems = list(failures(rule, examples.finds, examples.passes))
    if as_json:
        output.json_line(
            {
                "rule": rule.id,
                "title": rule.title,
                "control": rule.control.value,
                "file": written.file,
                "finds": len(examples.finds),
                "passes": len(examples.passes),
                "problems": problems,
            }
        )
        return bool(problems)
    for problem in problems:
        output.line(f"{written.file}: {rule.title} ({rule.control}): {problem}")
    return bool(problems)
