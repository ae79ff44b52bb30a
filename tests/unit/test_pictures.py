"""Pictures of the docs show what figures look like today; `make pictures` draws them anew."""

from pathlib import Path

import pytest

from dissect.cells.study import load_study
from dissect.config.layout import FigureLayout
from dissect.present.figures.describe import describe
from dissect.present.figures.draw import save
from dissect.present.tables.tidy import read_records, tidy_rows
from dissect.present.tables.views import VIEWS

ROOT = Path(__file__).parents[2]
IHDR = slice(16, 24)
"""Where a PNG has its width and height."""
PICTURES = {path.stem.removeprefix("h200_"): path for path in sorted((ROOT / "docs/images").glob("h200_*.png"))}


def test_the_docs_show_every_picture() -> None:
    page = (ROOT / "docs/gpus.md").read_text()
    assert all(f"images/{path.name}" in page for path in PICTURES.values())
    assert PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_looks_like_its_figure_of_today(shipped: Path, tmp_path: Path, name: str) -> None:
    """By its width, its height and about its size: another processor may round a pixel in another way."""
    manifest = load_study(shipped, {"platforms": []}).manifest(name)
    layout = FigureLayout.model_validate(manifest.layout)
    rows = tidy_rows(read_records(manifest, shipped), VIEWS[layout.view])
    save(describe(manifest, layout, rows), tmp_path / "figure.png")
    today, shown = (tmp_path / "figure.png").read_bytes(), PICTURES[name].read_bytes()
    assert today[IHDR] == shown[IHDR], "run `make pictures`"
    assert len(today) == pytest.approx(len(shown), rel=0.01), "run `make pictures`"
