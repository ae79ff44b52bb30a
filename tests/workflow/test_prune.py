"""Pruning as users call it: a dry run unless they mean it, and nothing is measured that has a run left."""

from pathlib import Path

from clones import stubbed_clone

CELL = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"
TABLE = {"tables: all": "tables: [table_III]", "figures: all": "figures: []"}


def test_prune_names_runs_and_removes_them_only_if_meant(tmp_path: Path) -> None:
    clone = stubbed_clone(tmp_path / "clone")
    for old, new in TABLE.items():
        clone.edit("config/config.yaml", old, new)
    assert "expected at least one" in clone.snakemake("prune", expect=1).output
    clone.snakemake("all")
    clone.snakemake("remeasure", "--config", f"select={CELL}")
    clone.snakemake("all")
    clone.measured()
    before = clone.bytes_of("store/*/runs/*/*")
    asked = ("prune", "--config", "select=pretrain/cpu/*/*/*/*", "older_than=1")
    run = clone.snakemake(*asked)
    assert "would be removed: 1 runs of 1 cells" in run.output
    assert "stays: last run of a cell that this configuration wants" in run.output
    assert clone.bytes_of("store/*/runs/*/*") == before
    assert "\nremoved: 1 runs of 1 cells" in clone.snakemake(*asked, "really=true").output
    left = clone.bytes_of("store/*/runs/*/*")
    assert left.items() < before.items()
    assert len(before) - len(left) == 2
    clone.snakemake("all")
    assert clone.measured() == []
    run = clone.snakemake("prune", "--config", f"select={CELL}", "really=true")
    assert "\nremoved: 1 runs of 1 cells" in run.output
    assert list((clone.folder / f"results/cells/{CELL}").iterdir()) == []
    clone.snakemake("all")
    assert clone.measured() == [CELL], "what has no run is measured again"


def test_what_was_pruned_does_not_come_back_with_fewer_runs(tmp_path: Path) -> None:
    clone = stubbed_clone(tmp_path / "clone")
    for old, new in TABLE.items():
        clone.edit("config/config.yaml", old, new)
    asked = ("cells", "--config", f"select={CELL}")
    clone.snakemake(*asked)
    clone.measured()
    run = clone.snakemake("prune", "--config", f"select={CELL}", "runs=3", "really=true")
    assert "\nremoved: 1 runs of 1 cells" in run.output
    assert list((clone.folder / f"results/cells/{CELL}").iterdir()) == [], "its file, which lacks runs, is withdrawn"
    clone.snakemake(*asked)
    assert clone.measured() == [CELL]
