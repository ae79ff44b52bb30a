"""The invalidation contract of docs/design.md, point by point, by real runs of snakemake."""

import os
import shutil
import time
from pathlib import Path

import pytest

from clones import Clone
from dissect.results.cell_runs import read_runs

MAX_CELL = "pretrain/cpu/llama-tiny/ddp/Naive/s128-bmax-n2"
Z2_CELL = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"


def test_nothing_to_do_runs_nothing(variant: Clone) -> None:
    """Points 2 and 3: unchanged means nothing is measured, and tables come out byte for byte the same."""
    before = variant.bytes_of("tables/*") | variant.bytes_of("figures/*")
    variant.snakemake("all")
    assert variant.measured() == []
    assert variant.bytes_of("tables/*") | variant.bytes_of("figures/*") == before


def test_a_new_spec_measures_exactly_its_cells(variant: Clone) -> None:
    """Point 1, and point 3 for it: also without metadata and in a fresh clone."""
    variant.edit("config/config.yaml", "overrides: {}", "overrides: {'*/cpu/*/*/Z2/*': {sampling: {budget_s: 99}}}")
    run = variant.snakemake("all")
    assert variant.measured() == [Z2_CELL]
    assert "Write table table_III" in run.jobs


def test_only_the_tables_that_read_a_cell_are_built_again(clone: Clone) -> None:
    """Point 1."""
    clone.edit("config/config.yaml", "overrides: {}", "overrides: {'*/cpu/*/*/Z2/*': {sampling: {budget_s: 99}}}")
    run = clone.snakemake("all")
    assert sorted(run.jobs) == [f"Measure {Z2_CELL}", "Write report", "Write table table_III"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config/config.yaml", "suite: smoke", "suite:   smoke  # as always"),
        ("config/methods.yaml", "knobs: {zero_stage: 2}", "knobs: {  zero_stage:  0x2  }"),
        ("config/platforms/cpu.yaml", "interconnect: {kind", "scheduler: {partition: other}\ninterconnect: {kind"),
        ("config/platforms/cpu.yaml", "models: [llama-tiny]\n  seq_len: 128", "seq_len: 128\n  models: [llama-tiny]"),
        ("envs/train/requirements.txt", "torch==", "# pinned\ntorch=="),
        ("config/models/llama-tiny.yaml", "1.0e-5", "0.00001"),
    ],
    ids=["comment", "notation", "partition", "key order", "comment in a lock", "number"],
)
def test_what_changes_no_number_runs_nothing(clone: Clone, file: str, old: str, new: str) -> None:
    """Point 2."""
    clone.edit(file, old, new)
    assert clone.snakemake("all").jobs == []


def test_touched_files_run_nothing(clone: Clone) -> None:
    """Point 2."""
    for path in [*(clone.folder / "config").rglob("*.yaml"), *(clone.folder / "rules").iterdir()]:
        path.touch()
    assert clone.snakemake("all").jobs == []


def test_a_label_redraws_and_measures_nothing(variant: Clone) -> None:
    """Point 2: labels are no part of a cell."""
    variant.edit("config/platforms/cpu.yaml", "label: CPU", "label: Laptop")
    run = variant.snakemake("all")
    assert variant.measured() == []
    assert {"Write table table_III", "Draw figure fig_4"} <= set(run.jobs)


def test_plot_settings_touch_their_own_figure_only(clone: Clone) -> None:
    """Point 2."""
    clone.edit("config/experiments/fig_4.yaml", "caption: Throughput", "caption: The throughput")
    assert set(clone.snakemake("all").jobs) == {"Write table fig_4", "Draw figure fig_4", "Write report"}
    assert clone.measured() == []


def test_going_back_measures_nothing(clone: Clone) -> None:
    """Point 4."""
    before = clone.bytes_of("tables/*.csv")
    clone.edit("config/methods.yaml", "knobs: {zero_stage: 2}", "knobs: {zero_stage: 1}")
    clone.snakemake("all")
    assert len(clone.measured()) == 2
    clone.edit("config/methods.yaml", "knobs: {zero_stage: 1}", "knobs: {zero_stage: 2}")
    run = clone.snakemake("all")
    assert run.jobs == ["Write table table_III", "Write report"]
    assert clone.bytes_of("tables/*.csv") == before


