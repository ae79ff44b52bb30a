"""A running server: how it is started, watched, asked and stopped."""

import json
import os
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from dissect.cells.site import ServingSite
from dissect.cells.spec import ServeSpec
from dissect.machine.vendor import shown_gpus, vendor_of
from dissect.stages.serving import keeper
from dissect.stages.serving.engine import HOST, Engine, Place

GRACE_S = 15.0
"""What a server gets to end by itself."""
_KEEPER_S = 60.0
"""What its keeper gets beyond that: the kernel frees much memory."""
_TAIL_LINES = 15


def free_ports(count: int) -> list[int]:
    """Different ports of this machine that nobody listens on now; somebody else may be faster."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def command_of(spec: ServeSpec, engine: Engine, site: ServingSite, place: Place, name: str) -> list[str]:
    """The command line of the server; ``name`` is for its container.

    Raises ``ValueError`` where the site offers nothing that starts this engine.
    """
    arguments = engine.arguments(spec, place)
    if site.python is not None:
        return [*shlex.split(site.python), *engine.start, *arguments]
    if site.command is not None:
        return [*shlex.split(site.command), *arguments]
    if site.container is None:
        raise ValueError("the platform names neither a Python nor a command nor a container for this engine")
    inside = [*engine.start, *arguments]
    image, seen = site.container.image, [str(path) for path in (place.checkpoint, *engine.files)]
    gpus = vendor_of(spec.hardware).container_options.get(site.container.runtime, ())
    if site.container.runtime == "apptainer":
        binds = [part for path in seen for part in ("--bind", path)]
        return ["apptainer", "exec", *gpus, *binds, image, engine.program, *inside]
    volumes = [part for path in seen for part in ("-v", f"{path}:{path}:ro")]
    variables = [part for pair in own_environment(spec, engine).items() for part in ("-e", "=".join(pair))]
    # With the values that docker itself is given.
    visible = [part for name in shown_gpus(spec.hardware, []) for part in ("-e", name)]
    return [
        "docker", "run", "--rm", "--name", name, *gpus, "--network", "host", "--ipc", "host",
        *volumes, *variables, *visible, "--entrypoint", engine.program, image, *inside,
    ]  # fmt: skip


def own_environment(spec: ServeSpec, engine: Engine) -> dict[str, str]:
    """Variables of every server: what the spec says, what the engine needs, and no look at the outside."""
    return {**spec.hardware.environment, **engine.environment(spec), "HF_HUB_OFFLINE": "1"}


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


@dataclass
class Kept:
    """A program whose every process ends with the ``with`` block, or with this process, however that ends."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    farewell: Sequence[str] = ()
    """What is run once it has ended, such as the removal of a container."""
    folder: Path | None = None
    """That it works in."""
    _keeper: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        options = json.dumps({"grace_s": GRACE_S, "farewell": list(self.farewell)})
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", keeper.__file__, options, *self.command],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it and wait until every process of it is gone."""
        if self._keeper is None:
            return
        if self._keeper.stdin and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(GRACE_S + _KEEPER_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; above 128 for a signal."""
        return self._keeper.poll() if self._keeper else None

    def pids(self) -> list[int]:
        """All processes of it, its keeper included."""
        return tree(self._keeper.pid) if self._keeper and self._keeper.poll() is None else []

    def roots(self) -> list[int]:
        """Its own first process, and those that lost their parent: its keeper's children."""
        try:
            return [child.pid for child in psutil.Process(self._keeper.pid).children()] if self._keeper else []
        except psutil.NoSuchProcess:
            return []

    def said(self) -> str:
        """Its whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass
class Server(Kept):
    """The server of one cell."""

    url: str = ""


@dataclass
class RunningServer(Server):
    """A server of somebody else, behind a URL: never started and never stopped."""

    def __enter__(self) -> Self:
        return self


def tree(pid: int) -> list[int]:
    """A process and all below it that live."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def complete(url: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """One whole answer of ``/v1/completions``; raises ``OSError`` or ``ValueError`` for anything else.

    For readiness and warm-up; what is measured goes through the load generator.
    """
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        content = json.loads(answer.read())
    if not isinstance(content, dict) or not content.get("choices"):
        raise ValueError(f"answered without a choice: {str(content)[:200]}")
    return content


def get(url: str, path: str, timeout_s: float = 10.0) -> str | None:
    """What the server says at a path; None where it has no such path."""
    try:
        with urllib.request.urlopen(f"{url}{path}", timeout=timeout_s) as answer:
            return str(answer.read().decode(errors="replace"))
    except (OSError, urllib.error.HTTPError):
        return None
