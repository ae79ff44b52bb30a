"""Measurement of a serving cell: prepare checkpoint and prompts, start the engine, send the load, stop, report."""

import gzip
import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from dissect.base.outcome import Flag, Phase, Status
from dissect.base.text import without_controls
from dissect.base.units import GIB
from dissect.cells.site import ServingSite
from dissect.cells.spec import Hardware, ServeSpec
from dissect.machine.gpus import GpuInfo
from dissect.machine.idle import wait_until_idle
from dissect.machine.node import Node, look_at_node, too_few_gpus
from dissect.machine.suspension import Interval
from dissect.machine.vendor import vendor_of
from dissect.ranks.measurement import Measurement
from dissect.results.atomic import write_atomically
from dissect.results.result import Durations
from dissect.stages.serving import burst, rate_probes, startup
from dissect.stages.serving.calibration import calibrate
from dissect.stages.serving.checkpoint import NoSpace, checkpoint, checkpoint_bytes
from dissect.stages.serving.engine import Engine, ServerReport, load_engine
from dissect.stages.serving.load import to_jsonl_gz
from dissect.stages.serving.prompts import prompts_of, write_prompts
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.send_times import poisson_sends
from dissect.stages.serving.watch import Ended, Watch
from dissect.workloads.kv_cache import asked_cache_tokens

SERVER_LOG = "server.log"
KEPT_LOG = "server.log.gz"
"""Name of the log beside the run's result; the other is of the latest attempt."""
_LOG = logging.getLogger(__name__)


@dataclass
class ServingCell:
    """One serving cell, with what its steps share."""

    spec: ServeSpec
    engine: Engine
    site: ServingSite
    node: Node
    folder: Path
    """Folder of the cell in the store."""
    watch: Watch
    durations: Durations = field(default_factory=Durations)
    notes: dict[str, object] = field(default_factory=dict)
    arrival_seed: int = field(default_factory=lambda: random.getrandbits(32))
    """Seed of the arrivals of a search, drawn for each run: so what chance does to a search shows over runs."""

    def measure(self) -> Measurement:
        """Measure the cell.

        Raises:
            Ended: the cell ended before it had its numbers.
            NoSpace: the checkpoint does not fit its folder.
        """
        start = time.monotonic()
        root = Path(self.site.checkpoints).absolute()
        load = self.spec.workload
        with checkpoint(self.spec.model, load.dtype, load.seed, root, self.site.keep_checkpoints) as folder:
            prompts = prompts_of(self.spec, folder / "tokenizer.json")
            self._took(prepare_s=time.monotonic() - start)
            self.watch.start_budget()
            with self._server(folder) as ready:
                self._took(launch_s=ready.ready_s)
                warmup = time.monotonic()
                startup.warm_up(ready, prompts.warmup)
                self.watch.warmup_s = time.monotonic() - warmup
                self._took(warmup_s=self.watch.warmup_s)
                if load.arrival.search:
                    found = rate_probes.find_rate(ready, prompts.unseen, self.arrival_seed)
                    bursts = [each.sent for each in found.probed]
                    measured = rate_probes.conclude(ready, found)
                else:
                    bursts = self._bursts(ready, prompts.unseen)
                    measured = burst.conclude(ready, bursts, ready.configuration(), bursts[-1].reports[1])
                if load.calibrate and (metrics := measured.get("metrics")):
                    measured["metrics"] = metrics.model_copy(update=self._calibration(ready))
        measured["files"] |= self._log()
        self._took(window_s=sum(sent.load.end_s for sent in bursts))
        seen = self._seen([sent.window for sent in bursts])
        if measured.get("metrics") and measured["metrics"].preemptions:
            measured["flags"] = [flag for flag in Flag if flag in {*seen.flags, Flag.PREEMPTED}]
        return replace(seen, **measured)

    def ended(self, how: Ended) -> Measurement:
        """A measurement without numbers: why it ended, and what was seen of the machine."""
        seen = self._seen([(self.watch.start, time.monotonic())])
        return replace(seen, status=how.status, phase=how.phase, reason=how.reason, flags=(), files=self._log())

    def _log(self) -> dict[str, bytes]:
        """The server's log to keep with the run; a server of somebody else has none."""
        log = self.folder / SERVER_LOG
        return {KEPT_LOG: gzip.compress(log.read_bytes(), mtime=0)} if log.exists() else {}

    def _bursts(self, ready: ReadyServer, unseen: Iterator[str]) -> list[burst.Sent]:
        """All bursts; the requests of the complete ones are kept meanwhile, since the server may die in the next."""
        so_far, bursts = self.folder / burst.SO_FAR, list[burst.Sent]()
        so_far.unlink(missing_ok=True)
        before = ready.report()
        for _ in range(self.spec.workload.bursts):
            bursts.append(self._burst(ready, [*islice(unseen, self.spec.workload.requests)], before))
            before = bursts[-1].reports[1]
            write_atomically(so_far, to_jsonl_gz(record for sent in bursts for record in sent.load.records))
        return bursts

    def _calibration(self, ready: ReadyServer) -> dict[str, object]:
        """Fields of the metrics from the second load generator; the load that was measured stands without it."""
        try:
            return {"calibration": calibrate(ready, self.site)}
        except Ended as how:
            _LOG.warning("the load stands without calibration: %s", how.reason)
            return {"no_calibration": without_controls(how.reason)}

    def _burst(self, ready: ReadyServer, prompts: Sequence[str], before: ServerReport) -> burst.Sent:
        """One burst, of prompts that the server has not seen."""
        arrival, seed = self.spec.workload.arrival, self.spec.workload.seed
        sends = poisson_sends(arrival.rate, len(prompts), seed) if arrival.kind == "poisson" and arrival.rate else None
        write_prompts(self.folder / burst.PROMPTS, prompts, sends)
        return burst.send(ready, before)

    @contextmanager
    def _server(self, checkpoint: Path) -> Iterator[ReadyServer]:
        """Context with the engine ready; afterwards it is gone and the GPUs' memory is free."""
        log = self.folder / SERVER_LOG
        with startup.started(self.spec, self.engine, self.site, checkpoint, log, self.watch) as (server, ready_s):
            yield ReadyServer(self.spec, self.engine, checkpoint, server, self.folder, self.watch, ready_s)
        if isinstance(self.node.gpus, list) and self.site.url is None:
            self.watch.close()
            if left := _wait_until_idle(self.spec.hardware, self.node.gpus):
                self.notes["memory_not_back"] = left

    def _took(self, **seconds: float) -> None:
        self.durations = self.durations.model_copy(update=seconds)

    def _seen(self, windows: Sequence[Interval]) -> Measurement:
        """What the watchers saw of the machine from the first window to the last; clocks and power in them."""
        start, end = windows[0][0], windows[-1][1]
        observation = self.watch.machine.observe(start, end, self.watch.suspensions.intervals, busy=windows)
        return Measurement(
            status=Status.OK,
            flags=[flag for flag in Flag if observation.doubts().get(flag, False)],
            durations=self.durations,
            gpus=observation.gpus,
            other_processes=observation.other_processes,
            notes={**self.node.notes, **self.notes},
        )