def test_more_runs_measure_what_is_missing_and_fewer_measure_nothing(variant: Clone) -> None:
    """Points 1, 3 and 4 for runs: 1, 3, 5, 3 of the cells of one table."""
    variant.edit("config/experiments/table_IV.yaml", "stage: pretrain", "stage: pretrain\nruns: 3")
    run = variant.snakemake("all")
    assert variant.measured() == [MAX_CELL] * 2
    assert run.jobs[0] == "Measure the cells of cpu in rounds"
    assert {"Write table table_IV", "Write report"} <= set(run.jobs)
    variant.edit("config/experiments/table_IV.yaml", "runs: 3", "runs: 5")
    assert "Measure the cells of cpu in rounds" in variant.snakemake("-n", "all").jobs
    run = variant.snakemake("all")
    assert variant.measured() == [MAX_CELL] * 2
    five = variant.cell_file(MAX_CELL).read_bytes()
    variant.edit("config/experiments/table_IV.yaml", "runs: 5", "runs: 3")
    assert variant.snakemake("all").jobs == []
    assert variant.cell_file(MAX_CELL).read_bytes() == five, "no run is left out"


def test_a_plan_for_more_runs_leaves_no_trace(clone: Clone) -> None:
    """A dry run withdraws what lacks runs, and the next one publishes it again with its old time."""
    before = clone.cell_file(MAX_CELL).stat().st_mtime_ns
    assert f"Measure {MAX_CELL}" in clone.snakemake("-n", "all", "--config", "runs=2").jobs
    assert clone.snakemake("all").jobs == []
    assert clone.cell_file(MAX_CELL).stat().st_mtime_ns == before


def test_a_table_alone_gets_the_runs_that_its_cells_lack(clone: Clone) -> None:
    """Point 1 where table and cell are there: Snakemake alone would take the table for up to date."""
    csv = "results/tables/table_IV.csv"
    assert clone.snakemake(csv).jobs == []
    assert clone.snakemake("-n", csv, "--config", "runs=2").jobs == [f"Measure {MAX_CELL}", "Write table table_IV"]
    assert clone.snakemake(csv).jobs == []
    assert clone.snakemake(csv, "--config", "runs=2").jobs == [f"Measure {MAX_CELL}", "Write table table_IV"]
    assert clone.measured() == [MAX_CELL]
    assert clone.snakemake(csv, "--config", "runs=2").jobs == []


def test_a_clock_that_was_ahead_hides_nothing(clone: Clone) -> None:
    tomorrow, before = time.time() + 86400, clone.bytes_of("tables/*")
    for path in (clone.folder / "results/tables").iterdir():
        os.utime(path, (tomorrow, tomorrow))
    assert clone.measured() == []
    clone.snakemake("remeasure", "--config", f"select={MAX_CELL}")
    assert "Write table table_IV" in clone.snakemake("all").jobs
    assert clone.bytes_of("tables/*").keys() == before.keys()
    assert clone.snakemake("all").jobs == []


def test_stores_merge_by_copying(clone: Clone, tmp_path: Path) -> None:
    """Runs of another clone count, and their cell is published with all of them."""
    other = clone.copy(tmp_path / "other")
    other.snakemake("remeasure", "--config", f"select={MAX_CELL}")
    theirs = other.cell_file(MAX_CELL)
    shutil.copytree(other.folder / "results/store", clone.folder / "results/store", dirs_exist_ok=True)
    assert "Write table table_IV" in clone.snakemake("all", "--config", "runs={smoke: 1}").jobs
    assert clone.cell_file(MAX_CELL).read_bytes() == theirs.read_bytes()
    assert clone.measured() == []


def test_more_runs_join_published_ones_that_were_copied_without_their_store(clone: Clone) -> None:
    shutil.rmtree(clone.folder / "results/store")
    before = read_runs(clone.cell_file(MAX_CELL)).ids
    clone.snakemake("remeasure", "--config", f"select={MAX_CELL}")
    assert clone.measured() == [MAX_CELL]
    ids = read_runs(clone.cell_file(MAX_CELL)).ids
    assert (set(before) < set(ids), len(ids)) == (True, 2)


def test_a_platform_more_its_lock_and_a_platform_less(clone: Clone) -> None:
    """Points 5 and 6."""
    clone.edit("config/config.yaml", "platforms: [cpu]", "platforms: [cpu, a800]")
    clone.edit("config/config.yaml", "models: [llama2-7b, llama2-13b, llama2-70b]", "models: [llama2-7b]")
    clone.snakemake("all")
    new = clone.measured()
    assert len(new) == 11
    assert {cell.split("/")[1] for cell in new} == {"a800"}
    clone.edit("envs/train-flash/requirements.txt", "torch==2.11.0", "torch==2.11.1")
    clone.snakemake("all")
    assert clone.measured() == [cell for cell in new if "F" in cell.split("/")[4].split("+")] != []
    clone.edit("config/config.yaml", "platforms: [cpu, a800]", "platforms: [cpu]")
    run = clone.snakemake("all")
    assert clone.measured() == []
    tables = {"Write table table_III", "Write table table_IV", "Write table fig_4"}
    assert set(run.jobs) == {*tables, "Draw figure fig_4", "Write report"}


