"""Rule files: YAML in Sigma's format, parsed by pySigma, turned into conditions of the model.

pySigma is loaded only where rules are read: no worker that pulls or merges imports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from trailkeeper.errors import ConfigurationError
from trailkeeper.model.review.control import Control
from trailkeeper.model.review.rule import (
    AllOf,
    AnyOf,
    Condition,
    Is,
    Not,
    Rule,
    Test,
    fields_of,
    named_in,
)

_MAY_BE_SECRET = re.compile(
    r"key(description|material|credentials?)|password|secret|credential|certificate|token"
    r"|^(modifiedproperties|extendedproperties|parameters|operationproperties|raw)$",
    re.IGNORECASE,
)
"""fields whose values may be keys or passwords, and the lists that may hold such fields: a rule may
test them, and no mail shows them"""
MAX_FILE_BYTES = 1_000_000
_ENDINGS = (".yml", ".yaml")
_LANGUAGES = frozenset({"en", "de"})
_KEYS = frozenset({"control", "target", "detail", "group_by", "at_least", "distinct", "examples"})


@dataclass(frozen=True, slots=True)
class Examples:
    """Records that prove a rule: what it finds, and what is near and is not found."""

    finds: tuple[Mapping[str, Any], ...]
    passes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A rule as its file holds it."""

    rule: Rule
    examples: Examples
    file: str


@cache
def shipped() -> tuple[Written, ...]:
    """The rules that come with this version, in the order of the controls."""
    folder = resources.files("trailkeeper.rules") / "shipped"
    files = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".yml")),
        key=lambda item: [control.value for control in Control].index(item.name[:-4]),
    )
    return tuple(each for file in files for each in read(file.read_text("utf-8"), file.name))


def own(folder: Path) -> tuple[Written, ...]:
    """The operator's rules: `*.yml` and `*.yaml` in `rules/` of the configuration folder.

    Raises `ConfigurationError` with file, rule and remedy.
    """
    found: list[Written] = []
    paths = sorted(path for path in folder.glob("*") if path.suffix in _ENDINGS)
    for path in paths:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path} is larger than a rule file may be", "Split it.")
        found += read(path.read_text("utf-8-sig"), str(path))
    _refuse_doubles(found)
    return tuple(found)


def _refuse_doubles(own_rules: Sequence[Written]) -> None:
    taken = {each.rule.id: each.file for each in shipped()}
    for each in own_rules:
        if each.rule.id in taken:
            raise ConfigurationError(
                f"{each.file}: the rule id {each.rule.id} is used in {taken[each.rule.id]} too",
                "Give every rule an id of its own (a fresh UUID).",
            )
        taken[each.rule.id] = each.file


def read(text: str, file: str) -> tuple[Written, ...]:
    """The rules of one file, a YAML document each. Raises `ConfigurationError`."""
    try:
        documents = [each for each in yaml.safe_load_all(text) if each]
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file} is not YAML: {error}", "Mend the file.") from None
    return tuple(_written(document, file) for document in documents)


def _written(document: object, file: str) -> Written:
    from sigma.exceptions import SigmaError
    from sigma.rule import SigmaRule

    if not isinstance(document, dict):
        raise ConfigurationError(f"{file} holds something that is no rule", "Write a mapping.")
    where = f"{file}: rule {document.get('title')!r}"
    custom = document.get("custom")
    if not isinstance(custom, dict) or set(custom) - _KEYS:
        raise ConfigurationError(
            f"{where} needs `custom:` with {', '.join(sorted(_KEYS))}, and nothing else there",
            "See docs/rules.md for an example.",
        )
    try:
        sigma = SigmaRule.from_dict({k: v for k, v in document.items() if k != "custom"})
        condition = _condition(sigma.detection.parsed_condition[0].parsed)
        return Written(_rule(sigma, condition, custom), _examples(custom), file)
    except (SigmaError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{where} cannot be used: {error}", "See docs/rules.md for what a rule may hold."
        ) from None


