"""Starting a server: from its command line to readiness by a real completion, and warm-up."""

import logging
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.site import ServingSite
from dissect.cells.spec import ServeSpec
from dissect.machine.node import Node
from dissect.machine.vendor import shown_gpus, vendor_of
from dissect.results.installed import installed_in, software_mismatch
from dissect.stages.serving.engine import HOST, PORT_TAKEN, UNCAUGHT, Engine, Place, memory_phase, phase_of
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.server import RunningServer, Server, command_of, complete, free_ports, own_environment
from dissect.stages.serving.stall import Silence
from dissect.stages.serving.watch import Ended, Watch, death, device_error

TRIES = 3
"""Number of ports to try: between choosing one and listening on it, another process may take it."""
_ANSWER_S = 300.0
_FIRST_TOKENS = 4
_LINGERS_S = 60.0
"""Seconds that a server may keep running after it logged out of memory or a failure of its main program."""
_SCRIPTS = "import sysconfig; print(sysconfig.get_path('scripts'))"
_LOG = logging.getLogger(__name__)


def engine_mismatch(spec: ServeSpec, site: ServingSite) -> str | None:
    """How the engine's own Python differs from what the spec declares, in one sentence, or None."""
    if site.python is None or not spec.software.versions:
        return None
    try:
        return software_mismatch(spec.software, installed_in(site.python))
    except subprocess.CalledProcessError as error:
        return f"{site.python} does not start: {error.stderr.strip().splitlines()[-1:]}"


@contextmanager
def started(
    spec: ServeSpec, engine: Engine, site: ServingSite, checkpoint: Path, log: Path, watch: Watch
) -> Iterator[tuple[Server, float]]:
    """Context with a server that answers, and the seconds that it took to; afterwards it is stopped.

    Raises:
        Ended: the server died, or was not ready in time.
    """
    for attempt in range(1, TRIES + 1):
        log.unlink(missing_ok=True)
        begin = time.monotonic()
        with (
            TemporaryDirectory(prefix="llm-dissect-", ignore_cleanup_errors=True) as own,
            _server(spec, engine, site, checkpoint, log, watch.node, Path(own)) as server,
        ):
            if _wait_until_ready(spec, engine, checkpoint, server, watch):
                yield server, time.monotonic() - begin
                return
            if attempt == TRIES or not PORT_TAKEN.search(server.said()):
                raise death(engine, server)
            _LOG.info("a port of %s was taken, trying others", server.url)


def _server(
    spec: ServeSpec, engine: Engine, site: ServingSite, checkpoint: Path, log: Path, node: Node, folder: Path
) -> Server:
    """The server of a cell, not yet started; ``folder`` is its own, which goes with it if this process is killed."""
    if site.url is not None:
        return RunningServer([], {}, log, url=site.url.rstrip("/"))
    environment = {
        **vendor_of(spec.hardware).environment, **own_environment(spec, engine), **_path(site),
        **shown_gpus(spec.hardware, node.indices),
    }  # fmt: skip
    docker = site.container is not None and site.container.runtime == "docker"
    port, *spare_ports = free_ports(3)
    place = Place(checkpoint, port, tuple(spare_ports), Path("/tmp") if docker else folder)
    name = f"llm-dissect-{os.getpid()}-{port}"
    return Server(
        command=command_of(spec, engine, site, place, name),
        environment=environment,
        log=log,
        folder=folder,
        farewell=[*([["docker", "rm", "--force", name]] if docker else []), ["rm", "-r", "--force", str(folder)]],
        url=f"http://{HOST}:{port}",
        in_sight=not docker,
    )


def _path(site: ServingSite) -> dict[str, str]:
    """PATH with the programs of the engine's own Python in front, since LightLLM starts hypercorn by its name."""
    if site.python is None:
        return {}
    asked = [*shlex.split(site.python), "-c", _SCRIPTS]
    folder = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()[-1]
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def request_body(engine: Engine, checkpoint: Path, prompt: str, tokens: int) -> dict[str, Any]:
    """Request for a complete answer of ``tokens`` tokens, otherwise as in the measured load."""
    return {"model": engine.model_name(checkpoint), "prompt": prompt, "max_tokens": tokens, **engine.body}


def _wait_until_ready(spec: ServeSpec, engine: Engine, checkpoint: Path, server: Server, watch: Watch) -> bool:
    """True once a completion came back; another process at the server's port is not asked.

    False once the server has ended, or has failed while some of its processes still run.

    Raises:
        Ended: a limit of time or memory is passed.
    """
    limit = time.monotonic() + spec.sampling.ready_s - watch.suspended_s
    body = request_body(engine, checkpoint, "w1 w2 w3", min(_FIRST_TOKENS, spec.workload.output_tokens))
    hopeless_since: float | None = None
    answer = "it never answered"
    asked: Future[dict[str, Any]] | None = None
    while server.exit_code is None:
        if asked is None and server.has_its_port():
            asked = _ask(server, body, min(_ANSWER_S, spec.sampling.ready_s))
        phase = phase_of(server.said(), engine)
        watch.pause(server, [], phase)
        if asked is not None and asked.done():
            error = asked.exception()
            if error is None:
                return True
            answer, asked = f"its last answer: {error}", None
        now = time.monotonic()
        said = server.said()
        if memory_phase(said, engine) or UNCAUGHT.search(said):
            hopeless_since = hopeless_since or now
            if now > hopeless_since + _LINGERS_S:
                return False
        if now > limit + watch.suspended_s:
            reason = f"the server was not ready within {spec.sampling.ready_s:g} s; {answer}"
            raise Ended(Status.TIMEOUT, phase, reason)
    return False


def _ask(server: Server, body: Mapping[str, Any], timeout_s: float) -> Future[dict[str, Any]]:
    """A complete answer to come, from a thread that nothing waits for: a server behind a URL may never give it."""
    asked: Future[dict[str, Any]] = Future()

    def ask() -> None:
        try:
            asked.set_result(complete(server.url, body, timeout_s))
        except Exception as error:
            asked.set_exception(error)

    Thread(target=ask, daemon=True).start()
    return asked


def warm_up(ready: ReadyServer, prompts: Sequence[str]) -> None:
    """Request complete answers to prompts that the load does not have, all at once; failed requests are only logged.

    Raises:
        Ended: the server died or stalled, or a limit was passed.
    """
    spec, engine, server = ready.spec, ready.engine, ready.server
    silence = Silence(ready.watch, earlier=device_error(server.said()))
    bodies = [request_body(engine, ready.checkpoint, prompt, spec.workload.output_tokens) for prompt in prompts]
    asked = [_ask(server, body, spec.sampling.budget_s) for body in bodies]
    while not all(answer.done() for answer in asked):
        if server.exit_code is not None:
            raise death(engine, server)
        ready.watch.pause(server, [], phase_of(server.said(), engine))
        if stalled := silence.stalled(engine, server, sum(answer.done() for answer in asked)):
            raise stalled
    failed = [error for answer in asked if (error := answer.exception())]
    if failed:
        _LOG.info("%d of %d warm-up requests failed, one with: %s", len(failed), len(asked), failed[0])