def test_changed_code_draws_everything_again_and_measures_nothing(clone: Clone) -> None:
    """Point 7."""
    clone.own_scripts()
    assert clone.snakemake("all").jobs == [], "the same code elsewhere is no change"
    clone.edit("scripts/dissect/present/tables/marks.py", '"n/a"', '"none"')
    jobs = clone.snakemake("all").jobs
    assert clone.measured() == []
    assert set(jobs) == {
        *(f"Write table {name}" for name in ("table_III", "table_IV", "fig_4")), "Draw figure fig_4", "Write report"
    }  # fmt: skip


def test_what_the_store_has_is_published_without_its_environment(variant: Clone) -> None:
    """What Snakemake deleted, or never knew of, is still in the store: no job, and nothing is built or measured."""
    before = variant.bytes_of("tables/*") | variant.bytes_of("cells/**/*.json")
    shutil.rmtree(variant.folder / "results/cells")
    (variant.folder / "envs/run").write_text("#!/bin/sh\nexit 1\n")
    run = variant.snakemake("all")
    assert {job.split()[0] for job in run.jobs} <= {"Write", "Draw"}
    assert variant.bytes_of("tables/*") | variant.bytes_of("cells/**/*.json") == before
    assert variant.snakemake("all").jobs == []


def test_what_is_not_valid_in_the_store_is_not_published(clone: Clone) -> None:
    published = clone.cell_file("/Z2/")
    published.unlink()
    (stored,) = (clone.folder / "results/store" / published.stem / "runs").glob("*/result.json")
    stored.write_bytes(stored.read_bytes()[:500])
    clone.snakemake("all")
    assert clone.measured() == [Z2_CELL]


def test_a_broken_cell_is_measured_again_once_its_file_is_removed_as_its_table_says(clone: Clone) -> None:
    """In a suite of the command line, which no command made from the file could know."""
    table, cell_id = "results/tables/table_III.md", "pretrain/cpu/llama-tiny/deepspeed/Z3/s128-b1-n2"
    asked = ("all", "--config", "suite=full", "runs=1", "tables=[table_III]", "figures=[]")
    clone.snakemake(*asked)
    clone.measured()
    published = clone.cell_file("/Z3/")
    shutil.rmtree(clone.folder / "results/store" / published.stem)
    published.write_text('{"runs": [3]}')
    clone.snakemake(*asked)
    says = f"broken: {published.relative_to(clone.folder)}: is not a JSON object (truncated?); restore the"
    assert says in (clone.folder / table).read_text()
    published.unlink()
    clone.snakemake(*asked)
    assert clone.measured() == [cell_id]
    assert "broken" not in (clone.folder / table).read_text()


def test_bad_configuration_stops_before_anything_runs(clone: Clone) -> None:
    clone.edit("config/config.yaml", "platforms: [cpu]", "platforms: [cpuu]")
    run = clone.snakemake("all", expect=1)
    assert run.jobs == []
    sentence = run.output.strip().splitlines()[-1]
    assert sentence.startswith(
        "llm-dissect: config/config.yaml: platforms: unknown platform 'cpuu'; did you mean 'cpu'?"
    )


def test_paths_are_relative_to_the_clone(clone: Clone, tmp_path: Path) -> None:
    for name, content in (clone.bytes_of("manifests/*") | clone.bytes_of("tables/*")).items():
        assert str(tmp_path).encode() not in content, name


def test_another_configuration_beside_a_run_leaves_its_manifests_alone(clone: Clone) -> None:
    """Its tables would be made from them."""
    lock = clone.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/tables/table_III.csv\n")
    before = clone.bytes_of("manifests/*")
    said = "Another snakemake is active in this folder"
    assert said in clone.snakemake("-n", "all", "--config", "suite=full").output
    assert clone.bytes_of("manifests/*") == before
    assert said not in clone.snakemake("-n", "all").output
    lock.unlink()
    assert said not in clone.snakemake("-n", "all", "--config", "suite=full").output
    assert clone.bytes_of("manifests/*") != before


def test_a_run_whose_manifests_others_rewrote_says_so_and_heals(clone: Clone) -> None:
    """Of another clone on the same results, say, which no lock keeps away."""
    clone.edit("config/config.yaml", "overrides: {}", "overrides: {'*/cpu/*/*/Z2/*': {sampling: {budget_s: 99}}}")
    before = (clone.folder / "envs/run").read_text()
    clone.edit("envs/run", "PYTHONPATH", "echo >>results/manifests/table_IV.json; PYTHONPATH")
    run = clone.snakemake("all", expect=1)
    assert "results/manifests/table_IV.json: overwritten by another snakemake" in run.output
    (clone.folder / "envs/run").write_text(before)
    clone.measured()
    clone.snakemake("all")
    assert clone.measured() == []
    assert clone.snakemake("-n", "all").jobs == []
