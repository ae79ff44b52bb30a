"""A load generator: a process that is watched with the server that it asks, and ends with it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dissect.base.outcome import Phase, Status
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.server import Kept
from dissect.stages.serving.stall import Silence, longest_silence_s
from dissect.stages.serving.watch import Ended, death, device_error

_LEAVES_S = 60.0
"""Seconds for a load generator to write its records once the server is gone."""


@dataclass(frozen=True)
class Client:
    """How a load generator is started, and what it leaves."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    output: Path
    """File with its records, which it writes in the end."""
    ended_so_far: Callable[[str], int | None]
    """Number of requests that had ended by the progress in its log; None before any."""


class ServerGone(Ended):
    """The server died or stalled under a load; the load generator may have left records of it."""

    def __init__(self, how: Ended) -> None:
        super().__init__(how.status, how.phase, how.reason, how.by_load)


def run_client(ready: ReadyServer, client: Client) -> bytes:
    """Run a load generator to its end; its records, which are no longer in its folder.

    Raises:
        ServerGone: the server died or stalled before.
        Ended: the load generator failed, or a limit was passed.
    """
    for stale in (client.output, client.log):
        stale.unlink(missing_ok=True)
    with Kept(client.command, client.environment, client.log, folder=ready.folder) as process:
        _wait(ready, process, client)
    if process.exit_code != 0 or not client.output.exists():
        records = "a record" if client.output.exists() else "no record"
        reason = f"{client.name} ended with exit code {process.exit_code} and {records}"
        raise Ended(Status.FAILED, Phase.SERVE, f"{reason}; the end of {client.log}: {process.last_words()}")
    raw = client.output.read_bytes()
    client.output.unlink()
    return raw


def _wait(ready: ReadyServer, process: Kept, client: Client) -> None:
    """Wait until a load generator has ended.

    Raises:
        ServerGone: the server died or stalled before.
    """
    engine, server, load = ready.engine, ready.server, ready.spec.workload
    longest_s = longest_silence_s(load, ready.watch.warmup_s)
    silence = Silence(ready.watch, longest_s, load.requests, device_error(server.said()))
    stalled: Ended | None = None
    gone_at: float | None = None
    while process.exit_code is None and (gone_at is None or time.monotonic() <= gone_at + _LEAVES_S):
        ready.watch.pause(server, process.pids(), Phase.SERVE)
        if gone_at is None and (stalled := silence.stalled(engine, server, client.ended_so_far(process.said()))):
            server.stop()
        if gone_at is None and (stalled or server.exit_code is not None):
            gone_at = time.monotonic()
    if stalled or server.exit_code is not None:
        process.stop()
        raise ServerGone(stalled or death(engine, server))
