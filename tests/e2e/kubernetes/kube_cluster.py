"""A real Kubernetes control plane on this machine: etcd, API server, scheduler and controllers, all in one folder.

Its nodes are those of kube_node.py: their pods are processes of this machine, without images and mounts.
"""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import yaml

from clones import ROOT

BIN = ROOT / ".cache/kubernetes"
"""Where `make test-kubernetes` builds the programs of Kubernetes."""
CONTROLLERS = ("job", "persistentvolume-binder", "garbage-collector", "serviceaccount", "namespace")
START_S = 120
ADMIN = "admin-of-the-tests"


def why_not() -> str | None:
    """Why no cluster can run here, or None."""
    if shutil.which("etcd") is None:
        return "Kubernetes is not installed: no etcd"
    if not (BIN / "kube-apiserver").exists():
        return "Kubernetes is not installed: `make test-kubernetes` builds it"
    return None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@dataclass
class Cluster:
    """A running cluster."""

    folder: Path
    port: int
    store: int
    """Port of etcd."""
    partitions: tuple[str, ...] = ("eight", "other")
    """Pools of GPU nodes; the platforms of a clone have their names."""
    _running: ExitStack = field(default_factory=ExitStack)

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict[str, Any]:
        """What the API server answers its administrator; raises HTTPError."""
        request = Request(f"https://127.0.0.1:{self.port}{path}", method=method)
        request.add_header("Authorization", f"Bearer {ADMIN}")
        data = None
        if body is not None:
            request.add_header("Content-Type", kind)
            data = json.dumps(body).encode()
        with urlopen(request, data, timeout=30, context=ssl.create_default_context(cafile=self.authority)) as answer:
            return json.load(answer)

    @property
    def authority(self) -> Path:
        """The certificate that the API server signed for itself."""
        return self.folder / "certificates/apiserver.crt"

    def create(self, manifest: Mapping[str, Any]) -> None:
        """What `kubectl create` does, for the kinds that the tests need."""
        version, kind, namespace = manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace")
        base = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        self.ask("POST", f"{base}{within}/{kind.lower()}s?fieldValidation=Strict", manifest)

    def kubeconfig(self, file: Path, token: str) -> Path:
        """A file with which a client is the owner of a token."""
        server = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.authority)}
        context = {"cluster": "test", "user": "test"}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
        }  # fmt: skip
        file.write_text(yaml.safe_dump(content))
        return file

    def token_of(self, namespace: str, account: str) -> str:
        """A token of a service account, as its pods have one."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(self.ask("POST", path, body)["status"]["token"])

    def wait_until(self, what: str, holds: Callable[[], object], seconds: float = 60) -> None:
        """Wait for a condition; unreachable servers count as not yet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except (HTTPError, URLError, OSError):
                pass
            time.sleep(0.3)
        raise AssertionError(f"not within {seconds:.0f} s: {what}")

    def start_server(self) -> None:
        """Start the API server; once it was stopped, it starts again on the same data."""
        key = self.folder / "accounts.key"
        options = {
            "etcd-servers": f"http://127.0.0.1:{self.store}", "secure-port": self.port, "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1", "cert-dir": self.folder / "certificates",
            "token-auth-file": self.folder / "tokens.csv", "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.96.0.0/16", "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": key, "service-account-signing-key-file": key,
            "kubelet-preferred-address-types": "InternalIP",
            # The controller that would find a new node ready is not among those that run.
            "disable-admission-plugins": "TaintNodesByCondition",
        }  # fmt: skip
        self._running.enter_context(started(self.folder, BIN / "kube-apiserver", options))
        self.wait_until("the API server is ready", lambda: self.ask("GET", "/api/v1/namespaces/default"), START_S)

    def stop_server(self) -> None:
        """End the API server alone."""
        self._running.close()


@contextmanager
def started(folder: Path, program: str | Path, options: Mapping[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """A program while the block runs; its log lies in the folder."""
    command = [str(program), *(f"--{name}={value}" for name, value in options.items())]
    with (folder / f"{Path(program).name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster without nodes."""
    etcd, peer = free_port(), free_port()
    cluster = Cluster(folder, free_port(), etcd)
    (folder / "tokens.csv").write_text(f"{ADMIN},admin,admin,system:masters\n")
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    store = {
        "data-dir": folder / "etcd", "listen-client-urls": f"http://127.0.0.1:{etcd}",
        "advertise-client-urls": f"http://127.0.0.1:{etcd}", "listen-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}", "initial-cluster": f"default=http://127.0.0.1:{peer}",
        "unsafe-no-fsync": "true",
    }  # fmt: skip
    alone = {"kubeconfig": cluster.kubeconfig(folder / "admin.yaml", ADMIN), "leader-elect": "false", "secure-port": 0}
    controls = {
        **alone, "controllers": ",".join(f"{name}-controller" for name in CONTROLLERS),
        "service-account-private-key-file": key,
    }  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(started(folder, "etcd", store))
        stack.callback(cluster.stop_server)
        cluster.start_server()
        stack.enter_context(started(folder, BIN / "kube-scheduler", alone))
        stack.enter_context(started(folder, BIN / "kube-controller-manager", controls))
        yield cluster
