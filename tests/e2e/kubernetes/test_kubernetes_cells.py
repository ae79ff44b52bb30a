"""Cells measured by pods: the control plane of Kubernetes and Snakemake are real, containers are not."""

import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from kube_cluster import Cluster
from kube_node import Node
from kube_site import SPACE, TOLERATION, KubeSite
from slurm_site import environment, interrupt

from clones import ROOT
from dissect.base.outcome import Status

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.kubernetes]

LONG = {"TINY_STEPS": "60", "TINY_STEP_S": "0.5"}


def pods_of(node: Node, site: KubeSite) -> list[dict]:
    """Pods of a clone that ran on a node."""
    return [pod for pod in node.pods.values() if pod["spec"]["containers"][0]["workingDir"] == str(site.folder)]


def test_cells_run_where_their_platform_says(site: KubeSite, nodes: dict[str, Node]) -> None:
    """Each pod gets the node, GPUs, cores, memory, time and image of its platform, and every table is drawn."""
    site.platform(
        "other", pod_image="lab/image:1", pod_spec={"nodeSelector": {"pool": "other"}, "tolerations": [TOLERATION]}
    )
    site.configure(["Naive", "Z2"], ["eight", "other"])
    run = site.start("all")
    assert run.end() == 0, run.output
    assert site.result("/eight/llama-tiny/deepspeed/Z2/").status == Status.OK
    assert pods_of(nodes["plain"], site) == []
    for name, image in (("eight", "llm-dissect"), ("other", "lab/image:1")):
        pods = pods_of(nodes[name], site)
        assert len(pods) >= 2
        (container,) = pods[-1]["spec"]["containers"]
        assert container["image"] == image
        assert container["resources"]["limits"] == {"cpu": "2", "memory": "5202Mi", "nvidia.com/gpu": "2"}
        assert pods[-1]["status"]["qosClass"] == "Guaranteed"
        assert {"name": "volume-0", "mountPath": "/shared"} in container["volumeMounts"]
    assert site.table("table_III").exists()
    assert site.left() == []


def test_an_exclusive_cell_shares_its_node_with_no_other_cell(site: KubeSite, nodes: dict[str, Node]) -> None:
    site.platform("eight", exclusive=True)
    site.configure(["Naive", "Z2", "Z3"], ["eight"])
    run = site.start("all")
    assert run.end() == 0, run.output
    spans = sorted(nodes["eight"].span(pod["metadata"]["name"]) for pod in pods_of(nodes["eight"], site))
    assert len(spans) >= 3
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), spans


def test_what_fails_is_retried_once_and_its_log_is_kept(site: KubeSite, tmp_path: Path) -> None:
    once = environment(TINY_FAULT="raise", TINY_ONCE=str(tmp_path / "once"))
    site.configure(["Naive", "R", "Q"], ["eight"], R=once, Q=environment(TINY_FAULT="raise"))
    run = site.start("all")
    assert run.end() == 1, run.output
    assert site.result("/Naive/").status == site.result("/R/").status == Status.OK
    assert site.attempts("/R/") == site.attempts("/Q/") == 2
    assert "failed: pretrain/eight/llama-tiny/deepspeed/Q/" in run.output
    kept = [path.read_text() for path in (site.folder / "results/logs/kubernetes").iterdir()]
    assert len(kept) == 3, "one log per pod that failed"
    assert all("Error in rule measure_pretrain" in text for text in kept)
    assert site.left() == []


def test_a_killed_or_evicted_pod_is_replaced(cluster: Cluster, site: KubeSite, nodes: dict[str, Node]) -> None:
    """A killed one by Snakemake's retry, an evicted one by Kubernetes itself."""
    site.platform("other", {"host": {"cpu": "another", "memory_gib": 3}})  # a cell of its own, with a key of its own
    site.configure(["Naive"], ["eight", "other"], Naive=environment(**LONG))
    run = site.start("all")
    for name in ("eight", "other"):
        cluster.wait_until(f"the cell on {name} runs", lambda at=name: site.runs(f"/{at}/"), 120)
    (evicted,) = (p["metadata"]["name"] for p in pods_of(nodes["eight"], site) if nodes["eight"].alive(p))
    (killed,) = (p["metadata"]["name"] for p in pods_of(nodes["other"], site) if nodes["other"].alive(p))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": evicted, "namespace": SPACE}}
    cluster.ask("POST", f"/api/v1/namespaces/{SPACE}/pods/{evicted}/eviction", eviction)
    nodes["other"].kill(killed)
    assert run.end(240) == 0, run.output
    assert run.output.count("Error in rule") == 1, "Snakemake hears of the killed one alone"
    assert site.attempts("/eight/") == site.attempts("/other/") == 2
    assert site.result("/eight/").status == site.result("/other/").status == Status.OK


def test_the_run_outlives_outages_of_the_api_server(cluster: Cluster, site: KubeSite) -> None:
    """A job is submitted, and one that runs is found again, once there is an answer."""
    site.configure(["Naive"], ["eight"], Naive=environment(**LONG))
    run = site.start("all")
    while "for Kubernetes jobs" not in run.output and run.process.poll() is None:
        time.sleep(0.01)  # the first job follows within a second
    interrupt(run, signal.SIGSTOP)
    for sign, meanwhile in (("the next try is in", signal.SIGCONT), ("its jobs go on", None)):
        cluster.stop_server()
        if meanwhile:
            interrupt(run, meanwhile)
        try:
            cluster.wait_until(f"the run says {sign}", lambda said=sign: said in run.output, 60)
        finally:
            cluster.start_server()
        cluster.wait_until("the cell runs", lambda: site.runs("/eight/"), 120)
    assert run.end(240) == 0, run.output
    assert site.attempts("/eight/") == 1


def test_an_interrupt_deletes_jobs_and_pods(cluster: Cluster, site: KubeSite) -> None:
    site.configure(["Naive"], ["eight"], Naive=environment(**LONG))
    run = site.start("all")
    cluster.wait_until("the cell runs", lambda: site.runs("/eight/"), 120)
    interrupt(run, signal.SIGINT)
    run.end()
    cluster.wait_until("nothing is left", lambda: site.left() == [], 30)


def test_a_refusal_names_what_is_wrong(site: KubeSite) -> None:
    site.platform("eight", pod_spec={"nodeSelektor": {"pool": "eight"}})
    site.configure(["Naive"], ["eight"])
    run = site.start("all")
    assert run.end() == 1, run.output
    assert "nodeSelektor" in run.output
    assert site.left() == []


def test_the_plugin_still_lacks_shared_volumes() -> None:
    """If this fails, a new version of the plugin may do what profiles/kubernetes has an executor for."""
    look = "from snakemake_executor_plugin_kubernetes import common_settings as c; print(c.implies_no_shared_fs)"
    command = [ROOT / "envs/run", "kubernetes", "--", "python", "-c", look]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True\n"
