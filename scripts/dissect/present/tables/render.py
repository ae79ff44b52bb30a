"""Renders grids as Markdown (GitHub's), LaTeX (booktabs) and plain HTML, by pandas."""

import itertools
import re
from collections.abc import Callable
from html import escape as escape_html

import pandas as pd

from dissect.present.tables.grid import Footnotes, Grid, GridEntry, letter

LATEX_HEAD = "% Needs \\usepackage{booktabs,graphicx}. Written by scripts/write_table.py: edits are lost.\n"
HTML_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 1.5em }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25em .8em; border: 1px solid #ddd; white-space: nowrap }}
</style></head><body>
"""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "–": "--", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "µ": r"$\mu$",
    "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "→": r"$\to$", "ᵀ": r"\textsuperscript{T}", "…": r"\dots{}",
    "·": r"$\cdot$", "²": "$^2$", "⁹": "$^9$",
}  # fmt: skip
"""The ten special characters, which pandas and tabulate escape as well, and those that a plain pdflatex cannot set."""


def markdown(grids: list[Grid]) -> str:
    """All parts of a table as Markdown, one below the other."""
    return "\n".join(_markdown_part(grid) for grid in grids)


def latex(grids: list[Grid]) -> str:
    """All parts of a table as LaTeX, one ``table*`` per part, for a document to input."""
    return LATEX_HEAD + "\n".join(_latex_part(grid) for grid in grids)


def html(grids: list[Grid]) -> str:
    """All parts of a table as one self-contained HTML page, which ``snakemake --report`` shows."""
    title = grids[0].title if grids else "No cell"
    return HTML_HEAD.format(escape_html(title)) + "".join(map(_html_part, grids)) + "</body></html>\n"


def escape_markdown(text: str) -> str:
    """Text escaped for Markdown, on one line."""
    return re.sub(r"([\\`*_|<>])", r"\\\1", " ".join(text.split()))


def escape_latex(text: str) -> str:
    """Text escaped for LaTeX, on one line."""
    escaped = "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
    # A row that starts with a bracket would be read as the argument of the line break before it.
    return "{}" + escaped if escaped.startswith("[") else escaped


def subject(title: str) -> str:
    """The title without its number, which the document sets: ``Table II: a`` -> ``A``."""
    bare = re.sub(r"^(Table|Figure) \w+: ", "", title)
    return bare[:1].upper() + bare[1:]


def _markdown_part(grid: Grid) -> str:
    footnotes = Footnotes()
    frame = _frame(grid, footnotes, escape_markdown, "<sup>{}</sup>")
    if isinstance(frame.columns, pd.MultiIndex):
        frame.columns = pd.Index(["<br>".join(filter(None, path)) for path in frame.columns])
    align = ["left"] * len(grid.row_names) + [grid.alignment] * len(grid.columns)
    body = frame.to_markdown(index=False, colalign=align, disable_numparse=True)
    notes = [f"<sup>{letter(i)}</sup> {escape_markdown(note)}" for i, note in enumerate(footnotes.texts)]
    below = "".join(f"- {line}\n" for line in [*notes, *map(escape_markdown, grid.remarks)])
    head = f"**{escape_markdown(grid.title)}**\n\n{escape_markdown(grid.caption)}\n\n"
    return f"{head}{body}\n\n{below}"


def _html_part(grid: Grid) -> str:
    footnotes = Footnotes()
    frame = _frame(grid, footnotes, escape_html, "<sup>{}</sup>")
    body = frame.to_html(index=False, escape=False, border=0, justify="left")
    notes = [f"<sup>{letter(i)}</sup> {escape_html(note)}" for i, note in enumerate(footnotes.texts)]
    below = "".join(f"<li>{line}</li>\n" for line in [*notes, *map(escape_html, grid.remarks)])
    return f"<h1>{escape_html(grid.title)}</h1>\n<p>{escape_html(grid.caption)}</p>\n{body}\n<ul>\n{below}</ul>\n"


def _latex_part(grid: Grid) -> str:
    footnotes = Footnotes()
    frame = _frame(grid, footnotes, escape_latex, r"\textsuperscript{{{}}}")
    alignment = "l" * len(grid.row_names) + grid.alignment[0] * len(grid.columns)
    tabular = frame.to_latex(index=False, escape=False, multicolumn_format="c", column_format=alignment).rstrip()
    if isinstance(frame.columns, pd.MultiIndex):
        tabular = _with_group_rules(tabular, list(frame.columns))
    notes = [rf"\textsuperscript{{{letter(i)}}} {escape_latex(note)}" for i, note in enumerate(footnotes.texts)]
    below = "\\\\\n".join([*notes, *map(escape_latex, grid.remarks)])
    return (
        "\\begin{table*}[htbp]\n\\centering\n\\small\n"
        f"\\caption{{{escape_latex(subject(grid.title))}. {escape_latex(grid.caption)}}}\n\\label{{tab:{grid.name}}}\n"
        "\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%\n"
        f"{tabular}}}\n\\par\\smallskip\n"
        f"\\begin{{minipage}}{{\\textwidth}}\\footnotesize\\raggedright\n{below}\n\\end{{minipage}}\n\\end{{table*}}\n"
    )


def _frame(grid: Grid, footnotes: Footnotes, escape: Callable[[str], str], superscript: str) -> pd.DataFrame:
    """The grid as escaped strings; the labels of rows are its first columns."""

    def text(entry: GridEntry) -> str:
        marks = footnotes.letters(entry.notes)
        return escape(entry.text) + (superscript.format(marks) if marks else "")

    above = ("",) * (len(grid.columns[0]) - 1)
    header = [(*above, name) for name in grid.row_names] + grid.columns
    lines = zip(grid.rows, grid.entries, strict=True)
    body = [[*map(escape, labels), *map(text, entries)] for labels, entries in lines]
    paths = [tuple(map(escape, path)) for path in header]
    # Of one level, a MultiIndex would print its tuples.
    return pd.DataFrame(body, columns=pd.MultiIndex.from_tuples(paths) if above else [path[0] for path in paths])


def _with_group_rules(tabular: str, columns: list[tuple[str, ...]]) -> str:
    """Add a thin rule below each header that spans columns, which pandas does not draw."""
    lines = tabular.splitlines()
    top = lines.index(r"\toprule")
    for level in reversed(range(len(columns[0]) - 1)):
        groups = itertools.groupby(range(len(columns)), key=lambda i: columns[i][: level + 1])
        spans = [(path[-1], [*members]) for path, members in groups]
        rules = [rf"\cmidrule(lr){{{m[0] + 1}-{m[-1] + 1}}}" for name, m in spans if name]
        lines.insert(top + 2 + level, " ".join(rules))
    return "\n".join(lines)
