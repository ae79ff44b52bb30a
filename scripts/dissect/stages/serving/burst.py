"""The load: sent by guidellm in its own process, watched, analysed, and checked against the contract."""

import gzip
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import ServeSpec
from dissect.machine.hostload import cores
from dissect.machine.vendor import hidden_gpus
from dissect.metrics.serving import RequestSamples, ServingMetrics
from dissect.results.atomic import write_atomically
from dissect.stages.serving import contract, load
from dissect.stages.serving.client import Client, ServerGone, run_client
from dissect.stages.serving.engine import Engine, ServerReport, Span, gap_histogram, preemptions, total, version_in
from dissect.stages.serving.engine_terms import contradiction, read_terms
from dissect.stages.serving.load import Load, RequestRecord, Target
from dissect.stages.serving.prompts import turn_prompts
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.watch import Watch
from dissect.workloads.kv_cache import cache_bytes_of

PROMPTS = "prompts.jsonl"
REQUESTS = "requests.jsonl.gz"
RAW = "guidellm.json.gz"
CLIENT_LOG = "guidellm.log"
PARTIAL = "requests.partial.jsonl.gz"
"""Name of the file with the records that exist when the server dies; for diagnosis only."""
SO_FAR = "bursts.partial.jsonl.gz"
"""Name of the file with the requests of all complete bursts, while a cell goes on or after it ended early."""
MOST_LOADS = 2
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """One load with its records."""

    load: Load
    raw: bytes
    loads: int
    """Number of times that the load was sent."""
    window: tuple[float, float]
    """Time of the first send and of the end of the last answer, CLOCK_MONOTONIC."""
    client_cpu: float
    reports: Span
    """Before and after the load; where it was sent again, of the last time."""


def send(
    ready: ReadyServer, before: ServerReport, stands: Callable[[Sequence[RequestRecord]], bool] = lambda _: False
) -> Sent:
    """Send the load; send it once more, with other prompts, if the load generator loses a record.

    ``before`` is the server's report before it. ``stands`` says of the records that are left whether the load counts
    without the others.

    Raises:
        Ended: the server or the load generator ended before the load was complete.
    """
    after = before
    for loads in range(1, MOST_LOADS + 1):
        if loads > 1:
            turn_prompts(ready.folder / PROMPTS)
        raw = _run(ready)
        before, after = after, ready.report()
        records = load.normalise(raw)
        lost = contract.lost_records(ready.spec.workload, records.records)
        if lost:
            _LOG.info("the load generator lost %d of %d records in load %d", lost, ready.spec.workload.requests, loads)
        if not lost or stands(records.records):
            break
    clocks = time.monotonic() - time.time()
    end = records.started_at + records.end_s
    busiest = ready.watch.client.busiest(records.started_at, end)
    return Sent(records, raw, loads, (records.started_at + clocks, end + clocks), busiest, (before, after))


def _run(ready: ReadyServer) -> bytes:
    """Run guidellm to its end and return its output.

    Raises:
        Ended: guidellm failed, or the server died or stalled.
    """
    spec, engine, folder = ready.spec, ready.engine, ready.folder
    output = (folder / "guidellm.json").absolute()
    (folder / PARTIAL).unlink(missing_ok=True)
    target = Target(ready.server.url, engine.model_name(ready.checkpoint), ready.checkpoint, dict(engine.body))
    command = load.command(spec, target, folder.absolute() / PROMPTS, output)
    with TemporaryDirectory(prefix="llm-dissect-") as cache:
        environment = {
            "GUIDELLM__MAX_WORKER_PROCESSES": str(load.workers(cores())), "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": cache, **hidden_gpus(),
        }  # fmt: skip
        try:
            client = Client("guidellm", command, environment, folder / CLIENT_LOG, output, load.ended_so_far)
            return run_client(ready, client)
        except ServerGone:
            _keep_partial(output)
            raise


def _keep_partial(output: Path) -> None:
    try:
        records = load.normalise(output.read_bytes()).records
    except (OSError, ValueError) as error:
        _LOG.info("the load generator left no records of the interrupted load: %s", error)
        return
    write_atomically(output.with_name(PARTIAL), load.to_jsonl_gz(records))
    output.unlink()


