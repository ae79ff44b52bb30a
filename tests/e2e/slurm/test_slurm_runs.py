"""What can become of a whole run on a cluster: signals, two runs at once, a full disk, refusals, packs."""

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_cluster import Cluster
from slurm_site import Run, Site, environment, interrupt, new_site

from dissect.cells.preflight import refusals
from dissect.results.activity import slurm_jobs
from small_disk import small_disk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.slurm]

LONG = {"TINY_STEPS": "16", "TINY_STEP_S": "0.5"}


PACKED = ["Naive", "Z2", "Z3", "R", "Q"]


@pytest.fixture(scope="module", autouse=True)
def packed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """A run of packs that starts beside the other tests; it disturbs none of them."""
    folder = tmp_path_factory.mktemp("packed")
    site = new_site(folder / "clone", cluster)
    site.platform("down", pack_h=0.1)
    once = environment(TINY_FAULT="raise", TINY_ONCE=str(folder / "once"))
    site.configure(PACKED, ["down"], R=once, Q=environment(TINY_FAULT="raise"))
    return site, site.start("packs")


def idle(cluster: Cluster, partition: str) -> bool:
    return not cluster.slurm("squeue", "-h", "-p", partition, "-o", "%i")


def test_signals_to_the_main_process(
    cluster: Cluster, site_of: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGINT cancels, SIGTERM lets the running cell finish, SIGKILL leaves a job that the next run adopts."""
    sites = {"faults": site_of("int"), "main": site_of("term"), "other": site_of("kill")}
    for partition, site in sites.items():
        steps = LONG if partition != "other" else {**LONG, "TINY_STEPS": "60"}  # it is looked at while it runs
        site.configure(["Naive"], [partition], Naive=environment(**steps))
    runs = {partition: site.start("all") for partition, site in sites.items()}
    for partition, site in sites.items():
        cluster.wait_until(f"the cell on {partition} runs", lambda at=site: at.runs("/Naive/"))
    interrupt(runs["faults"], signal.SIGINT)
    interrupt(runs["main"], signal.SIGTERM)
    interrupt(runs["other"], signal.SIGKILL)
    assert runs["other"].end() == -signal.SIGKILL
    assert not idle(cluster, "other"), "the job lives on"
    seen = sites["other"].start("progress")
    assert seen.end() == 0, seen.output
    (job,) = re.findall(r"/Naive/.+ ranks at work, for .+, job (\d+)$", seen.output, re.MULTILINE)
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    assert job in (slurm_jobs() or ())

    # The lock of the killed run is told apart from a living one by a person alone.
    refused = sites["other"].start("all")
    assert refused.end() != 0
    assert "--unlock" in refused.output
    assert sites["other"].start("--unlock").end() == 0
    again = sites["other"].start("all", "--rerun-incomplete")
    assert again.end() == 0, again.output
    assert sites["other"].attempts("/Naive/") == 1, "adopted, not measured twice"
    assert job not in (slurm_jobs() or ())

    assert runs["faults"].end() != 0
    assert runs["main"].end() != 0
    for partition in ("faults", "main"):
        cluster.wait_until(f"no job is left on {partition}", lambda at=partition: idle(cluster, at))
    for partition, attempts in (("faults", 2), ("main", 1)):
        site = sites[partition]
        finished = site.start("all", "--rerun-incomplete")
        assert finished.end() == 0, finished.output
        assert site.result("/Naive/").status == "ok"
        assert site.attempts("/Naive/") == attempts
        assert site.table("table_III").exists()


def test_two_clones_with_one_results_folder(site_of: Callable[..., Site], tmp_path: Path) -> None:
    sites = [site_of("one"), site_of("two")]
    shared = tmp_path / "results"
    shared.mkdir()
    for site in sites:
        (site.folder / "results").symlink_to(shared)
        site.configure(["Naive", "Z2", "Q"], ["main"], Z2=environment(**LONG))
    runs = [site.start("all") for site in sites]
    assert [run.end() for run in runs] == [0, 0], runs[0].output + runs[1].output
    assert [sites[0].attempts(f"/{method}/") for method in ("Naive", "Z2", "Q")] == [1, 1, 1]
    assert sites[0].table("table_III").exists()


def test_a_full_disk_leaves_nothing_half_and_the_next_run_heals(site_of: Callable[..., Site]) -> None:
    site = site_of()
    site.configure(["Naive", "Z2"], ["main"], Z2=environment(TINY_STEPS="9000", TINY_STEP_S="0.0001"))
    with small_disk(site.folder / "results/store"):
        run = site.start("all")
        assert run.end() != 0
        assert site.result("/Naive/").status == "ok"
        assert "No space left on device" in run.output
        (store,) = {path.parent for path in (site.folder / "results/store").glob("*/log.txt")} - {
            path.parents[2] for path in (site.folder / "results/store").glob("*/runs/*/result.json")
        }
        assert not list(store.rglob(".*"))
        assert not list(store.rglob("steps.jsonl"))
        subprocess.run(["mount", "-o", "remount,size=16m", site.folder / "results/store"], check=True)
        healed = site.start("all")
        assert healed.end() == 0, healed.output
        assert site.attempts("/Naive/") == 1
        assert site.result("/Z2/").status == "ok"


@pytest.mark.parametrize(
    ("scheduler", "says"),
    [
        ({"partition": "nowhere"}, "Invalid partition name specified"),
        ({"gpu_model": "a900"}, "Requested node configuration is not available"),
        ({"partition": "lab", "account": "chemistry"}, "so it can't use this partition (lab allows physics)"),
        ({"cpus": 1000}, "the job would never start, its pending reason is PartitionConfig"),
    ],
    ids=["partition", "GPU type", "account", "CPUs"],
)
def test_what_sbatch_refuses_is_said_once_and_stops_the_run(
    cluster: Cluster, site_of: Callable[..., Site], scheduler: dict[str, object], says: str
) -> None:
    site = site_of()
    site.platform("main", **scheduler)
    site.configure(["Naive", "Z2", "Q"], ["main"])
    run = site.start("all")
    assert run.end() == 1
    assert run.output.count(says) == 1
    assert "llm-dissect: the batch system refuses: sbatch --partition=" in run.output
    assert "Traceback" not in run.output
    assert not (site.folder / "results/cells").exists()
    assert idle(cluster, "main")


def test_a_name_that_slurm_takes_is_not_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an accounting database that is any account and QOS, but for a partition that asks for certain ones."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    request = {"slurm_account": "physics", "qos": "high", "runtime": 1, "mem_mb": 100, "nodes": 1}
    assert refusals([{"slurm_partition": "main", **request}]) == []
    (sentence,) = refusals([{"slurm_partition": "lab", **request}])
    assert "--qos=high" in sentence


def test_a_request_that_must_wait_for_a_node_is_not_refused(cluster: Cluster, site_of: Callable[..., Site]) -> None:
    """It also has options of the site."""
    site = site_of()
    site.platform("small", options=["--nice=7", "--exclude=n[1-2]"])
    site.configure(["Naive"], ["small"])
    cluster.slurm("scontrol", "update", "nodename=n5", "state=drain", "reason=maintenance")
    run = site.start("all")
    queue = ("squeue", "-h", "-p", "small", "-o", "%i %k")
    # The job that tries the request has no comment.
    cluster.wait_until("the cell's job waits", lambda: "measure_pretrain" in cluster.slurm(*queue))
    shown = cluster.slurm("scontrol", "show", "job", cluster.slurm(*queue).split()[0])
    assert "Nice=7" in shown
    assert "ExcNodeList=n[1-2]" in shown
    cluster.slurm("scontrol", "update", "nodename=n5", "state=resume")
    assert run.end() == 0, run.output
    assert site.result("/Naive/").status == "ok"


def test_one_allocation_measures_many_cells(packed: tuple[Site, Run]) -> None:
    """Each run with its own processes; what failed is tried again in the next round, and keeps nobody else."""
    site, run = packed
    assert run.end() != 0
    jobs = {path.stem for path in (site.folder / "results/logs/slurm").rglob("*.log")}
    assert len(jobs) == 1
    assert {method: site.attempts(f"/{method}/") for method in PACKED} == {
        "Naive": 1, "Z2": 1, "Z3": 1, "R": 2, "Q": 2,
    }  # fmt: skip
    assert site.result("/R/").attempts == 2
    assert "failed: pretrain/down/llama-tiny/deepspeed/Q/s128-b1-n2: rank 1: ValueError" in run.output
    built = site.start("results/tables/table_IV.csv")
    assert built.end() == 0, built.output
    assert site.attempts("/Naive/") == 1
