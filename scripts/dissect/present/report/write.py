"""The folder of the report: one page, a page per cell, figures and what makes them readable; opens from disk."""

import json
import shutil
from functools import cache
from pathlib import Path

import pandas as pd
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dissect.cells.reported import ReportManifest
from dissect.present.figures.look import CONFIGS
from dissect.present.report.cell_page import build_cell_page
from dissect.present.report.page import Page, build_page
from dissect.present.tables.tidy import plain_rows, to_csv

_HERE = Path(__file__).parent
ASSETS = ("report.css", "charts.css", "theme.js", "page.js", "charts.js", "recommend.js")
LIBRARY = "vega.js"
"""Vega, Vega-Lite and Vega-Embed: what draws the figures in the browser."""


def write_report(manifest: Path, index: Path, project: Path) -> None:
    """Write index.html and what it links to, and remove the pages of cells that are gone.

    Raises:
        ResultError: a result is missing or broken.
        LayoutError: a layout does not fit its cells.
    """
    wanted = ReportManifest.model_validate_json(manifest.read_bytes())
    page = build_page(wanted, manifest.parent, project)
    templates = environment()
    folder = index.parent
    for name in ("cells", "figures", "tables"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    for name in ASSETS:
        shutil.copyfile(_HERE / "assets" / name, folder / name)
    (folder / LIBRARY).write_text(_library(), encoding="utf-8")
    for figure in (item.figure for section in page.sections for item in section.items if item.figure):
        shutil.copyfile(figure, folder / "figures" / figure.name)
    for item in (item for section in page.sections for item in section.items):
        (folder / f"tables/{item.name}.csv").write_text(to_csv(item.numbers), encoding="utf-8")
        (folder / f"tables/{item.name}.json").write_text(_json(item.numbers), encoding="utf-8")
    _write_cells(page, templates, folder / "cells", project)
    index.write_text(templates.get_template("page.html.j2").render(page=page, themes=CONFIGS), encoding="utf-8")


def _json(numbers: pd.DataFrame) -> str:
    """A row per line, without its empty fields."""
    rows = ({name: value for name, value in row.items() if value not in (None, "")} for row in plain_rows(numbers))
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows) + "\n]\n"


@cache
def _library() -> str:
    """As vl-convert carries it: no network is used."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def environment() -> Environment:
    """Templates: whatever is put into them is escaped, and a name that they do not have is an error."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # What sorting needs, and no digit more: there are thousands.
    made.filters["round_to_six"] = "{:.6g}".format
    return made


def _write_cells(page: Page, templates: Environment, folder: Path, project: Path) -> None:
    template = templates.get_template("cell.html.j2")
    for entry in page.cells:
        text = template.render(cell=build_cell_page(entry, project))
        (folder / f"{entry.key}.html").write_text(text, encoding="utf-8")
