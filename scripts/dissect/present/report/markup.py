"""Templates, and as filters the parts of pages that there are thousands of, for which templates take thrice as long."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dissect.present.report.grid_table import GridPlace

_escaped = lru_cache(maxsize=1 << 14)(escape)
"""Most words of a page are those of the page before."""


def environment() -> Environment:
    """Templates: whatever is put into them is escaped, and a name that they do not have is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"pairs": _pairs, "lines": _lines, "ids": _ids, "places": _places}
    return made


def _pairs(values: Iterable[tuple[str, str]]) -> Markup:
    """Terms and their descriptions."""
    return Markup(
        "\n".join(f"<div><dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd></div>" for name, value in values)
    )


def _lines(values: Iterable[Sequence[str]]) -> Markup:
    """Rows of a table, each with its header first."""
    return Markup(
        "\n".join(
            f'<tr><th scope="row">{_escaped(first)}</th>{"".join(f"<td>{_escaped(text)}</td>" for text in others)}</tr>'
            for first, *others in values
        )
    )


def _ids(values: Mapping[str, str]) -> Markup:
    """Attributes of what the page is filtered by; those that a whole table or row shares stand on it alone."""
    return Markup("".join(f' data-{name}="{_escaped(value)}"' for name, value in values.items()))


def _places(places: Iterable[GridPlace]) -> Markup:
    """Entries of a row, each with the number to sort by in six digits, its interval, reason and marks."""
    return Markup("".join(map(_place, places)))


def _place(place: GridPlace) -> str:
    text, title = _escaped(place.text), ""
    if place.interval:
        text += f"<small>{_escaped(place.interval)}</small>"
    if place.reason:
        reason = _escaped(place.reason)
        text, title = f'{text}<span class="vh">: {reason}</span>', f' title="{reason}"'
    if place.key:
        text = f'<a href="cells/{place.key}.html"{title}>{text}</a>'
    elif title:
        text = f"<span{title}>{text}</span>"
    kind = f' class="{place.kind}"' if place.kind else ""
    value = f' data-value="{place.value:.6g}"' if place.value is not None else ""
    marks = f"<sup>{_escaped(place.marks)}</sup>" if place.marks else ""
    return f"<td{kind}{value}{_ids(place.ids)}>{text}{marks}</td>"
