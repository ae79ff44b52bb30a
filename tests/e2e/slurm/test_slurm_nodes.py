"""Cells of two nodes: DeepSpeed over both, and what can become of the node that does not lead."""

import json

import psutil
import pytest
from slurm_cluster import Cluster
from slurm_site import Run, Site, environment, new_site

from clones import ROOT
from dissect.results.result import TrainingMetrics

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.slurm]

TWO_NODES = {"nodes": 2, "gpus_per_node": 1, "gpu_counts": [1, 2]}
# One host stands for both nodes, so they meet on its loopback interface.
REAL = TWO_NODES | {
    "environments": {"train": {"lock": "train"}},
    "environment": {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
}
METHODS = ["Naive", "R", "Q", "Z2", "Z2+O", "Z3"]


@pytest.fixture(scope="module", autouse=True)
def real(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """DeepSpeed's ZeRO-2 on a tiny Llama, one rank on each node; runs beside the faults."""
    site = new_site(tmp_path_factory.mktemp("real") / "clone", cluster)
    for name in (".envs", ".cache", ".venv"):
        (site.folder / name).symlink_to(ROOT / name)
    site.platform("nodes", REAL)
    site.configure(["Z2"], ["nodes"], Z2={"sampling": {"budget_s": 500.0}})
    return site, site.start("cells", "--config", "select=pretrain/nodes/*/*/Z2/*")


@pytest.fixture(scope="module")
def faulty(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """One run in which each cell meets a fault on its second node, whose rank is the last and whose clock is ahead."""
    folder = tmp_path_factory.mktemp("faulty")
    site = new_site(folder / "clone", cluster)
    ahead = site.own_python("nodes", "export TINY_CLOCK_S=200")
    site.platform("nodes", {**TWO_NODES, "host": {"cpu": "a small node", "memory_gib": 0.35}, **ahead})
    site.configure(
        METHODS,
        ["nodes"],
        **{
            "Naive": {**environment(TINY_PREPARE_S="11"), "sampling": {"budget_s": 10.0}},
            "R": environment(TINY_FAULT="SIGKILL"),
            "Q": environment(TINY_FAULT="hang", TINY_ONCE=str(folder / "Q")),
            "Z2": environment(TINY_FAULT="memory"),
            "Z2+O": {**environment(TINY_LIMIT="2"), "workload": {"batch": "max"}},
            "Z3": environment(TINY_FAULT="hang", TINY_ONCE=str(folder / "Z3")),
        },
    )
    run = site.start("results/tables/table_III.csv")
    for method in ("Q", "Z3"):
        cluster.wait_until(f"the last rank of {method} hangs", lambda method=method: (folder / method).exists())
    followers = [p for p in _processes(site, "measure_node.py") if _store_of(site, "/Q/") in _command(p)]
    followers[0].kill()
    for leader in (p for p in _processes(site, "measure.py") if "/Z3/" in _command(p)):
        leader.kill()
    run.end()
    return site, run


def _processes(site: Site, script: str) -> list[psutil.Process]:
    """The Python processes of a script in the clone, each before those that it forked."""
    found = [
        p for p in psutil.process_iter(["cmdline", "cwd", "create_time"])
        if p.info["cwd"] == str(site.folder) and f"scripts/{script}" in (p.info["cmdline"] or [])[:3]
    ]  # fmt: skip
    return sorted(found, key=lambda process: process.info["create_time"])


def _command(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"])


def _store_of(site: Site, fragment: str) -> str:
    (log,) = [path for path in (site.folder / "results/logs/pretrain").rglob("*.log") if fragment in str(path)]
    return f"results/store/{log.stem}/"


def test_a_group_spans_two_nodes(real: tuple[Site, Run]) -> None:
    site, run = real
    assert run.end() == 0, run.output
    result = site.result("/Z2/")
    assert result.status == "ok"
    assert (result.spec.hardware.n_nodes, result.spec.hardware.n_gpus) == (2, 2)
    assert isinstance(result.metrics, TrainingMetrics)
    assert result.provenance is not None
    assert [node["name"] for node in result.provenance.notes["nodes"]] == ["n8", "n9"]
    (file,) = (site.folder / "results/store" / result.key / "runs").glob("*/steps.jsonl")
    steps = file.read_text().splitlines()
    assert all(len(json.loads(step)["seconds"]) == 2 for step in steps)
    assert result.metrics.tokens_per_step == 2 * 128


def test_a_rank_that_is_killed_elsewhere_is_named(faulty: tuple[Site, Run]) -> None:
    site, run = faulty
    assert run.process.returncode != 0
    assert site.attempts("/R/") == 2
    (line,) = [line for line in run.output.splitlines() if line.startswith("failed: ")]
    assert "/R/s128-b1-n2: rank 1 was killed by SIGKILL" in line


def test_a_lost_follower_ends_the_attempt(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert "node 1 of the job (from 0) ended without a report" in site.log("/Q/")
    assert (site.result("/Q/").status, site.result("/Q/").attempts) == ("ok", 2)


def test_a_follower_ends_with_its_leader(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert site.result("/Z3/").status == "ok"
    assert site.attempts("/Z3/") == 2


def test_memory_is_watched_on_every_node(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    result = site.result("/Z2/")
    assert (result.status, result.phase) == ("oom", "host")
    assert site.attempts("/Z2/") == 1


def test_each_trial_of_a_search_spans_the_nodes(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    metrics = site.result("/Z2+O/").metrics
    assert isinstance(metrics, TrainingMetrics)
    assert metrics.batch == 2
    log = site.log("/Z2+O/")
    assert all(log.count(f"rank {rank} runs batch 3") == 1 for rank in (0, 1))


def test_the_budget_starts_once_all_nodes_are_prepared_and_compares_no_clocks(faulty: tuple[Site, Run]) -> None:
    site, _ = faulty
    assert site.result("/Naive/").status == "ok"
    assert site.attempts("/Naive/") == 1


def test_no_process_is_left(faulty: tuple[Site, Run], cluster: Cluster) -> None:
    site, _ = faulty
    cluster.wait_until("both nodes have nothing left of it", lambda: not _processes(site, "measure_node.py"), 10)
    assert not _processes(site, "measure.py")
