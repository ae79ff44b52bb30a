"""Several runs of Snakemake in one folder: what one of them reads, no other takes away."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clones import Clone
from dissect.present.tables.read_tidy import read_tidy
from slow_runs import SLOW, clone_with_a_slow_cell, running

OTHER = SLOW.replace("/Z2/", "/Z2+O/")
MORE = "runs=5"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Table III, all but its slow cell measured once."""
    clone = clone_with_a_slow_cell(tmp_path / "clone")
    clone.snakemake("cells", "--config", f"select={OTHER}")
    return clone


def locks(clone: Clone) -> set[str]:
    return {path.name for path in (clone.folder / ".snakemake/locks").glob("*")}


def test_a_plan_beside_a_run_leaves_its_lock_and_a_third_takes_no_file_away(clone: Clone) -> None:
    file = clone.cell_file(OTHER)
    with running(clone, "cells") as process:
        held = locks(clone)
        clone.snakemake("plan")
        assert locks(clone) == held != set()
        assert "llm-dissect: another snakemake is active in this folder" in clone.snakemake("cells", expect=1).output
        assert "cells that lack runs keep their published" in clone.snakemake("-n", "all", "--config", MORE).output
        assert file.exists()
        for path in (clone.folder / ".snakemake/locks").glob("*"):
            path.unlink()
        clone.snakemake("-n", "cells", "--config", MORE, f"select={OTHER}")
        assert file.exists(), "whoever took the lock away"
        (clone.folder / "slow_keys.txt").unlink()
        output, _ = process.communicate()
        assert process.returncode == 0, output
    clone.snakemake("-n", "cells", "--config", MORE)
    assert not file.exists()


def test_a_run_of_other_cells_leaves_the_lock_of_the_first(clone: Clone) -> None:
    with running(clone, "cells", "--config", f"select={SLOW}"):
        held = locks(clone)
        assert clone.snakemake("cells", "--config", f"select={OTHER}").jobs == []
        assert locks(clone) == held != set()


@pytest.mark.parametrize("target", ["remeasure", "packs"])
def test_a_run_that_ends_leaves_what_another_has_done(clone: Clone, target: str) -> None:
    folder = clone.folder / f"results/{target.replace('remeasure', 'remeasured')}"
    done = folder / "20260101T000000000000Z/2/cell.json"
    done.parent.mkdir(parents=True)
    done.touch()
    clone.snakemake(target, "--config", f"select={OTHER}")
    assert [path for path in folder.rglob("*") if path.is_file()] == [done]


def test_tables_show_cells_of_another_run_as_running_or_waiting(clone: Clone) -> None:
    """A run of another configuration draws the manifests of the first."""
    table = "results/tables/table_III.csv"
    with running(clone, "cells"):
        clone.snakemake(table, "--config", "platforms=[]")
    rows = read_tidy(clone.folder / table)
    assert {row["status"] for row in rows} == {"ok", "running", "waiting"}
    [slow] = [row for row in rows if row["status"] == "running"]
    assert f"{slow['framework']}/{slow['method']}" == "deepspeed/Z2"
    assert slow["reason"] == f"is measured now, on {platform.node()}; 'snakemake progress' tells how far the run is"
    for row in rows:
        assert "remeasure" not in (row["reason"] or "")
    assert "running: is measured now" in (clone.folder / table).with_suffix(".md").read_text()


def test_what_was_killed_leaves_a_lock_that_unlock_removes(clone: Clone) -> None:
    with running(clone, "cells") as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert clone.ask("plan").output.startswith("6 cells, "), "a question meets no lock"
    refused = clone.snakemake("cells", expect=1).output
    assert refused.splitlines()[-1].endswith("no other is active on this machine: 'snakemake --unlock' removes it")
    assert "Exception" not in refused
    clone.snakemake("--unlock")
    assert locks(clone) == set()
    (clone.folder / "slow_keys.txt").unlink()
    clone.snakemake("cells")


def test_what_was_killed_between_its_run_and_its_publishing_is_not_measured_again(clone: Clone) -> None:
    """All of it at once, as when a machine goes down."""
    (clone.folder / "slow_keys.txt").unlink()
    clone.measured()
    before = (clone.folder / "envs/run").read_text()
    killed = before.replace("exec", "").replace('"$@"', '"$@"; rm -r results/cells/pretrain; kill -9 0')
    (clone.folder / "envs/run").write_text(killed)
    command = [sys.executable, "-m", "snakemake", "cells", "--config", f"select={SLOW}"]
    assert subprocess.run(command, cwd=clone.folder, start_new_session=True, check=False).returncode == -signal.SIGKILL
    assert len(clone.measured()) == 1
    (clone.folder / "envs/run").write_text(before)
    clone.snakemake("--unlock", "cells")
    clone.snakemake("cells", "--config", f"select={SLOW}")
    assert clone.measured() == []
    assert clone.cell_file(SLOW).exists()


def test_prune_removes_nothing_beside_a_run(clone: Clone) -> None:
    asked = ("prune", "--config", f"select={OTHER}", "really=true")
    before = clone.bytes_of("store/*/runs/*/*")
    with running(clone, "cells"):
        refused = clone.snakemake(*asked, expect=1).output
        assert "llm-dissect: another snakemake is active in this folder" in refused
        assert "1 runs of 1 cells" in clone.snakemake(*asked[:-1]).output, "a dry run removes nothing"
        (clone.folder / ".snakemake/locks").rename(clone.folder / "gone")
        clone.snakemake(*asked, expect=1)
        assert clone.bytes_of("store/*/runs/*/*").items() >= before.items() != set()
        assert clone.cell_file(OTHER).exists()
