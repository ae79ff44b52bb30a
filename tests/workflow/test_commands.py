"""Every form of command that the README and the docs show."""

import csv
import re
from pathlib import Path

import pytest

from clones import Clone
from dissect.results.cell_runs import read_runs


@pytest.mark.parametrize("profile", [None, "cpu", "local"])
def test_one_table_alone(fresh: Clone, profile: str | None) -> None:
    fresh.snakemake("results/tables/table_IV.csv", profile=profile)
    assert fresh.measured() == ["pretrain/cpu/llama-tiny/ddp/Naive/s128-bmax-n2"]
    assert (fresh.folder / "results/tables/table_IV.md").exists()


@pytest.mark.parametrize("profile", [None, "cpu", "local"])
def test_all_of_what_is_finished(clone: Clone, profile: str | None) -> None:
    assert clone.snakemake("all", profile=profile).jobs == []


@pytest.mark.parametrize("profile", [None, "cpu"])
def test_select_measures_just_those(fresh: Clone, profile: str | None) -> None:
    run = fresh.snakemake("cells", "--config", "select=pretrain/cpu/*/deepspeed/Z2*/*", profile=profile)
    assert fresh.measured() == [f"pretrain/cpu/llama-tiny/deepspeed/{m}/s128-b1-n2" for m in ("Z2+O", "Z2")]
    assert not [job for job in run.jobs if "table" in job]


def test_a_folder_whose_name_has_a_space(clone: Clone, tmp_path: Path) -> None:
    jobs = clone.copy(tmp_path / "a clone").ask("all", "runs=2", "--profile", "profiles/cpu").jobs
    assert {job.split(" of ")[0] for job in jobs} >= {"Measure the cells", "Draw figure fig_4", "Write report"}


def test_a_dry_run_has_readable_names_and_changes_no_result(fresh: Clone) -> None:
    run = fresh.snakemake("-n", "cells", "--config", "select=pretrain/cpu/*/deepspeed/Z2/*")
    assert run.jobs == ["Measure pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"]
    assert fresh.measured() == []
    assert not (fresh.folder / "results/cells").exists()


@pytest.mark.parametrize(("profile", "rounds"), [("cpu", 1), ("slurm", 0)])
def test_a_dry_run_lists_rounds_where_the_run_has_them(fresh: Clone, profile: str, rounds: int) -> None:
    asked = ("select=pretrain/cpu/*/deepspeed/Z2*/*", "runs=3")
    jobs = fresh.snakemake("-n", "cells", "--config", *asked, profile=profile).jobs
    assert jobs.count("Measure the cells of cpu in rounds") == rounds
    assert len(jobs) == rounds + 2


@pytest.mark.parametrize("profile", [None, "cpu"])
def test_remeasure_is_one_command(clone: Clone, profile: str | None) -> None:
    select = "select=pretrain/cpu/*/deepspeed/Z2/*"
    clone.snakemake("remeasure", "--config", select, profile=profile)
    assert clone.measured() == ["pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"]
    clone.snakemake("remeasure", "--config", select, profile=profile)
    assert clone.measured() == ["pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"]
    clone.ask("remeasure", select, *(["--profile", f"profiles/{profile}"] if profile else []))
    assert clone.measured() == ["pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"]
    # As often as asked, no more: the next run only draws from the new result.
    run = clone.snakemake("all")
    assert sorted(run.jobs) == ["Write report", "Write table table_III"]
    assert clone.measured() == []


def test_remeasure_asks_for_a_selection(clone: Clone) -> None:
    assert "--config select: missing; remeasure adds runs" in clone.snakemake("remeasure", expect=1).output
    assert clone.measured() == []


@pytest.mark.parametrize("target", ["cells", "remeasure", "export"])
def test_a_selection_of_nothing_is_refused(clone: Clone, target: str) -> None:
    run = clone.snakemake(target, "--config", "select=pretrain/cpu/*/ddp/R/*", expect=1)
    last = run.output.splitlines()[-1]
    assert "'pretrain/cpu/*/ddp/R/*' matches no cell of the suite 'smoke'; suite=full has " in last
    run = clone.snakemake(target, "--config", "select=[]", expect=1)
    assert "select: found []: name at least one glob, or leave select out" in run.output.splitlines()[-1]
    assert clone.measured() == []


def test_two_sides_are_measured_in_shared_rounds(clone: Clone) -> None:
    """The command that tells two cells apart; with ``fresh`` earlier runs are set aside."""
    sides = [f"pretrain/cpu/llama-tiny/deepspeed/{method}/s128-b1-n2" for method in ("Q", "Z2")]
    globs = f"select=[{','.join(sides)}]"
    clone.snakemake("remeasure", "--config", globs, "more=2")
    assert clone.measured() == [sides[0]] * 2 + [sides[1]] * 2
    runs = {side: read_runs(clone.cell_file(side)).runs for side in sides}
    rounds = [[run.round and (run.round.id, run.round.number) for run in found] for found in runs.values()]
    assert rounds[0] == rounds[1] == [None, (rounds[0][1][0], 1), (rounds[0][1][0], 2)]
    clone.snakemake("remeasure", "--config", globs, "fresh=true")
    assert clone.measured() == sides
    for side in sides:
        cell = clone.cell_file(side)
        assert len(read_runs(cell).runs) == 1
        (aside,) = (clone.folder / "results/store" / cell.stem / "set_aside").iterdir()
        assert len(list(aside.iterdir())) == 3


