"""What can become of a cell on a cluster: all the faults of single cells and nodes, side by side in one run."""

import json
import re
import sys
import time
from collections.abc import Callable

import pytest
from slurm_cluster import Cluster
from slurm_site import Run, Site, environment, new_site

from dissect.base.outcome import Flag
from dissect.results.store import Failure

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.slurm]

LONG = {"TINY_STEPS": "20", "TINY_STEP_S": "0.5"}
METHODS = ["Naive", "R", "Q", "Z2", "Z2+O", "Z3", "Z3+O"]


@pytest.fixture(scope="module")
def faulty(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """One run in which six of seven cells meet a fault each, and slurmctld is restarted half way."""
    folder = tmp_path_factory.mktemp("faulty")
    site = new_site(folder / "clone", cluster)
    marks = {method: str(folder / method) for method in METHODS}
    site.configure(
        METHODS,
        ["faults"],
        **{
            "R": environment(TINY_FAULT="raise", TINY_ONCE=marks["R"]),
            "Q": environment(TINY_FAULT="raise"),
            "Z2": {**environment(TINY_FAULT="hang"), "sampling": {"budget_s": 4.0}},
            "Z2+O": environment(TINY_FAULT="hang", TINY_ONCE=marks["Z2+O"]),
            "Z3": environment(TINY_FAULT="hang", TINY_ONCE=marks["Z3"]),
            # Beside the others, and still there when these have ended and slurmctld is back.
            "Z3+O": {**environment(TINY_STEPS="200", TINY_STEP_S="0.5"), "sampling": {"budget_s": 150.0}},
        },
    )
    run = site.start("all")
    for method in ("Z2+O", "Z3", "Z3+O"):
        cluster.wait_until(f"{method} runs", lambda method=method: site.runs(f"/{method}/"))
    cluster.slurm("scancel", site.job_of("_Z2+O_"))
    # What the kernel's or the scheduler's SIGKILL leaves: not a word.
    cluster.slurm("scancel", "--full", "--signal=KILL", site.job_of("_Z3_"))
    # A job that starts in the same instant may miss its GPUs (Slurm 22.05), so the retries come first.
    for method in ("R", "Q", "Z2+O", "Z3"):
        cluster.wait_until(f"{method} is retried", lambda method=method: site.attempts(f"/{method}/") == 2)
    # Slurm writes down every few seconds what it knows: a job that has just ended would be lost with it.
    cluster.wait_until("one job is left", lambda: len(cluster.slurm("squeue", "-h", "-o", "%i").split()) == 1)
    time.sleep(6)
    cluster.kill_daemon("slurmctld")
    cluster.start_daemon("slurmctld")
    assert site.log("/Z3+O/")
    assert not list((site.folder / "results/cells").rglob("Z3+O/*/*.json"))
    run.end()
    return site, run


def test_a_cell_that_fails_once_is_retried_once(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    result = site.result("/R/")
    assert (result.status, result.attempts) == ("ok", 2)
    assert site.attempts("/R/") == 2


def test_a_cell_that_always_fails_keeps_only_its_table(faulty: tuple[Site, Run]) -> None:
    site, run = faulty
    assert run.process.returncode != 0
    assert site.attempts("/Q/") == 2, "one retry"
    assert site.table("table_IV").exists()
    assert not site.table("table_III").exists()
    (line,) = [line for line in run.output.splitlines() if line.startswith("failed: ")]
    assert line.startswith("failed: pretrain/faults/llama-tiny/deepspeed/Q/s128-b1-n2: rank 1: ValueError: the first")
    assert "not built: table_III needs pretrain/faults/llama-tiny/deepspeed/Q/s128-b1-n2" in run.output
    logs = re.search(r"\(attempt 2\); log: (\S+); Slurm's log: (\S+)", line)
    assert logs
    assert "ValueError: the first line says it" in (site.folder / logs[1]).read_text()
    assert "Measure pretrain/faults/llama-tiny/deepspeed/Q/" in (site.folder / logs[2]).read_text()


def test_scancel_is_seen_and_retried(faulty: tuple[Site, Run]) -> None:
    site, run = faulty
    assert "SLURM status is: 'CANCELLED'" in run.output
    result = site.result("/Z2+O/")
    assert (result.status, result.attempts) == ("ok", 2)


def test_the_budget_is_an_outcome_and_not_retried(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert site.result("/Z2/").status == "timeout"
    assert site.attempts("/Z2/") == 1


def test_a_kill_by_the_scheduler_is_a_failure_and_retried(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert site.result("/Z3/").status == "ok"
    assert site.attempts("/Z3/") == 2


def test_a_restarted_slurmctld_disturbs_nobody(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert site.result("/Z3+O/").status == "ok"
    assert site.attempts("/Z3+O/") == 1


def test_a_cell_that_shares_its_node_is_flagged(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    result = site.result("/Z3+O/")
    assert Flag.NEIGHBOURS in result.flags
    assert result.provenance
    assert re.search(r"; Slurm ran \d+ other jobs on this node$", result.provenance.other_processes)


def test_every_other_cell_was_measured_once(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert site.result("/Naive/").status == "ok"
    assert site.attempts("/Naive/") == 1


def test_the_next_run_measures_the_failed_cell_alone(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    failure = next((site.folder / "results/store").glob("*/failure.json"))
    assert Failure.model_validate_json(failure.read_bytes()).attempt == 2
    assert json.loads((failure.parent / "spec.json").read_bytes())["method"]["quantization"] == "nf4"
    before = {method: site.attempts(f"/{method}/") for method in METHODS}
    run = site.start("all")
    assert run.end() != 0
    after = {method: site.attempts(f"/{method}/") for method in METHODS}
    assert after == {**before, "Q": before["Q"] + 2}


def test_nodes_fail_and_memory_runs_out(cluster: Cluster, site_of: Callable[..., Site]) -> None:
    """A node goes down with its steps; of another only slurmd dies; a third has less memory than the cell wants.

    Beside them Slurm ends two jobs at its own limits, which the runner stays below: there the environment's first start
    took the time or the memory.
    """
    site = site_of()
    # Only the first job hangs, however far it gets before Slurm ends it.
    site.platform("late", site.slow_start("late", "sleep 45; export TINY_FAULT=hang"), margin_s=5)
    small = {"host": {"cpu": "a small node", "memory_gib": 0.35}}
    eat = f"{sys.executable} -c 'import time; held = bytes(1) * (2 << 30); time.sleep(30)'"
    site.platform("hungry", small | site.slow_start("hungry", eat))
    site.platform("small", {"host": {"cpu": "a small node", "memory_gib": 0.35}})
    site.configure(
        ["Naive"],
        ["down", "pair", "small", "late", "hungry"],
        # The job may take a minute; Slurm looks every half minute which ones took longer.
        late={"sampling": {"budget_s": 55.0}},
        down=environment(**LONG),
        pair=environment(TINY_STEPS="140", TINY_STEP_S="0.5"),
        small=environment(TINY_FAULT="memory"),
    )
    run = site.start("all")
    cluster.wait_until("both cells run", lambda: site.runs("/down/") and site.runs("/pair/"))
    first = cluster.slurm("squeue", "-h", "-p", "pair", "-o", "%N")
    cluster.kill_daemon(first)
    _crash(cluster, "n2")
    cluster.start_daemon("n2")  # Slurm believes in the job until its time limit, two minutes here
    cluster.wait_until("the other node of the pair has the retry", lambda: _waits(site))
    assert run.end() == 0, run.output
    cluster.start_daemon(first)
    assert site.result("/down/").status == "ok"
    assert site.attempts("/down/") == 2
    assert site.result("/pair/").status == "ok"
    assert site.attempts("/pair/") == 1, "the step lived on, and the retry waited for it"
    assert Flag.NEIGHBOURS not in site.result("/pair/").flags, "it had its node alone"
    oom = site.result("/small/")
    assert (oom.status, oom.phase) == ("oom", "host")
    assert site.attempts("/small/") == 1
    assert "SLURM status is: 'TIMEOUT'" in run.output
    # On a busy machine the first job may end before its ranks start: then it was no attempt at measuring.
    assert "DUE TO TIME LIMIT" in site.slurm_logs("_late_")
    assert site.result("/late/").status == "ok"
    assert site.result("/hungry/").status == "ok"
    assert site.attempts("/hungry/") == 1, "the first job got no further than the start"
    assert "Exceeded job memory limit" in site.slurm_logs("_hungry_")
    assert site.table("table_III").exists()
    cluster.wait_until("all nodes are back", lambda: set(cluster.states().values()) <= {"idle", "completing"})


def _crash(cluster: Cluster, node: str) -> None:
    """As a power cut: the daemon, its step daemons and all below them."""
    steps = cluster.steps(node)
    assert steps
    cluster.kill_daemon(node)
    for process in steps:
        process.kill()


def _waits(site: Site) -> bool:
    """Whether a second job of the pair's cell waits for the lock of the first."""
    logs = (site.folder / "results/logs/pretrain/pair").rglob("*.log")
    return any("waiting for another process" in path.read_text() for path in logs)
