"""A running server: start, supervise, query and stop it."""

import http.client
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from dissect.cells.site import ServingSite
from dissect.cells.spec import ServeSpec
from dissect.machine.vendor import shown_gpus, vendor_of
from dissect.stages.serving import keeper
from dissect.stages.serving.engine import HOST, Engine, Place

GRACE_S = 15.0
"""Seconds that a server gets to end by itself."""
_KEEPER_S = 60.0
"""Further seconds for its keeper, since the kernel has much memory to free."""
_TAIL_LINES = 15
_FOLDERS = re.compile(
    r"PATH|CPATH|HOME|TMPDIR|\w+_(PATH|HOME|DIR|ROOT|CACHE)|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ"
    r"|(APPTAINER|SINGULARITY|DOCKER)_\w+"
)
"""Variables by which programs find programs, folders and the user: all that a server inherits."""


def free_ports(count: int) -> list[int]:
    """Different ports of this machine that are free now; another process may still take one first."""
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

    Raises:
        ValueError: the site offers nothing that starts this engine.
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
    options = [*vendor_of(spec.hardware).container_options.get(site.container.runtime, ()), *site.container.options]
    if site.container.runtime == "apptainer":
        binds = [part for path in (*seen, str(place.folder)) for part in ("--bind", path)]
        return ["apptainer", "exec", *options, *binds, image, engine.program, *inside]
    volumes = [part for path in seen for part in ("-v", f"{path}:{path}:ro")]
    variables = [part for pair in own_environment(spec, engine).items() for part in ("-e", "=".join(pair))]
    # With the values that docker itself is given.
    visible = [part for name in shown_gpus(spec.hardware, []) for part in ("-e", name)]
    return [
        "docker", "run", "--rm", "--name", name, *options, "--network", "host", "--ipc", "host",
        *volumes, *variables, *visible, "--entrypoint", engine.program, image, *inside,
    ]  # fmt: skip


def own_environment(spec: ServeSpec, engine: Engine) -> dict[str, str]:
    """Environment of every server: what the spec sets, what the engine needs, and no access to the Hugging Face Hub."""
    return {**spec.hardware.environment, **engine.environment(spec), "HF_HUB_OFFLINE": "1"}


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-lines:])


def _from_anywhere(command: Sequence[str]) -> list[str]:
    """A command whose files are found from any working folder; a program without a path is one of the PATH."""
    return [
        # Path.is_file raises on a word that is longer than a file's name may be.
        str(Path(word).absolute()) if os.path.isfile(word) and (number or os.sep in word) else word  # noqa: PTH113
        for number, word in enumerate(command)
    ]


@dataclass
class Kept:
    """A program whose every process ends with the ``with`` block, or with this process, however that ends."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    farewell: Sequence[Sequence[str]] = ()
    """Commands to run once it has ended, such as the removal of a container."""
    folder: Path | None = None
    """Folder in which it runs; None for this process's own."""
    inherits: re.Pattern[str] = re.compile(".*")
    """Names of the variables that it gets from this process."""
    _keeper: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        options = json.dumps({"grace_s": GRACE_S, "farewell": list(map(list, self.farewell))})
        inherited = {name: value for name, value in os.environ.items() if self.inherits.fullmatch(name)}
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", keeper.__file__, options, *_from_anywhere(self.command)],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder,
                env={**inherited, **self.environment},
            )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it and wait until all its processes are gone."""
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
        """Exit code, above 128 for a signal; None while it runs."""
        return self._keeper.poll() if self._keeper else None

    def pids(self) -> list[int]:
        """Ids of all its processes, its keeper's included."""
        return tree(self._keeper.pid) if self._keeper and self._keeper.poll() is None else []

    def roots(self) -> list[int]:
        """Ids of its first process and of orphans: the children of its keeper."""
        try:
            return [child.pid for child in psutil.Process(self._keeper.pid).children()] if self._keeper else []
        except psutil.NoSuchProcess:
            return []

    def said(self) -> str:
        """The content of its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def last_words(self) -> str:
        """The last lines of its log as one."""
        return " ".join(tail(self.said(), 3).split())[-300:]


@dataclass
class Server(Kept):
    """The server of one cell."""

    url: str = ""
    inherits: re.Pattern[str] = _FOLDERS
    in_sight: bool = True
    """Whether its processes descend from this one; not those of Docker."""

    def has_its_port(self) -> bool:
        """Whether one of its own processes listens where it is asked; also where nothing shows who listens there."""
        if not self.in_sight:
            return True
        port = urlsplit(self.url).port
        for pid in self.pids():
            try:
                found = psutil.Process(pid).net_connections("tcp")
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                return True
            if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found):
                return True
        return False


@dataclass
class RunningServer(Server):
    """A server behind a URL that this project neither starts nor stops."""

    in_sight: bool = False

    def __enter__(self) -> Self:
        return self


def tree(pid: int) -> list[int]:
    """Ids of a process and of all its descendants that run."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def complete(url: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """One complete answer of ``/v1/completions``, not streamed.

    For readiness and warm-up; what is measured goes through the load generator.

    Raises:
        OSError: the server does not answer.
        ValueError: it answers anything else.
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
    """The server's answer at a path; None if it has none, or no whole one."""
    try:
        with urllib.request.urlopen(f"{url}{path}", timeout=timeout_s) as answer:
            return str(answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return None
