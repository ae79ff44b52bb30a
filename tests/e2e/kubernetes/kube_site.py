"""A clone whose cells are measured by pods of the test cluster."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kube_cluster import Cluster
from slurm_site import Run, Site, new_site

from clones import ROOT

SPACE = "llm-dissect"
POLL = ("--seconds-between-status-checks=2", "--latency-wait=10")
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists"}


@dataclass
class KubeSite(Site):
    """One clone, and the service account of the login pod."""

    cluster: Cluster  # type: ignore[assignment]

    @classmethod
    def new(cls, folder: Path, cluster: Cluster) -> Self:
        """A fresh clone with platforms ``eight`` and ``other``, each on its pool of GPU nodes."""
        site = cls(new_site(folder, cluster).folder, cluster)  # type: ignore[arg-type]
        (folder / ".envs").symlink_to(ROOT / ".envs")
        for name in cluster.partitions:
            site.platform(name)
        return site

    def platform(self, name: str, facts: dict[str, Any] | None = None, **scheduler: Any) -> None:
        """A platform on the nodes of the pool of that name."""
        spec = {"nodeSelector": {"pool": name}, "tolerations": [TOLERATION]}
        super().platform(name, facts, **{"pod_spec": spec, **scheduler})

    def start(self, *arguments: str) -> Run:
        """Start the profile's command as in the login pod, in a process group of its own."""
        token = self.cluster.token_of(SPACE, "workflow")
        here = {
            **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.cluster.kubeconfig(self.folder / "kubeconfig", token)),
        }  # fmt: skip
        return Run(
            subprocess.Popen(
                ["profiles/kubernetes/run", *POLL, *arguments], cwd=self.folder, env=here, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )
        )  # fmt: skip

    def left(self) -> list[str]:
        """Names of the jobs and pods that are left in the namespace, the login pod aside."""
        base = f"namespaces/{SPACE}"
        found = [f"/apis/batch/v1/{base}/jobs", f"/api/v1/{base}/pods"]
        names = [item["metadata"]["name"] for path in found for item in self.cluster.ask("GET", path)["items"]]
        return [name for name in names if name != "login"]
