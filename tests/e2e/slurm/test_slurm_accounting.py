"""Clusters with an accounting database: what their accounts and QOS never let start, and jobs on another one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_accounting import why_no_accounting
from slurm_cluster import PATH, Cluster, running_cluster, why_not
from slurm_site import new_site

from dissect.cells.preflight import refusals

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.slurm]


@pytest.fixture(scope="module")
def accounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node; the user may use the QOS ``normal``, the default, and ``brief``, which ends after 30 s."""
    if reason := why_not() or why_no_accounting(PATH):
        pytest.skip(reason)
    partitions = {"open": ["a1"], "closed": ["a1"]}
    with running_cluster(tmp_path_factory.mktemp("accounted"), partitions, qos={"closed": "special"}) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"slurm_partition": "open"}, None),
        ({"slurm_partition": "open", "slurm_account": "lab"}, None),
        ({"slurm_partition": "closed"}, "Job's QOS not permitted to use this partition (closed allows special not"),
        ({"slurm_partition": "closed", "qos": "normal"}, "(closed allows special not normal)"),
        ({"slurm_partition": "open", "qos": "special"}, "Invalid qos specification"),
        ({"slurm_partition": "open", "qos": "brief"}, "QOSMaxWallDurationPerJobLimit"),
        ({"slurm_partition": "open", "slurm_account": "chemistry"}, "The given account chemistry appears"),
    ],
    ids=["nothing", "account", "default QOS", "another QOS", "QOS of others", "time of the QOS", "account of others"],
)
def test_what_a_policy_never_lets_start_is_refused(
    accounted: Cluster, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], says: str | None
) -> None:
    for name, value in accounted.environment.items():
        monkeypatch.setenv(name, value)
    found = refusals([{"runtime": 2, "mem_mb": 100, "nodes": 1, **asked}])
    assert len(found) == (1 if says else 0), found
    assert says is None or says in found[0]
    assert accounted.jobs(states="PD") == []


def test_cells_are_measured_on_another_cluster(accounted: Cluster, tmp_path: Path) -> None:
    """It is submitted to from here; a run whose cells need both is refused."""
    site = new_site(tmp_path / "clone", accounted)
    with running_cluster(accounted.folder / "far", {"remote": ["f1"]}, name="far", sister=accounted):
        site.platform("remote", cluster="far")
        site.configure(["Naive"], ["remote", "open"])
        refused = site.start("all")
        assert refused.end() == 1
        assert "cells for several Slurm clusters (far, that of this host)" in refused.output
        assert "Traceback" not in refused.output
        site.configure(["Naive"], ["remote"])
        run = site.start("all")
        assert run.end() == 0, run.output
    result = site.result("/Naive/")
    assert (result.status, result.attempts) == ("ok", 1)
    assert result.provenance
    assert result.provenance.environment["SLURM_CLUSTER_NAME"] == "far"