def _rule(sigma: Any, condition: Condition, custom: Mapping[str, Any]) -> Rule:
    if sigma.id is None:
        raise ValueError("a rule needs an id (a fresh UUID)")
    source = sigma.logsource
    if (source.product, source.service) != ("m365", "audit"):
        raise ValueError("its logsource has to be product: m365, service: audit")
    detail = custom["detail"]
    by_language = {"en": detail} if isinstance(detail, str) else dict(detail)
    if "en" not in by_language or set(by_language) - _LANGUAGES:
        raise ValueError("detail is a text, or one text each for en and de")
    target, group_by = str(custom.get("target", "")), tuple(custom.get("group_by", ()))
    distinct = str(custom.get("distinct", ""))
    named = [target, *by_language.values()]
    told = {*group_by, *(n for text in named for n in named_in(text))}
    if secret := sorted(name for name in told if _MAY_BE_SECRET.search(name)):
        raise ValueError(f"{', '.join(secret)} may hold a secret and cannot be shown")
    wanted = told | set(fields_of(condition))
    return Rule(
        id=str(sigma.id),
        title=str(sigma.title),
        control=Control(custom["control"]),
        level=sigma.level.name.lower() if sigma.level else "medium",
        condition=condition,
        target=target,
        detail=by_language,
        group_by=group_by,
        at_least=int(custom.get("at_least", 1)),
        distinct=distinct,
        wanted=frozenset(wanted | ({distinct} if distinct else set())),
    )


def _examples(custom: Mapping[str, Any]) -> Examples:
    given = custom.get("examples") or {}
    return Examples(_records(given.get("finds")), _records(given.get("passes")))


def _records(given: object) -> tuple[Mapping[str, Any], ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ValueError("examples are lists of records")
    return tuple(given)


# --- pySigma's tree into ours ---------------------------------------------------------------------


def _condition(node: Any) -> Condition:
    from sigma import conditions

    if isinstance(node, conditions.ConditionAND):
        return AllOf(tuple(map(_condition, node.args)))
    if isinstance(node, conditions.ConditionOR):
        return AnyOf(tuple(map(_condition, node.args)))
    if isinstance(node, conditions.ConditionNOT):
        return Not(_condition(node.args[0]))
    if isinstance(node, conditions.ConditionFieldEqualsValueExpression):
        return _test(node.field, node.value)
    raise ValueError(f"{type(node).__name__} is not supported: name the field of every value")


def _test(field: str, value: Any) -> Condition:
    from sigma import types

    if isinstance(value, types.SigmaNull):
        return Test(field, Is.PRESENT, "false")
    if isinstance(value, types.SigmaExists):
        return Test(field, Is.PRESENT, "true" if value.exists else "false")
    if isinstance(value, types.SigmaString):
        return Test(field, Is.LIKE, _pattern(value))
    if isinstance(value, types.SigmaBool):
        return Test(field, Is.LIKE, str(value.boolean))
    if isinstance(value, types.SigmaNumber):
        return Test(field, Is.LIKE, str(value.number))
    if isinstance(value, types.SigmaRegularExpression):
        return Test(field, Is.MATCHES, _expression(value))
    if isinstance(value, types.SigmaCIDRExpression):
        return Test(field, Is.IN_NETWORK, value.cidr)
    if isinstance(value, types.SigmaCompareExpression):
        return Test(field, _COMPARED[value.op.name], str(value.number.number))
    raise ValueError(f"a value of the kind {type(value).__name__} is not supported")


_COMPARED = {"LT": Is.BELOW, "LTE": Is.AT_MOST, "GT": Is.ABOVE, "GTE": Is.AT_LEAST}


def _pattern(value: Any) -> str:
    from sigma.types import SpecialChars

    signs = {SpecialChars.WILDCARD_MULTI: "*", SpecialChars.WILDCARD_SINGLE: "?"}
    return "".join(
        signs[part] if isinstance(part, SpecialChars) else _escaped(str(part)) for part in value.s
    )


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "*?\\" else sign for sign in text)


def _expression(value: Any) -> str:
    flags = "".join(
        sorted({"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}[f.name] for f in value.flags)
    )
    return f"(?{flags}){value.regexp}" if flags else str(value.regexp)
