"""Cells that a spreadsheet shows and does not run, as columns of a frame.

Whoever can name a user or set a UserAgent writes into these cells (CSV injection, as OWASP
describes it). A cell that begins like a formula gets an apostrophe, which a spreadsheet takes for
"text". What stands before the sign does not help it: programs skip blanks, controls and marks that
nobody sees, and some fold full-width signs. A file that is opened with another separator falls
apart at that one, so what would begin a cell then is guarded as well.
"""

from __future__ import annotations

import polars as pl

LONGEST_CELL = 32_767
"""UTF-16 units that Excel keeps of a cell; of a longer one it makes more rows, or drops the rest"""
_MARK = " … [cut: the cell has {:,} characters; export --format jsonl gives the whole]"

_UNSEEN = r'[\s\p{Z}\p{C}\p{M}"\x{115F}\x{1160}\x{2800}\x{3164}\x{FFA0}]*'
_SIGN = (
    r"[=+\-@\x{2212}\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}\x{FE62}\x{FE63}\x{FE66}\x{FE6B}"
    r"\x{207A}-\x{207C}\x{208A}-\x{208C}\x{FE58}\x{2795}\x{2796}]"
)
_BEGINS = rf"^(?:[\t\r\n]|{_UNSEEN}{_SIGN})"
_BEGINS_LATER = rf"([;|\t\r\n])({_UNSEEN}{_SIGN})"
_IN_JSON = {";": r"\u003b", "|": r"\u007c"}


def guarded(name: str) -> pl.Expr:
    """A column of received text."""
    inner = pl.col(name).str.replace_all(_BEGINS_LATER, "${1}'${2}")
    return _guarded_begin(inner).alias(name)


def guarded_json(name: str) -> pl.Expr:
    """A column of JSON: the separator is written as its escape, and the value stays the same."""
    text = pl.col(name).str.replace_all(r"\t", " ")  # raw ones stand between tokens only
    for sign, escape in _IN_JSON.items():
        text = text.str.replace_all(rf"[{sign}]({_UNSEEN}{_SIGN})", rf"{escape}${{1}}")
    return _guarded_begin(text).alias(name)


def _guarded_begin(text: pl.Expr) -> pl.Expr:
    return (
        pl.when(text.str.contains(_BEGINS)).then(pl.concat_str(pl.lit("'"), text)).otherwise(text)
    )


def shortened(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with every text cut to what a spreadsheet keeps, and marked where it was."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    longest = frame.select(pl.col(texts).str.len_bytes().max()).row(0) if texts else ()
    long = [name for name, size in zip(texts, longest, strict=True) if (size or 0) > LONGEST_CELL]
    return frame.with_columns(pl.Series(name, [*map(_short, frame[name])]) for name in long)


def _short(text: str | None) -> str | None:
    if text is None or _units(text) <= LONGEST_CELL:
        return text
    mark = _MARK.format(len(text))
    room = LONGEST_CELL - _units(mark)
    kept = text[:room].encode("utf-16-le")[: 2 * room].decode("utf-16-le", "ignore")
    return kept + mark


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
