"""[brand]: how the provider shows itself in its mails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from trailkeeper.settings.fields import Section


def _colour(text: str) -> str:
    digits = text[1:]
    if text and not (text[0] == "#" and len(digits) == 6 and digits.isalnum() and _is_hex(digits)):
        raise ValueError('write a colour like "#0b5cad"')
    return text


def _is_hex(digits: str) -> bool:
    try:
        int(digits, 16)
    except ValueError:
        return False
    return True


class BrandSettings(Section):
    name: Annotated[str, Field(max_length=80)] = ""
    colour: Annotated[str, AfterValidator(_colour)] = ""
    logo: Path | None = None
