"""What is wrong with a configuration, said with file, key and remedy."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trailkeeper.errors import ConfigurationError

_Model = TypeVar("_Model", bound=BaseModel)
_PLAIN_WORDS = {
    "tuple_type": 'write a list, for example ["one", "another"]',
    "uuid_parsing": "write a GUID, for example 01234567-89ab-cdef-0123-456789abcdef",
    "uuid_type": "write a GUID in quotes",
    "string_type": "write a text in quotes",
    "model_type": "write a section of keys",
    "bool_type": "write true or false",
}
"""for whoever writes TOML; what pydantic says here speaks of Python's types"""


def validated(model: type[_Model], values: object, path: Path, prefix: str = "") -> _Model:
    """Build `model`, turning the first complaint into a sentence with file, key and remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_input=False)
    # A mistyped key is also a missing one; the unknown key is what the operator has to look for.
    first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    key = ".".join(part for part in (prefix, place) if part)
    if first["type"] == "extra_forbidden":
        raise ConfigurationError(f"{path}: unknown key {key!r}", _hint(place, model)) from None
    raise ConfigurationError(*_complaint(path, key, first["type"], first["msg"])) from None


_ELSEWHERE = 0.75
"""how alike a key of another section has to be: `login` does not mean `brand.logo`"""


def _hint(unknown: str, model: type[BaseModel]) -> str:
    """The known key that is spelt most alike; with its section where that is another one."""
    section, _, word = unknown.rpartition(".")
    known = [key.rpartition(".")[::2] for key in _known_keys(model)]
    here = [last for where, last in known if where == section]
    near = difflib.get_close_matches(word, here, n=1) or difflib.get_close_matches(
        word, [last for _, last in known], n=1, cutoff=_ELSEWHERE
    )
    if not near:
        return "Remove it."
    sections = [where for where, last in known if last == near[0]]
    best = section if section in sections else sections[0]
    meant = near[0] if best == section or not best else f"{best}.{near[0]}"
    return f"Did you mean {meant!r}? Otherwise remove it."


def _complaint(path: Path, key: str, kind: str, text: str) -> tuple[str, str]:
    if kind == "missing":
        return f"{path}: the key {key!r} is missing", "Add it; see the configuration reference."
    reason = _PLAIN_WORDS.get(kind, text.removeprefix("Value error, "))
    place = f"{key!r}: " if key else ""
    return f"{path}: {place}{reason}", "Mend that value."


def _known_keys(model: type[BaseModel]) -> list[str]:
    """Every key of `model` and of the sections inside it, `section.key`.

    Not of sections that are named by the operator (a tenant, a cloud): these stand elsewhere.
    """
    keys = []
    for name, field in model.model_fields.items():
        keys.append(name)
        inner = field.annotation
        if get_origin(inner) is dict:
            continue
        for part in (inner, *get_args(inner)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += [f"{name}.{key}" for key in _known_keys(part)]
    return keys
