"""A table with its layout, before it becomes Markdown or LaTeX."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Origin:
    """The cell behind an entry, by its ids."""

    key: str | None
    """Key of the cell; None where nothing can be measured."""
    stage: str
    platform: str
    """Platform, ``<platform>@<set>`` for a reference."""
    model: str
    framework: str
    method: str
    reason: str | None = None
    """Reason why the cell has no numbers; None if it has."""


@dataclass(frozen=True, slots=True)
class GridEntry:
    """One entry of a table with its footnotes."""

    text: str
    notes: tuple[str, ...] = ()
    origin: Origin | None = None
    """Cell of the entry; None where the table has no cell."""
    value: float | None = None
    """Number as in the CSV; None for an entry without a number."""


@dataclass(frozen=True)
class Grid:
    """One table, or one part of a table that is split."""

    name: str
    title: str
    caption: str
    row_names: tuple[str, ...]
    """Headers of the columns that name a row."""
    rows: list[tuple[str, ...]]
    columns: list[tuple[str, ...]]
    """Headers of each column, outermost level first, all of the same depth."""
    entries: list[list[GridEntry]]
    """Entries row by row."""
    alignment: Literal["left", "right"] = "right"
    """Alignment of the entries; numbers are right-aligned."""
    remarks: list[str] = field(default_factory=list)
    """Sentences below the table that belong to no single entry."""


@dataclass
class Footnotes:
    """Letters of footnotes; equal texts have the same letter."""

    texts: list[str] = field(default_factory=list)

    def letters(self, notes: tuple[str, ...]) -> str:
        """Letters of these notes, such as ``a,c``; new ones are added."""
        self.texts.extend(note for note in dict.fromkeys(notes) if note not in self.texts)
        return ",".join(letter(self.texts.index(note)) for note in notes)


def letter(index: int) -> str:
    """Letter of an index: 0 -> a, 25 -> z, 26 -> aa."""
    high, low = divmod(index, 26)
    return (letter(high - 1) if high else "") + chr(ord("a") + low)
