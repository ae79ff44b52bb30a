"""Clusters that own different platforms: what each has measured is drawn in one clone that measures nothing."""

from pathlib import Path

import pytest

from clones import Clone, stubbed_clone

TABLES = {"tables: all": "tables: [table_I, table_IV]", "figures: all": "figures: []"}


def cluster(folder: Path, platforms: str) -> Clone:
    clone = stubbed_clone(folder)
    for old, new in (TABLES | {"platforms: [cpu]": f"platforms: [{platforms}]"}).items():
        clone.edit("config/config.yaml", old, new)
    clone.edit("config/config.yaml", "models: [llama2-7b, llama2-13b, llama2-70b]", "models: [llama2-7b]")
    return clone


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two clusters sent."""
    files = {}
    for platform in ("a800", "h200"):
        clone = cluster(tmp_path_factory.mktemp(platform) / "clone", platform)
        clone.snakemake("all")
        assert len(clone.measured()) == 2
        files[platform] = clone.folder / f"{platform}.tar.gz"
        run = clone.snakemake("export", "--config", f"select=*/{platform}/*/*/*/*", f"file={files[platform]}")
        assert "2 cells with 2 runs; 0 more have no run yet" in run.output
    return files


def test_tables_of_three_clusters_without_measuring_anything(exports: dict[str, Path], tmp_path: Path) -> None:
    laptop = cluster(tmp_path / "laptop", "cpu")
    laptop.snakemake("all")
    assert {cell.split("/")[1] for cell in laptop.measured()} == {"cpu"}
    for file in exports.values():
        run = laptop.snakemake("import", "--config", f"file={file}")
        assert "2 cells; 2 runs added, 0 were here; 0 cells are of no table" in run.output
    laptop.edit("config/config.yaml", "platforms: [cpu]", "platforms: [cpu, a800, h200]")
    run = laptop.snakemake("all")
    assert sorted(run.jobs) == ["Write report", "Write table table_I", "Write table table_IV"]
    assert laptop.measured() == []
    table = (laptop.folder / "results/tables/table_IV.md").read_text()
    assert all(label in table for label in ("CPU", "A800", "H200"))
    again = laptop.snakemake("import", "--config", f"file={exports['h200']}")
    assert "2 cells; 0 runs added, 2 were here" in again.output
    assert laptop.snakemake("all").jobs == []


def test_what_two_clones_measured_of_one_cell_is_all_kept(exports: dict[str, Path], tmp_path: Path) -> None:
    clone = cluster(tmp_path / "clone", "h200")
    clone.snakemake("all")
    clone.snakemake("remeasure", "--config", "select=pretrain/h200/*/*/*/*")
    before = clone.bytes_of("store/*/runs/*/result.json")
    assert len(before) == 3
    run = clone.snakemake("import", "--config", f"file={exports['h200']}")
    assert "2 cells; 0 runs added, 2 were here" in run.output, "the stub's first runs are the same everywhere"
    assert clone.bytes_of("store/*/runs/*/result.json") == before
    both = "{both}.tar.gz"  # what Snakemake would take for a wildcard
    clone.snakemake("export", "--config", f"file=./{both}")
    laptop = cluster(tmp_path / "laptop", "h200")
    run = laptop.snakemake("import", "--config", f"file={exports['h200']}")
    run = laptop.snakemake("import", "--config", f"file={clone.folder / both}")
    assert "2 cells; 1 runs added, 2 were here" in run.output
    assert laptop.bytes_of("store/*/runs/*/result.json") == before
    assert laptop.snakemake("all").code == 0
    assert laptop.measured() == []


@pytest.mark.parametrize("share", [0.5, None], ids=["truncated", "missing"])
def test_a_bad_file_stops_with_one_sentence(exports: dict[str, Path], share: float | None, tmp_path: Path) -> None:
    """Braces in its name, which Snakemake would fill in, are as good as letters."""
    clone = cluster(tmp_path / "clone", "cpu")
    data = exports["a800"].read_bytes()
    if share:
        (clone.folder / "bad{x}.tar.gz").write_bytes(data[: int(len(data) * share)])
    run = clone.snakemake("import", "--config", "file=bad{x}.tar.gz", expect=1)
    assert "llm-dissect: bad{x}.tar.gz: " in run.output
    assert "Traceback" not in run.output
    assert not (clone.folder / "results/store").exists()


EVERY = "select='*/*/*/*/*/*' tables=all figures=all"


def test_an_export_of_nothing_is_refused_and_says_what_has_runs(fresh: Clone) -> None:
    fresh.snakemake("cells", "--config", "suite=full", "runs=1", "select=pretrain/cpu/*/ddp/R/*-b1-*")
    assert len(fresh.measured()) == 1
    for settings, hint in (("", "suite=full"), ("platforms=[h200]", f"{EVERY} suite=full")):
        (line,) = fresh.ask("export", *settings.split(), expect=1).output.splitlines()
        assert line.startswith("llm-dissect: export: none of the ")
        assert line.endswith(f" selected cells has a run yet; {hint} has 1 that do")
    (line,) = fresh.ask("export", "platforms=[h200]", "suite=full", expect=1).output.splitlines()
    assert line.endswith(f"; {EVERY} has 1 that do")
    assert not (fresh.folder / "results/export.tar.gz").exists()


def test_where_nothing_is_measured_nothing_is_exported(fresh: Clone) -> None:
    output = fresh.ask("export", expect=1).output
    assert output.endswith("has a run yet; no cell of this configuration has, in either suite\n")
    assert not (fresh.folder / "results/export.tar.gz").exists()


def test_import_needs_a_file(tmp_path: Path) -> None:
    run = cluster(tmp_path / "clone", "cpu").snakemake("import", expect=1)
    assert "llm-dissect: --config file: found nothing" in run.output
