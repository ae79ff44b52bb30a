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
    file = theirs.folder / "h200.tar.gz"
    run = ours.snakemake("references", "--config", f"file={file}", "into=lab")
    assert "config/references/lab: 1 runs of " in run.output
    assert "1 cells with 1 runs in 1 sets" in run.output
    return ours


def test_a_reference_is_shown_with_its_origin_and_satisfies_no_cell(clone: Clone) -> None:
    clone.snakemake(TABLE, *CONFIG)
    assert not [cell for cell in clone.measured() if "h200" in cell]
    text = (clone.folder / TABLE).read_text()
    assert "H200 (reference lab)" in text
    assert "not of this clone; measured 2026-03-01 (UTC) on Intel" in text
    rows = (clone.folder / TABLE.replace(".md", ".csv")).read_text().splitlines()
    assert sum("h200@lab" in row for row in rows) == 1
    clone.snakemake("cells", "--config", f"select={CELLS}")
    assert clone.measured() == ["pretrain/h200/llama2-7b/deepspeed/Z2/s350-b1-n1"]


def test_a_set_that_goes_draws_its_tables_again_and_nothing_else(clone: Clone) -> None:
    clone.snakemake(TABLE, *CONFIG)
    clone.measured()
    assert clone.snakemake("-n", TABLE, *CONFIG).jobs == []
    shutil.rmtree(clone.folder / "config/references/lab")
    assert clone.snakemake(TABLE, *CONFIG).jobs == ["Write table table_III"]
    assert clone.measured() == []
    assert "reference" not in (clone.folder / TABLE).read_text()
    assert list((clone.folder / "results/references").iterdir()) == []


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("{", "(top level): Invalid JSON"),
        ('{"schema_version": 2, "cells": {}}', "only exports of version 1 are unpacked"),
    ],
)
def test_a_wrong_manifest_is_named_before_anything_runs(tmp_path: Path, manifest: str, says: str) -> None:
    clone = stubbed_clone(tmp_path / "clone")
    (clone.folder / "config/references/old").mkdir()
    (clone.folder / "config/references/old/manifest.json").write_text(manifest)
    run = clone.snakemake("-n", TABLE, expect=1)
    assert f"config/references/old/manifest.json: {says}" in run.output
    assert "snakemake references --config file=<its export> into=old" in run.output
