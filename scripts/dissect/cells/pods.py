"""The Kubernetes job of a cell, from the same requests that Slurm gets."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

LABEL = "llm-dissect"
"""Value of the label ``app`` of every job and pod of the project."""
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
"""Key of the terms of an affinity that must hold."""


def job_manifest(
    name: str, labels: Mapping[str, str], command: str, folder: str, image: str,
    volumes: Mapping[str, str], request: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Manifest of a ``batch/v1`` Job that runs ``command`` in ``folder`` once.

    ``volumes`` are persistent volume claims by the path on which every pod has them; ``request`` is that of
    :func:`dissect.cells.resources.resources_of`, with ``mem_mb`` in MiB and ``runtime`` in minutes.
    """
    labels = {**labels, "app": LABEL}
    # A node that is drained, or a preemption, is no failure: Kubernetes starts another pod.
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [disrupted]},
            "template": {"metadata": {"labels": labels}, "spec": _pod(command, folder, image, volumes, request)},
        },
    }


def _pod(
    command: str, folder: str, image: str, volumes: Mapping[str, str], request: Mapping[str, Any]
) -> dict[str, Any]:
    site = json.loads(request.get("pod_spec") or "{}")
    affinity = _affinity(request, site.pop("affinity", {}))
    claims = {f"volume-{number}": claim for number, claim in enumerate(volumes.values())}
    container = {
        "name": "cell",
        "image": request.get("pod_image") or image,
        # A SIGTERM reaches the process, not a shell.
        "command": ["/bin/sh", "-c", f"exec {command}"],
        "workingDir": folder,
        "resources": _resources(request),
        "volumeMounts": [
            *({"name": name, "mountPath": path} for name, path in zip(claims, volumes, strict=True)),
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }
    return {
        "restartPolicy": "Never",
        # The first process of a pod must reap the orphans of a killed rank; the pause container does.
        "shareProcessNamespace": True,
        "activeDeadlineSeconds": request["runtime"] * 60,
        **({"affinity": affinity} if affinity else {}),
        **site,
        "containers": [container],
        "volumes": [
            *({"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()),
            # NCCL and PyTorch share memory there, more than the 64 MB that a container has.
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ],
    }


def _resources(request: Mapping[str, Any]) -> dict[str, Any]:
    """Limits alone, which are requests as well: such a pod keeps its cores and is evicted last."""
    cpus, gpus = request.get("cpus_per_task") or 0, request.get("gpu")
    limits = {"memory": f"{request['mem_mb']}Mi"}
    if cpus > 0:
        limits["cpu"] = str(cpus)
    if gpus:
        limits["nvidia.com/gpu"] = str(gpus)
    return {"limits": limits}


def _affinity(request: Mapping[str, Any], of_site: Mapping[str, Any]) -> dict[str, Any]:
    """The site's, and what keeps all other cells off the node of an exclusive one, and no pod of others."""
    if "--exclusive" not in shlex.split(request.get("slurm_extra") or ""):
        return dict(of_site)
    term = {"labelSelector": {"matchLabels": {"app": LABEL}}, "topologyKey": "kubernetes.io/hostname"}
    apart = of_site.get("podAntiAffinity", {})
    return {**of_site, "podAntiAffinity": {**apart, REQUIRED: [*apart.get(REQUIRED, []), term]}}
