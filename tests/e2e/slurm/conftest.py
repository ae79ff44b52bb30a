"""One cluster for all tests of this folder; each test has a partition and a clone of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, running_cluster, why_not
from slurm_site import Site, new_site

PARTITIONS = {
    "faults": ["n1"], "down": ["n2"], "pair": ["n3", "n4"], "small": ["n5"], "main": ["n6"], "other": ["n7"],
    "nodes": ["n8", "n9"], "late": ["n10"], "hungry": ["n10"], "lab": ["n6"],
    "low": ["n11"], "cheap": ["n12"], "urgent": ["n11", "n12"],
}  # fmt: skip
ACCOUNTS = {"lab": "physics"}
# Jobs of the urgent partition preempt those of the two others: one requeues them, one cancels them.
OPTIONS = {"urgent": "PriorityTier=9", "cheap": "PreemptMode=CANCEL"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster; afterwards nothing of it is left."""
    if reason := why_not():
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("cluster"), PARTITIONS, ACCOUNTS, options=OPTIONS) as running:
        yield running
    assert running.leftovers() == [], "a process outlives the cluster"


@pytest.fixture
def site_of(cluster: Cluster, tmp_path: Path) -> Callable[..., Site]:
    """Makes clones."""

    def make(name: str = "clone") -> Site:
        return new_site(tmp_path / name, cluster)

    return make