def conclude(
    ready: ReadyServer, bursts: Sequence[Sent], configuration: Mapping[str, str], last: ServerReport
) -> dict[str, Any]:
    """Fields of a ``Measurement`` from all bursts; without numbers where one broke the contract.

    ``configuration`` and ``last``, its last report, are the server's, which need not run any more.
    """
    spec, engine, server = ready.spec, ready.engine, ready.server
    records = [record for sent in bursts for record in sent.load.records]
    files = {REQUESTS: load.to_jsonl_gz(records), RAW: raw_of(bursts)}
    spans = [sent.reports for sent in bursts]
    hits = total(last.counters, engine.prefix_hits)
    version = version_in(configuration, engine)
    broken = next(filter(None, (contract.violation(spec, b.load.records, b.client_cpu, hits) for b in bursts)), None)
    terms = read_terms(engine.terms, server.said(), configuration, spec.hardware.n_gpus)
    if broken := broken or other_version(spec, engine, version) or contradiction(spec, terms):
        status = Status.OOM if contract.ran_out_of_memory(records) else Status.INVALID
        return {"status": status, "phase": Phase.SERVE, "reason": broken, "files": files, "flags": ()}
    tokens = terms.cache_tokens
    peak, source = ready.watch.peak_bytes()
    metrics = ServingMetrics(
        requests=len(records),
        prompt_tokens=sum(record.prompt_tokens or 0 for record in records),
        completion_tokens=sum(record.completion_tokens or 0 for record in records),
        duration_s=sum(sent.load.end_s for sent in bursts),
        burst_durations_s=[sent.load.end_s for sent in bursts],
        send_spread_s=max(record.t_send_s or 0.0 for record in records),
        samples=samples_of(spec, records),
        ready_s=ready.ready_s,
        loads=sum(sent.loads for sent in bursts),
        client_cpu=max(sent.client_cpu for sent in bursts),
        server_memory_bytes=peak or None,
        server_memory_source=source,
        kv_cache_tokens=tokens,
        kv_cache_bytes=cache_bytes_of(spec, tokens) if tokens else None,
        prefix_cache_hits=hits,
        energy_j=_energy(bursts, ready.watch),
        inter_token_pooled_s=pooled_gap(spec, records),
        inter_token_gaps=gap_histogram(spans, engine),
        preemptions=preemptions(spans, engine),
        most_answering=max(filter(None, (contract.most_answering(b.load.records) for b in bursts)), default=None),
        terms=terms,
        engine_version=version,
    )
    return {"metrics": metrics, "files": files}


def raw_of(bursts: Sequence[Sent]) -> bytes:
    """The load generator's own records of all bursts that it has any of, one JSON object per line, compressed."""
    return gzip.compress(b"\n".join(sent.raw for sent in bursts if sent.raw), mtime=0)


def _energy(bursts: Sequence[Sent], watch: Watch) -> float | None:
    """Joules over all GPUs and bursts, without the time between bursts; None where one is not known."""
    gpu = watch.machine.gpu
    found = [gpu.energy_j(*sent.window) if gpu else None for sent in bursts]
    return sum(joules for joules in found if joules is not None) if None not in found else None


def pooled_gap(spec: ServeSpec, records: Sequence[RequestRecord]) -> float | None:
    """Mean of all gaps between the pieces of streamed answers in seconds; a request counts by its number of gaps."""
    gaps = sum(max(record.pieces - 1, 0) for record in records)
    if not spec.workload.stream or not gaps:
        return None
    return sum((record.t_last_token_s or 0.0) - (record.t_first_token_s or 0.0) for record in records) / gaps


def samples_of(spec: ServeSpec, records: Sequence[RequestRecord]) -> RequestSamples:
    """Latencies of records that fulfil the contract, in seconds; docs/metrics.md has the formulas."""
    times = [
        (record.t_send_s or 0.0, record.t_first_token_s or 0.0, record.t_last_token_s or 0.0, record.t_end_s or 0.0)
        for record in records
    ]
    later, streams = spec.workload.output_tokens - 1, spec.workload.stream

    def rounded(values: list[float]) -> list[float]:
        return [round(value, 6) for value in values]

    gaps = [max(record.pieces - 1, 1) for record in records]
    return RequestSamples(
        sent_s=rounded([send for send, _, _, _ in times]),
        latency_s=rounded([end - send for send, _, _, end in times]),
        ttft_s=rounded([first - send for send, first, _, _ in times]) if streams else None,
        tpot_s=rounded([(end - first) / later for _, first, _, end in times]) if streams and later else None,
        inter_token_s=rounded([(last - first) / n for (_, first, last, _), n in zip(times, gaps, strict=True)])
        if streams and later
        else None,
    )


def other_version(spec: ServeSpec, engine: Engine, version: str | None) -> str | None:
    """How the running engine's version differs from the declared one, where only the server can be asked, or None."""
    declared = next((spec.software.versions[n] for n in engine.distributions if n in spec.software.versions), None)
    if declared is None or version is None:
        return None
    reported = declared.removeprefix("v")
    if version.removeprefix("v") in (reported, engine.misreported.get(reported)):
        return None
    return f"version {declared} of the engine is declared, {version} runs"
