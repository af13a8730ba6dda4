"""`python -m tests.fuzz.one TARGET [LIBFUZZER WORD…]`: one target under atheris, until it ends."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["trailkeeper"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name].of)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
