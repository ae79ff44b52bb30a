"""Small multiples: one panel per value of an axis, side by side, with one legend above."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import Axis, FigureLayout
from dissect.present.figures.outcomes import write_outcomes
from dissect.present.figures.style import COLUMN_WIDTH_IN, GREY, look
from dissect.present.tables.labels import axis_label
from dissect.present.tables.marks import mark
from dissect.present.tables.tidy import plain_rows

Row = Mapping[str, Any]
PAGE_WIDTH_IN = 7.16
"""Two columns of a paper and the space between them."""


@dataclass(frozen=True)
class Series:
    """One line, or the bars of one kind: its first axis gives the colour, the others the style."""

    place: tuple[Any, ...]
    colour: int
    style: int


@dataclass(frozen=True)
class Panels:
    """The rows of the CSV, and how they are spread over panels and series."""

    manifest: Manifest
    layout: FigureLayout
    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> "Panels":
        """From the tidy CSV."""
        return cls(manifest, layout, plain_rows(frame))

    @property
    def panel_axis(self) -> Axis:
        """Its values make the panels."""
        return self.layout.x[0]

    @property
    def has_numbers(self) -> bool:
        """Whether there is anything to draw."""
        return any(row["status"] == Status.OK for row in self.rows)

    def values(self, axis: Axis) -> list[Any]:
        """Its values as they first appear."""
        return list(dict.fromkeys(row[axis] for row in self.rows))

    def series(self) -> list[Series]:
        """All of them, those of one colour side by side."""
        places = dict.fromkeys(tuple(row[axis] for axis in self.layout.series) for row in self.rows)
        colours = list(dict.fromkeys(place[0] for place in places))
        styles = list(dict.fromkeys(place[1:] for place in places))
        return [Series(place, colours.index(place[0]), styles.index(place[1:])) for place in places]

    def colour_label(self, series: Series) -> str:
        """Of all series of its colour."""
        return axis_label(self.manifest, self.layout.series[0], series.place[0])

    def style_label(self, series: Series) -> str:
        """Of all series of its style."""
        named = zip(self.layout.series[1:], series.place[1:], strict=True)
        return ", ".join(axis_label(self.manifest, axis, value) for axis, value in named)

    def outcomes(self, rows: Sequence[Row], colour: int) -> str:
        """In words, how the cells of one colour ended that have no numbers; once where they all ended alike."""
        ended = {
            self.style_label(series): text(row)
            for series in self.series()
            for row in self.of_series(series)
            if series.colour == colour and row["status"] != Status.OK and row in rows
        }
        if len(set(ended.values())) == 1 and len(ended) == len({s.style for s in self.series() if s.colour == colour}):
            return next(iter(ended.values()))
        return ", ".join(f"{style} {outcome}" for style, outcome in ended.items())

    def of_series(self, series: Series, **where: Any) -> list[dict[str, Any]]:
        """The rows of one series, at some values of other axes."""
        wanted = dict(zip(self.layout.series, series.place, strict=True)) | where
        return [row for row in self.rows if all(row[axis] == value for axis, value in wanted.items())]

    def title(self, value: Any) -> str:
        """Above a panel."""
        return axis_label(self.manifest, self.panel_axis, value)


def panel_axes(count: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure as wide as one column for one panel, as wide as the page for more."""
    figure = Figure(figsize=(COLUMN_WIDTH_IN if count == 1 else PAGE_WIDTH_IN, height))
    return figure, figure.subplots(1, count, squeeze=False)[0]


def text(row: Row) -> str:
    """An outcome in a word or two."""
    return mark(row).text


def add_legend(figure: Figure, panels: Panels, swatch: Callable[[str, int], Artist]) -> None:
    """Colours, then styles in grey where there are several; ``swatch`` draws one for a colour and a style."""
    series = panels.series()
    drawn = {one.colour for one in series if any(row["status"] == Status.OK for row in panels.of_series(one))}
    handles = {panels.colour_label(one): swatch(look(one.colour)[0], 0) for one in series if one.colour in drawn}
    styles = {panels.style_label(one): swatch(GREY, one.style) for one in series}
    handles |= styles if len(styles) > 1 else {}
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper left",
        ncols=6 if figure.get_figwidth() > COLUMN_WIDTH_IN else 2, handlelength=2.2, borderaxespad=0.2,
    )  # fmt: skip


def say_why_empty(panels: Panels) -> Figure:
    """In place of a drawing: every outcome with its reason."""
    figure, (axes,) = panel_axes(1, 2.2)
    said = []
    for series in panels.series():
        for row in panels.of_series(series):
            entry = mark(row)
            where = ", ".join(
                (panels.colour_label(series), panels.style_label(series), panels.title(row[panels.panel_axis]))
            )
            said.append(f"{where}: {(entry.notes or (entry.text,))[0]}")
    write_outcomes(axes, "No cell of this figure has a number", said)
    return figure
