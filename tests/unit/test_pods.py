"""The Kubernetes job of a cell."""

import json
from pathlib import Path
from typing import Any

import pytest

from dissect.cells.pods import job_manifest
from dissect.cells.resources import resources_of
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError

EXCLUSIVE = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "llm-dissect"}}, "topologyKey": "kubernetes.io/hostname"}
        ]
    }
}


def schedule(project: Path, **scheduler: Any) -> None:
    path = project / "config/platforms/cpu.yaml"
    path.write_text(f"{path.read_text()}scheduler: {json.dumps(scheduler)}\n")


def manifest(project: Path) -> dict[str, Any]:
    """The job of one cell of two processes on ``cpu``, whose host has 4 GiB and whose budget are 300 s."""
    study = load_study(project, {})
    cell = next(c for c in study.by_path.values() if c.id == "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2")
    request = resources_of(cell, study.catalog.platforms["cpu"])
    return job_manifest(
        "cell-1", {"key": cell.key or ""}, "python -m x", "/shared/p", "i:1", {"/shared": "nfs"}, request
    )


def pod(project: Path) -> dict[str, Any]:
    return dict(manifest(project)["spec"]["template"]["spec"])


def test_a_cell_without_gpus(project: Path) -> None:
    schedule(project, margin_s=60)
    job = manifest(project)
    assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]
    assert job["metadata"]["labels"]["app"] == "llm-dissect"
    found = job["spec"]["template"]["spec"]
    assert found["activeDeadlineSeconds"] == 360
    assert not {"affinity", "nodeSelector", "tolerations"} & found.keys()
    (container,) = found["containers"]
    assert container["command"] == ["/bin/sh", "-c", "exec python -m x"]
    assert (container["image"], container["workingDir"]) == ("i:1", "/shared/p")
    assert container["resources"] == {"limits": {"memory": "5202Mi"}}
    assert container["volumeMounts"][0] == {"name": "volume-0", "mountPath": "/shared"}
    assert found["volumes"][0] == {"name": "volume-0", "persistentVolumeClaim": {"claimName": "nfs"}}


def test_the_facts_of_a_platform(project: Path) -> None:
    spec = {"nodeSelector": {"gpu": "a800"}, "tolerations": [{"operator": "Exists"}], "runtimeClassName": "nvidia"}
    schedule(project, gpus=True, cpus=8, memory_gib=64, exclusive=True, pod_image="lab/x:2", pod_spec=spec)
    found = pod(project)
    assert spec.items() <= found.items()
    assert found["affinity"] == EXCLUSIVE
    assert found["containers"][0]["image"] == "lab/x:2"
    assert found["containers"][0]["resources"]["limits"] == {"memory": "65536Mi", "cpu": "8", "nvidia.com/gpu": "2"}


def test_an_affinity_of_the_site_joins_that_of_an_exclusive_cell(project: Path) -> None:
    schedule(project, exclusive=True, pod_spec={"affinity": {"nodeAffinity": {"x": 1}}})
    assert pod(project)["affinity"] == {**EXCLUSIVE, "nodeAffinity": {"x": 1}}


def test_an_exclusive_cell_stays_so_where_a_site_keeps_it_off_other_pods(project: Path) -> None:
    (required,) = EXCLUSIVE["podAntiAffinity"]
    off = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "noisy"}}}
    schedule(project, exclusive=True, pod_spec={"affinity": {"podAntiAffinity": {required: [off]}}})
    found = pod(project)["affinity"]["podAntiAffinity"]
    assert found == {required: [off, *EXCLUSIVE["podAntiAffinity"][required]]}


@pytest.mark.parametrize("key", ["containers", "volumes", "restartPolicy", "activeDeadlineSeconds"])
def test_what_runs_cannot_be_set(project: Path, key: str) -> None:
    schedule(project, pod_spec={key: []})
    with pytest.raises(ConfigError, match=rf"scheduler\.pod_spec.*'{key}' of a cell's pod cannot be set"):
        load_study(project, {})
