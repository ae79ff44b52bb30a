"""The folder of the report: one page, a page per cell, figures and what makes them readable; opens from disk."""

import ctypes
import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dissect.cells.reported import ReportManifest
from dissect.present.figures.look import CONFIGS
from dissect.present.report.cell_page import build_cell_page
from dissect.present.report.direct_answers import SHOWN
from dissect.present.report.markup import environment
from dissect.present.report.page import TABLES_DIR, build_page, cell_entries
from dissect.present.report.questions import WORDS
from dissect.present.tables.lay_out import LaidOut
from dissect.results.atomic import write_atomically

_HERE = Path(__file__).parent
ASSETS = ("report.css", "charts.css", "theme.js", "page.js", "charts.js", "recommend.js", "state.js", "needs.js")
LIBRARY = "vega.js"
"""Vega, Vega-Lite and Vega-Embed: what draws the figures in the browser."""


def write_report(manifest: Path, index: Path, project: Path) -> None:
    """Write index.html and what it links to, and remove the pages of cells that are gone.

    The row of a missing or broken result has the reason.

    Raises:
        LayoutError: a layout does not fit its cells.
        ChildProcessError: the process that writes the pages of cells failed.
    """
    folder = index.parent
    # Pages of cells are half of the work. In a process of their own, they also keep no run in memory. A fork need not
    # import again what is imported here, which takes longer than the pages of a small study.
    cells = get_context("fork").Process(target=_write_cells, args=(manifest, folder / "cells", project), daemon=True)
    cells.start()
    for name in ("figures", "tables", "predicted"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)

    def keep(name: str, laid: LaidOut) -> None:
        shutil.copyfile(project / TABLES_DIR / f"{name}.csv", folder / f"tables/{name}.csv")
        with (folder / f"tables/{name}.json").open("w", encoding="utf-8") as file:
            file.writelines(_json(laid))

    page = build_page(ReportManifest.model_validate_json(manifest.read_bytes()), manifest.parent, project, keep)
    _trim_heap()
    for name in ASSETS:
        shutil.copyfile(_HERE / "assets" / name, folder / name)
    _write_library(folder / LIBRARY)
    pictures = [item.figure for section in page.sections for item in section.items if item.figure]
    for figure in [*pictures, *([page.predictions[1]] if page.predictions else [])]:
        shutil.copyfile(figure, folder / "figures" / figure.name)
    for file, answers in (item for form in page.needs.values() for item in form.files.items()):
        (folder / f"predicted/{file}.js").write_text(_script(file, answers), encoding="utf-8")
    template = environment().get_template("page.html.j2")
    template.stream(page=page, themes=CONFIGS, words=WORDS, answers_shown=SHOWN).dump(str(index), encoding="utf-8")
    cells.join()
    if cells.exitcode:
        raise ChildProcessError(f"{folder / 'cells'}: pages are missing: their process ended with {cells.exitcode}")


def _script(name: str, answers: Mapping[str, Any]) -> str:
    """Answers as a script: from disk a page can load no other data."""
    rows = (
        f"{json.dumps(choice)}: {json.dumps(numbers, separators=(',', ':'))}" for choice, numbers in answers.items()
    )
    return f"predicted[{json.dumps(name)}] = {{\n" + ",\n".join(rows) + "\n};\n"


def _json(laid: LaidOut) -> Iterator[str]:
    """A row per line, without its empty fields."""
    between = "[\n"
    for row in laid.rows:
        filled = {name: row[name] for name in laid.columns if row[name] not in (None, "")}
        yield between + json.dumps(filled, ensure_ascii=False, allow_nan=False)
        between = ",\n"
    yield "\n]\n" if laid.rows else "[\n\n]\n"


def _trim_heap() -> None:
    """Give back what the runs of all cells took: the page's long texts fit into none of the gaps. With glibc only."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _write_library(path: Path) -> None:
    """As vl-convert carries it: no network is used. Bundled once per version, which takes seconds.

    In another process: its engine takes 100 MB until that ends.
    """
    stamp = f"// From vl-convert {version('vl-convert-python')}\n"
    if path.exists() and path.open(encoding="utf-8").readline() == stamp:
        return
    program = "import vl_convert; print(vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;'), end='')"
    bundle = subprocess.check_output([sys.executable, "-X", "utf8", "-c", program])
    write_atomically(path, stamp.encode() + bundle)


def _write_cells(manifest: Path, folder: Path, project: Path) -> None:
    """A page per cell that has a run, written where it differs from the one that is there; pages of other cells go."""
    gc.disable()  # Nothing that is read refers to itself.
    template = environment().get_template("cell.html.j2")
    folder.mkdir(parents=True, exist_ok=True)
    gone = {path.name for path in folder.iterdir()}
    wanted = ReportManifest.model_validate_json(manifest.read_bytes())
    for entry in cell_entries(wanted, manifest.parent):
        if cell := build_cell_page(entry, project, wanted.suite):
            path, text = folder / f"{entry.key}.html", template.render(cell=cell).encode()
            if path.name not in gone or path.read_bytes() != text:
                path.write_bytes(text)
            gone.discard(path.name)
    for name in gone:
        (folder / name).unlink()