def measure_server(spec: ServeSpec, node: Node, folder: Path) -> Measurement:
    """Measure a serving cell; ``folder`` is the cell's folder in the store.

    The budget starts once checkpoint and first prompts are prepared.
    """
    if sentence := unfit(spec, node):
        return Measurement(Status.FAILED, reason=sentence)
    if sentence := cannot_fit(spec):
        return Measurement(Status.SKIPPED_OOM, reason=sentence)
    site, engine = ServingSite.from_environment(), load_engine(spec)
    if sentence := startup.engine_mismatch(spec, site):
        return Measurement(Status.INVALID, reason=sentence)
    own = node.gpus if isinstance(node.gpus, list) and site.url is None else []
    if own:
        if busy := _wait_until_idle(spec.hardware, own):
            return Measurement(Status.FAILED, reason=f"the GPUs are in use: {busy}")
        node = look_at_node(spec.hardware)  # without those that were waited for
    watch = Watch(spec, node)
    cell = ServingCell(spec, engine, site, node, folder, watch)
    try:
        with watch.suspensions:
            return cell.measure()
    except Ended as how:
        return cell.ended(how)
    except NoSpace as error:
        return Measurement(Status.FAILED, Phase.BUILD, str(error))
    finally:
        watch.close()


def _wait_until_idle(hardware: Hardware, gpus: Sequence[GpuInfo]) -> str | None:
    return wait_until_idle(gpus, vendor_of(hardware).find_gpus, hardware.device_memory_bytes)


def unfit(spec: ServeSpec, node: Node) -> str | None:
    """Why the cell cannot run on this node, or None; checked before anything is made."""
    if spec.hardware.n_nodes > 1:
        return f"a server runs on one node here, the spec asks for {spec.hardware.n_nodes}"
    if spec.hardware.device != "cpu" and isinstance(node.gpus, str):
        return f"the cell needs {spec.hardware.n_gpus} GPUs: {node.gpus}"
    return too_few_gpus(spec.hardware, node)


def cannot_fit(spec: ServeSpec) -> str | None:
    """Why the weights alone exceed the GPUs' memory, in one sentence, or None."""
    needed = checkpoint_bytes(spec.model, spec.workload.dtype) / spec.hardware.n_gpus
    there = spec.hardware.device_memory_bytes
    tokens, request = asked_cache_tokens(spec), spec.workload.input_tokens + spec.workload.output_tokens
    if needed <= there and tokens is not None and tokens < request:
        return f"the terms leave a KV cache of {max(tokens, 0)} tokens, one request takes {request}"
    if needed <= there:
        return None
    return f"the weights alone take {needed / GIB:.2f} GiB per GPU, {there / GIB:.2f} GiB are available"
