"""What a section is made of. All texts are harmless (`wording.shown`), and none is HTML-escaped.

The templates know these blocks and nothing of what they say: a section brings no markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Paragraph:
    kind: ClassVar[str] = "paragraph"
    text: str
    style: Literal["plain", "lead", "note", "small"] = "plain"


@dataclass(frozen=True, slots=True)
class Banner:
    """A coloured box; what a reader has to see first."""

    kind: ClassVar[str] = "banner"
    tone: Literal["good", "bad", "warn"]
    label: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Large figures, three a row: (label, value)."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A file beside report.html that travels with the mail; `text` stands for it without images."""

    kind: ClassVar[str] = "picture"
    file: str
    text: str
    width: int


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = False
    width: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    strong: str = ""
    """before the text, in bold"""
    under: str = ""
    """a second line, quiet"""
    quiet: bool = False
    span: int = 1
    tone: str = ""
    """`good`, `bad` or `warn`: the cell's mark"""


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Cell, ...]
    text: str
    """the row in the text part; may be several lines"""
    head: Cell | None = None
    """stands above the row, as wide as the table"""


@dataclass(frozen=True, slots=True)
class Table:
    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str = ""
    """said instead of a table without rows"""
    title: str = ""
    """a smaller heading within the section"""


Block = Paragraph | Banner | Tiles | Picture | Table


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report: drawn when it has blocks; `json` goes into report.json as it is."""

    title: str = ""
    blocks: tuple[Block, ...] = ()
    json: Mapping[str, Any] = field(default_factory=dict)
