"""One cluster for all tests of this folder, as profiles/kubernetes/cluster.yaml sets it up; each test has a clone."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from kube_cluster import Cluster, running_cluster, why_not
from kube_node import Node, running_node
from kube_site import KubeSite

from clones import ROOT

SHARED = {
    "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "shared"},
    "spec": {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "500Gi"}, "hostPath": {"path": "/"}},
}  # fmt: skip
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster; its API server can be stopped and started."""
    if reason := why_not():
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("kubernetes")) as running:
        for manifest in [SHARED, *yaml.safe_load_all((ROOT / "profiles/kubernetes/cluster.yaml").read_text())]:
            running.create(manifest)
        yield running


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> Iterator[dict[str, Node]]:
    """One node without GPUs, and two with eight, which only pods that tolerate it get."""
    with ExitStack() as stack:
        plain = stack.enter_context(running_node(cluster, "plain", gpus=0))
        gpus = [stack.enter_context(running_node(cluster, n, 8, {"pool": n}, [TAINT])) for n in ("eight", "other")]
        yield {node.name: node for node in (plain, *gpus)}


@pytest.fixture
def site(cluster: Cluster, nodes: dict[str, Node], tmp_path: Path) -> KubeSite:
    """A clone on the volume that all pods share."""
    assert set(cluster.partitions) <= nodes.keys()
    return KubeSite.new(tmp_path / "clone", cluster)
