"""Reference results stand beside one's own cells and never in their place."""

import shutil
from pathlib import Path

import pytest

from clones import Clone, stubbed_clone

TABLE = "results/tables/table_III.md"
CELLS = "pretrain/h200/llama2-7b/deepspeed/Z2/*"
CONFIG = ("--config", "models=[llama2-7b]")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone with a set of one cell that another one measured."""
    theirs = stubbed_clone(tmp_path / "theirs")
    theirs.snakemake("cells", "--config", f"select={CELLS}")
    theirs.snakemake("export", "--config", f"select={CELLS}", "file=h200.tar.gz")
    ours = stubbed_clone(tmp_path / "ours")
    shutil.unpack_archive(theirs.folder / "h200.tar.gz", ours.folder / "config/references/lab")
    return ours


def test_a_reference_is_shown_with_its_origin_and_satisfies_no_cell(clone: Clone) -> None:
    clone.snakemake(TABLE, *CONFIG)
    assert not [cell for cell in clone.measured() if "h200" in cell]
    text = (clone.folder / TABLE).read_text()
    assert "H200 (reference)" in text
    assert "not of this clone; measured 2026-03-01 (UTC) on Intel" in text
    rows = (clone.folder / TABLE.replace(".md", ".csv")).read_text().splitlines()
    assert sum("h200@lab" in row for row in rows) == 1
    clone.snakemake("cells", "--config", f"select={CELLS}")
    assert clone.measured() == ["pretrain/h200/llama2-7b/deepspeed/Z2/s350-b1-n4"]


def test_a_set_that_goes_draws_its_tables_again_and_nothing_else(clone: Clone) -> None:
    clone.snakemake(TABLE, *CONFIG)
    clone.measured()
    assert clone.snakemake("-n", TABLE, *CONFIG).jobs == []
    (clone.folder / "config/references/lab/manifest.json").unlink()
    assert clone.snakemake(TABLE, *CONFIG).jobs == ["Write table table_III"]
    assert clone.measured() == []
    assert "reference" not in (clone.folder / TABLE).read_text()
    assert list((clone.folder / "results/references").iterdir()) == []


def test_a_broken_set_is_named_before_anything_runs(clone: Clone) -> None:
    (clone.folder / "config/references/lab/manifest.json").write_text("{")
    run = clone.snakemake("-n", TABLE, expect=1)
    assert "config/references/lab/manifest.json: (top level): Invalid JSON" in run.output