def test_forcing_a_job_measures_nothing(clone: Clone) -> None:
    """-F runs jobs again; the store still answers."""
    clone.snakemake("--forceall", "all")
    assert clone.measured() == []


@pytest.mark.parametrize("profile", [None, "cpu"])
def test_plan_says_what_would_run(clone: Clone, profile: str | None) -> None:
    clone.edit("config/config.yaml", "platforms: [cpu]", "platforms: [cpu, h200-x4]")
    clone.edit("config/platforms/cpu.yaml", "kernels: {flash_attention: sdpa_flash}", "kernels: {}")
    run = clone.snakemake("plan", profile=profile)
    with (clone.folder / "results/plan.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_status = {status: [row for row in rows if row["status"] == status] for status in {r["status"] for r in rows}}
    assert {row["platform"] for row in by_status["cached"]} == {"cpu"}
    assert {row["reason"] for row in by_status["unsupported"]} == {"the platform declares no FlashAttention kernel"}
    assert "h200-x4" in {row["platform"] for row in by_status["to run"]}
    asked = next(row for row in by_status["to run"] if row["workload"].endswith("-n4"))
    assert (asked["gpus"], asked["nodes"]) == ("4", "1")
    assert int(asked["memory_mb"]) > 512 * 1024
    assert int(asked["runtime_min"]) > 0
    assert f"{len(rows)} cells" in run.output
    assert clone.measured() == []


def test_plan_imports_no_torch(clone: Clone) -> None:
    clone.own_scripts()  # a process that has imported nothing
    clone.snakemake("plan")
    (clone.folder / "torch.py").write_text("raise SystemExit('torch was imported')")
    assert "torch was imported" not in clone.snakemake("plan").output


def test_a_failed_cell_keeps_only_its_tables(clone: Clone) -> None:
    clone.edit("config/config.yaml", "overrides: {}", "overrides: {'*/cpu/*/*/Q/*-b2-n1': {sampling: {budget_s: 98}}}")
    clone.edit("config/config.yaml", "tables: [table_III, table_IV]", "tables: [table_II, table_III, table_IV]")
    clone.snakemake("plan")
    key = _key_of(clone, "/Q/s128-b2-n1/")
    (clone.folder / "fail_keys.txt").write_text(key)
    run = clone.snakemake("all", expect=1)
    assert (clone.folder / "results/tables/table_II.csv").exists()
    assert "failed: pretrain/cpu/llama-tiny/deepspeed/Q/s128-b2-n1: it was told to in phase build" in run.output
    assert f"results/store/{key}/log.txt" in run.output
    assert "not built: fig_4 needs pretrain/cpu/llama-tiny/deepspeed/Q/s128-b2-n1" in run.output
    (clone.folder / "fail_keys.txt").unlink()
    clone.measured()
    clone.snakemake("all")
    assert clone.measured() == ["pretrain/cpu/llama-tiny/deepspeed/Q/s128-b2-n1"]


def _key_of(clone: Clone, fragment: str) -> str:
    manifest = (clone.folder / "results/manifests/fig_4.json").read_text()
    (line,) = [line for line in manifest.splitlines() if fragment in line]
    return line.split("/")[-1].split(".json")[0]


def test_what_a_run_prints_fits_a_screen(clone: Clone) -> None:
    """No list of all files, no reasons, no facts of the host: a line per job, its end, and how far it is."""
    (clone.folder / "results/tables/table_III.csv").unlink()
    output = clone.snakemake("all").output
    assert "Job 0: All targets are complete" in output
    assert max(len(line) for line in output.splitlines()) < 200
    assert "SNAKEMAKE" not in output


def test_a_name_of_no_cell_is_one_sentence(clone: Clone) -> None:
    stale = "results/cells/pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2/0123456789ab.json"
    run = clone.snakemake(stale, expect=1)
    assert "unknown cell; `snakemake plan` lists the cells" in run.output


def test_an_unknown_table_is_refused(clone: Clone) -> None:
    output = clone.snakemake("results/tables/table_XX.csv", expect=1).output
    assert "results: unknown table or figure 'table_XX'; did you mean 'table_IX'?" in output
    assert "Traceback" not in output


def test_a_key_that_the_target_does_not_read_is_refused(clone: Clone) -> None:
    run = clone.snakemake("plan", "--config", "platform=h200", expect=1)
    assert run.output.splitlines()[-1] == (
        "llm-dissect: --config platform: not read by plan, only by recommend; did you mean 'platforms'?"
    )


@pytest.mark.parametrize(("shared", "at_once"), [((), "1"), (("--resources", "gpu=2"), "2")], ids=["alone", "shared"])
def test_cells_run_side_by_side_where_gpus_are_shared_out(fresh: Clone, shared: tuple[str, ...], at_once: str) -> None:
    fresh.edit("config/platforms/cpu.yaml", "interconnect: {kind", "scheduler: {gpus: true}\ninterconnect: {kind")
    select = "select=operators/cpu/*/gemm/*/*-n1"
    run = fresh.snakemake("cells", "--cores", "4", *shared, "--config", select)
    assert len(fresh.measured()) == 2
    assert max(re.findall(r"Execute (\d+) jobs", run.output)) == at_once
