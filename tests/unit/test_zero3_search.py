"""The letter ZT is what a search on GPUs found, and docs show that search."""

import csv
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from dissect.config.catalog import load_catalog
from dissect.stages.training.deepspeed.knobs import Stage3Choice, Stage3Sizes

ROOT = Path(__file__).parents[2]
SEARCH = ROOT / "tests/data/zero3_h200.csv"
CHOICE: TypeAdapter[Stage3Choice] = TypeAdapter(Stage3Choice)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with SEARCH.open() as file:
        return sorted(csv.DictReader(file), key=lambda row: float(row["step_s"]))


def sizes_of(row: dict[str, str]) -> Stage3Choice:
    text = row["sizes"]
    return CHOICE.validate_json(text) if text.startswith("{") else CHOICE.validate_python(text)


def test_zt_is_the_fastest_setting(rows: list[dict[str, str]]) -> None:
    knobs = load_catalog(ROOT, {}).methods.letters["ZT"].knobs_with["Z3"]
    assert knobs.stage3_sizes == sizes_of(rows[0])
    assert isinstance(knobs.stage3_sizes, Stage3Sizes)


def test_docs_show_every_setting(rows: list[dict[str, str]]) -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    for row in rows:
        numbers = f"| {float(row['step_s']):.3f} | {float(row['device_s']):.3f} | {float(row['peak_gib']):.1f} |\n"
        assert numbers in page, row["sizes"]
