"""Every shipped rule, tried on the records of its own file; and what a rule file may not hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trailkeeper.errors import ConfigurationError
from trailkeeper.model.review.control import Control
from trailkeeper.model.review.rule import COLUMNS, Always, widened
from trailkeeper.rules.loading import Written, own, read, shipped
from trailkeeper.store.review.checking import failures, matched

ROOT = Path(__file__).parents[2]
RULE = """
title: A word in a subject
id: 6c0f8f1e-6e46-4b0e-8b2b-6a1c7f4a0001
logsource: {product: m365, service: audit}
detection:
  op: {operation_norm: send}
  condition: op
custom:
  control: mailbox-rights
  detail: 'sent {Subject}'
  examples:
    finds:
    - {Id: '1', Operation: Send}
    passes:
    - {Id: '2', Operation: SendAs}
"""


@pytest.mark.parametrize("written", shipped(), ids=lambda each: each.rule.title)
def test_a_shipped_rule_finds_its_example_and_passes_its_near_misses(written: Written) -> None:
    """One record at least that it finds, and two at least that look alike and are not found."""
    assert len(written.examples.finds) >= 1
    assert len(written.examples.passes) >= 2
    assert list(failures(written.rule, written.examples.finds, written.examples.passes)) == []


@pytest.mark.parametrize("written", shipped(), ids=lambda each: each.rule.title)
def test_no_rule_needs_every_record_parsed(written: Written) -> None:
    """The lake's own columns leave some records out for each rule: a month is not read whole."""
    assert widened(written.rule.condition, COLUMNS) != Always(True)


def test_every_control_has_a_rule_and_ids_are_unique() -> None:
    """No control of the report is decided by nothing; an id names one rule."""
    rules = [each.rule for each in shipped()]
    assert {rule.control for rule in rules} == set(Control)
    assert len({rule.id for rule in rules}) == len(rules)
    assert all(set(rule.detail) == {"en", "de"} for rule in rules)


def test_a_result_status_decides_no_shipped_rule() -> None:
    """ResultStatus says Success on two of three failed sign-ins: no rule tests it."""
    for each in shipped():
        for example in (*each.examples.finds, *each.examples.passes):
            for status in ("Success", "Failed"):
                changed = {**example, "ResultStatus": status}
                assert matched(each.rule, [changed]) == matched(each.rule, [example])


def test_the_library_of_rule_files_is_loaded_by_nobody_else() -> None:
    """Building the world of a worker imports neither pySigma nor YAML."""
    code = (
        "import sys, trailkeeper.bootstrap, trailkeeper.store.review.evaluating;"
        "print([name for name in ('sigma', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("ending", ["yml", "yaml"])
def test_an_operators_rule_is_read_beside_the_shipped_ones(tmp_path: Path, ending: str) -> None:
    """Files of both endings, each with examples of its own; no folder is no rule."""
    assert own(tmp_path / "rules") == ()
    (tmp_path / f"send.{ending}").write_text(RULE)
    (tmp_path / "notes.txt").write_text("no rule")
    (written,) = own(tmp_path)
    assert written.rule.control is Control.MAILBOX_RIGHTS
    assert list(failures(written.rule, written.examples.finds, written.examples.passes)) == []
    assert matched(written.rule, [{"Operation": " SEND "}, {"Operation": "Send."}]) == [0, 1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: 6c0f8f1e-6e46-4b0e-8b2b-6a1c7f4a0001", "level: low", "needs an id"),
        ("product: m365", "product: windows", "product: m365"),
        ("control: mailbox-rights", "control: gardening", "gardening"),
        ("{Subject}", "{new.KeyDescription}", "may hold a secret"),
        ("{Subject}", "{ModifiedProperties}", "may hold a secret"),
        ("detail: 'sent {Subject}'", "detail: {fr: envoyé}", "detail"),
        ("{operation_norm: send}", "{Subject|re: '(?=a)b'}", "invalid"),
        ("condition: op", "condition: nothing", "cannot be used"),
        ("custom:", "extra:", "custom"),
        ("title: A word in a subject", "title: [", "not YAML"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named_with_its_file(old: str, new: str, said: str) -> None:
    """One sentence with the file, and what is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        read(RULE.replace(old, new), "rules/mine.yml")
    assert "rules/mine.yml" in str(caught.value)
    assert said in str(caught.value)


def test_a_rule_with_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    """An operator's copy of a shipped rule has to get an id of its own."""
    taken = shipped()[0].rule.id
    (tmp_path / "copy.yml").write_text(RULE.replace("6c0f8f1e-6e46-4b0e-8b2b-6a1c7f4a0001", taken))
    with pytest.raises(ConfigurationError, match=taken):
        own(tmp_path)
