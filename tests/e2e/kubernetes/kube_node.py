"""A node of the test cluster: what a kubelet does, but for images, mounts and the isolation of containers.

The API server and the scheduler see a node like any other. A pod's container is a process of this machine, in the
folder that the pod names, which is what a volume on the same path would show.
"""

import math
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import psutil
from kube_cluster import Cluster

PATCH = "application/merge-patch+json"
GRACE_S = 5


@dataclass
class Node:
    """One node, with as many GPUs as it says."""

    cluster: Cluster
    name: str
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """Process of every pod that the node ever had, by the pod's name."""
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The same pods, as they were when they started."""
    times: dict[str, list[float]] = field(default_factory=dict)
    """When each pod started, and when it ended."""

    def register(self, gpus: int, labels: dict[str, str], taints: list[dict[str, str]]) -> None:
        """Tell the API server what the node has."""
        has = {"cpu": "32", "memory": "500Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
        labels = {"kubernetes.io/hostname": self.name, **labels}
        self.cluster.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels},
             "spec": {"taints": taints}}
        )  # fmt: skip
        status = {
            "capacity": has, "allocatable": has, "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }  # fmt: skip
        self.cluster.ask("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status}, PATCH)

    def look(self) -> None:
        """Start, end and report pods."""
        path = f"/api/v1/pods?fieldSelector=spec.nodeName={self.name}"
        for pod in self.cluster.ask("GET", path)["items"]:
            name = pod["metadata"]["name"]
            if pod["metadata"].get("deletionTimestamp"):
                self._end(name)
                self._report(pod)
                self.cluster.ask("DELETE", _path(pod), {"gracePeriodSeconds": 0})
            elif name not in self.processes:
                self._start(pod)
            elif pod["status"]["phase"] == "Running":
                late = time.monotonic() - self.times[name][0] > pod["spec"].get("activeDeadlineSeconds", math.inf)
                if late:
                    self._end(name)
                self._report(pod, late)

    def log(self, pod: str) -> Path:
        """What a pod printed."""
        return self.cluster.folder / f"{pod}.pod.log"

    def span(self, pod: str) -> tuple[float, float]:
        """When a pod started and ended, in seconds of a clock that only counts."""
        start, end = self.times[pod]
        return start, end

    def alive(self, pod: dict[str, Any]) -> bool:
        """Whether the process of a pod runs."""
        return self.processes[pod["metadata"]["name"]].poll() is None

    def kill(self, pod: str) -> None:
        """End all processes of a pod at once, as the kernel does when memory is short."""
        first = psutil.Process(self.processes[pod].pid)
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _start(self, pod: dict[str, Any]) -> None:
        (container,) = pod["spec"]["containers"]
        name = pod["metadata"]["name"]
        here = {"PATH": os.environ["PATH"], "HOME": "/root", "HOSTNAME": name}
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                container["command"], cwd=container["workingDir"], env=here, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.processes[name], self.pods[name], self.times[name] = process, pod, [time.monotonic()]
        self._report(pod)

    def _end(self, name: str) -> None:
        """Send SIGTERM to the first process of a pod; its end, or the end of patience, is the end of all."""
        if name not in self.processes or (process := self.processes[name]).poll() is not None:
            return
        others = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        for left in (process, *others):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                left.kill()
        process.wait()

    def _report(self, pod: dict[str, Any], late: bool = False) -> None:
        name = pod["metadata"]["name"]
        if name not in self.processes:
            return
        code = self.processes[name].poll()
        if code is not None and len(self.times[name]) == 1:
            self.times[name].append(time.monotonic())
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        state: dict[str, Any] = {"running": {"startedAt": now}}
        phase = "Running"
        if code is not None:
            phase = "Failed" if code or late else "Succeeded"
            reason = "Error" if code else "Completed"
            exit_code = code if code >= 0 else 128 - code
            state = {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": now, "finishedAt": now}}
        container = {"name": "cell", "image": "-", "imageID": "-", "ready": code is None, "restartCount": 0}
        status = {
            "phase": phase, "startTime": now, "containerStatuses": [{**container, "state": state}],
            **({"reason": "DeadlineExceeded", "message": "the pod was active for too long"} if late else {}),
        }  # fmt: skip
        self.cluster.ask("PATCH", f"{_path(pod)}/status", {"status": status}, PATCH)


def _path(pod: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


class _Logs(BaseHTTPRequestHandler):
    """GET /containerLogs/<namespace>/<pod>/<container>, as the API server asks a kubelet; no container ran before."""

    node: Node

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        file = self.node.log(path.split("/")[3])
        found = file.exists() and "previous=true" not in query
        self.send_response(200 if found else 400)
        self.end_headers()
        self.wfile.write(file.read_bytes() if found else b"previous terminated container not found")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def running_node(
    cluster: Cluster, name: str, gpus: int, labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
) -> Iterator[Node]:  # fmt: skip
    """A node that looks at its pods twice a second while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Logs)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cluster.authority, cluster.authority.with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    node = Node(cluster, name, server.server_port)
    server.RequestHandlerClass = type("Logs", (_Logs,), {"node": node})
    node.register(gpus, labels or {}, taints or [])
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.5):
            with suppress(HTTPError, URLError, OSError):  # the API server may be away
                node.look()

    threads = [threading.Thread(target=work), threading.Thread(target=server.serve_forever)]
    for thread in threads:
        thread.start()
    try:
        yield node
    finally:
        over.set()
        server.shutdown()
        for thread in threads:
            thread.join()
        for pod in node.processes:
            node._end(pod)
