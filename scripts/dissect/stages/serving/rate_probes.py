"""The search for the rate that holds: probes on one warm server, each a load of its own."""

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from dissect.base.outcome import Phase, Status
from dissect.base.text import without_controls
from dissect.cells.spec import ServeSpec
from dissect.config.arrival import RateSearch
from dissect.metrics.serving import (
    RateBracket,
    RateProbe,
    RequestSamples,
    SearchEnd,
    ServingMetrics,
    count_kept,
    is_enough,
)
from dissect.results.atomic import write_atomically
from dissect.stages.serving import burst, contract, load
from dissect.stages.serving.bisection import Bisection
from dissect.stages.serving.burst import Sent
from dissect.stages.serving.engine import ServerReport
from dissect.stages.serving.load import Load, RequestRecord
from dissect.stages.serving.prompts import write_prompts
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.send_times import poisson_sends
from dissect.stages.serving.watch import Ended

SO_FAR = "probes.partial.jsonl.gz"
"""Name of the file with the requests of all complete probes, while a search goes on or after it ended early."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probed:
    """One probe with its requests."""

    probe: RateProbe
    sent: Sent
    answered: Sent
    """The same with the requests that were answered alone."""
    spec: ServeSpec
    """Load of the answered requests."""


@dataclass(frozen=True)
class Found:
    """All probes of a search."""

    search: RateSearch
    probed: Sequence[Probed]
    configuration: Mapping[str, str]
    """The server's own, by path: it need not run any more."""
    ended_by: SearchEnd
    server_failure: str | None = None

    @property
    def last(self) -> ServerReport:
        """The server's last report, after the last complete probe."""
        return self.probed[-1].sent.reports[1]

    @property
    def chosen(self) -> Probed:
        """The probe whose numbers the cell has: at the highest rate that held, or at the lowest where none did."""
        held = [each for each in self.probed if each.probe.holds(self.search.share)]
        return max(held, key=_rate) if held else min(self.probed, key=_rate)


def _rate(probed: Probed) -> float:
    return probed.probe.rate


def find_rate(ready: ReadyServer, unseen: Iterator[str], arrival_seed: int) -> Found:
    """Bisect until the bracket is narrow, the probes, the budget or the prompts are spent, or client or server fail.

    At least one probe is complete. ``unseen`` are prompts that the server has not seen. All probes have the gaps of one
    seed, over their rate: a higher rate is never easier by chance.

    Raises:
        Ended: the load generator ended, budget or prompts were spent in the first probe, the server failed or the load
            generator was too slow before a rate held, the server failed by something else than its load, or a probe
            did other work than the spec asks for.
        ValueError: the load of the spec has no search.
    """
    spec, folder = ready.spec, ready.folder
    search = spec.workload.arrival.search
    if search is None:
        raise ValueError("the load has no search")
    bisection = Bisection(search, random.random() - 0.5)
    (folder / SO_FAR).unlink(missing_ok=True)
    found: list[Probed] = []
    configuration: Mapping[str, str] = {}
    bracket, before = RateBracket(None, None), ready.report()
    while (rate := bisection.next_rate(bracket, len(found))) is not None:
        sends = poisson_sends(rate, spec.workload.requests, arrival_seed, search.probe_s)
        if len(prompts := [*islice(unseen, len(sends))]) < len(sends):
            reason = f"at {rate:g}/s {len(sends)} prompts begin with different words, {len(prompts)} are left"
            if not found:
                raise Ended(Status.INVALID, Phase.SERVE, f"{reason}; the search needs a smaller 'probe_s' or 'highest'")
            _LOG.info("the search ends: %s", reason)
            return Found(search, found, configuration, "prompts")
        write_prompts(folder / burst.PROMPTS, prompts, sends)
        asked = _with_requests(spec, len(sends))
        is_well, begin = _is_well(ready, found), time.monotonic()
        try:
            sent = burst.send(replace(ready, spec=asked), before, partial(_is_decided, asked, search))
            sent = replace(sent, load=replace(sent.load, records=_mark_cut(sent.load.records)))
            write_atomically(folder / SO_FAR, load.to_jsonl_gz(_numbered([*(each.sent for each in found), sent])))
            probed = _judged(asked, search, rate, sent)
        except Ended as how:
            if how.status is Status.TIMEOUT and found:
                _LOG.info("the probe at %g/s does not count: %s", rate, how.reason)
                return Found(search, found, configuration, "budget")
            reason = f"at {rate:g}/s: {how.reason}"
            if bracket.held is None or not how.by_load:
                raise Ended(how.status, how.phase, reason) from how
            _LOG.info("the search ends: %s", reason)
            failed = [_failed(ready, asked, rate, begin, before)] if is_well else []
            return Found(search, [*found, *failed], configuration, "server", without_controls(reason))
        if unfit := _unfit_client(asked, sent, probed.answered.load.records):
            if bracket.held is None:
                raise Ended(Status.INVALID, Phase.SERVE, f"at {rate:g}/s: {unfit}")
            _LOG.info("the probe at %g/s does not count: %s", rate, unfit)
            return Found(search, found, configuration, "client")
        found.append(probed)
        configuration = configuration or ready.configuration()
        before = sent.reports[1]
        bracket = RateBracket.of((each.probe for each in found), search.share)
        probe = found[-1].probe
        _LOG.info("at %g/s %d of %d requests kept the objective", rate, probe.kept, probe.requests)
    return Found(search, found, configuration, "bracket" if bisection.is_narrow(bracket) else "probes")


def _is_well(ready: ReadyServer, found: Sequence[Probed]) -> bool:
    """Whether the server runs and has answered the last request so far; else it may have failed at an earlier rate."""
    last = found[-1].sent.load.records[-1].status if found else "ok"
    return ready.server.exit_code is None and last == "ok"


def _failed(ready: ReadyServer, asked: ServeSpec, rate: float, begin: float, before: ServerReport) -> Probed:
    """The probe, begun at ``begin``, under which the server failed; what it answered until then does not count."""
    end, now = time.monotonic(), time.time()
    probe = RateProbe(
        rate=rate,
        requests=asked.workload.requests,
        kept=0,
        duration_s=end - begin,
        loads=1,
        client_cpu=ready.watch.client.busiest(now - (end - begin), now),
        ttft_s=[],
        tpot_s=[],
    )
    # The moment of the failure is its window: GPUs were idle for an unknown part of the time.
    sent = Sent(Load([], now), b"", 1, (end, end), probe.client_cpu, (before, before))
    return Probed(probe, sent, sent, asked)


def _with_requests(spec: ServeSpec, requests: int) -> ServeSpec:
    return spec.model_copy(update={"workload": spec.workload.model_copy(update={"requests": requests})})


def _numbered(probes: Iterable[Sent]) -> list[RequestRecord]:
    return [
        record.model_copy(update={"probe": number})
        for number, sent in enumerate(probes, start=1)
        for record in sent.load.records
    ]


def _mark_cut(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """The same, with answers that ended before the server's count of their tokens as ``incomplete``.

    To the load generator they are answered. Where a server never counts, none is left, and the probe does not pass.
    """
    return [
        record.model_copy(update={"status": "incomplete"})
        if record.status == "ok" and record.completion_tokens is None
        else record
        for record in records
    ]


def _is_decided(asked: ServeSpec, search: RateSearch, records: Sequence[RequestRecord]) -> bool:
    """Whether the requests without a record, if these are few, cannot change whether the rate holds.

    Nor can they change that a probe ends the search, by what the others were answered.
    """
    if contract.lossy_client(asked.workload, records):
        return False
    alone, answered = _answered(asked, _mark_cut(records))
    if contract.other_work(alone, answered, None):
        return True
    kept, lost = _kept(alone, answered, search), contract.lost_records(asked.workload, records)
    with_none, with_all = (is_enough(each, asked.workload.requests, search.share) for each in (kept, kept + lost))
    return with_none == with_all


def _answered(asked: ServeSpec, records: Sequence[RequestRecord]) -> tuple[ServeSpec, list[RequestRecord]]:
    """The answered requests, and the load that they are alone."""
    answered = [record for record in records if record.status == "ok"]
    return _with_requests(asked, len(answered)), answered


def _kept(alone: ServeSpec, answered: Sequence[RequestRecord], search: RateSearch) -> int:
    """Number of answered requests that kept the objective; one that was sent late did not."""
    samples = burst.samples_of(alone, [record for record in answered if not contract.is_late(record)])
    return count_kept(samples.ttft_s or [], _tpot(samples), search)


def _tpot(samples: RequestSamples) -> list[float]:
    """Seconds per token after the first, 0 for answers of a single token."""
    return samples.tpot_s or [0.0] * len(samples.latency_s)


def _judged(asked: ServeSpec, search: RateSearch, rate: float, sent: Sent) -> Probed:
    """The probe that a load was.

    Raises:
        Ended: none of its requests was answered, or the server was out of memory; or those that were answered are
            other work than the spec asks for, which no rate explains.
    """
    records = sent.load.records
    if contract.ran_out_of_memory(records):
        raise Ended(Status.OOM, Phase.SERVE, "the server answered a request that it was out of memory", by_load=True)
    alone, answered = _answered(asked, records)
    if not answered:
        error = next((" ".join((record.error or record.status).split()) for record in records), "no record")
        by_load = _unfit_client(asked, sent, records) is None
        raise Ended(Status.INVALID, Phase.SERVE, f"no request was answered: {error[:300]}", by_load)
    if broken := contract.other_work(alone, answered, None):
        raise Ended(Status.INVALID, Phase.SERVE, broken)
    samples = burst.samples_of(alone, answered)
    probe = RateProbe(
        rate=rate,
        requests=asked.workload.requests,
        kept=_kept(alone, answered, search),
        duration_s=sent.load.end_s,
        loads=sent.loads,
        lost=contract.lost_records(asked.workload, records),
        late=sum(map(contract.is_late, answered)),
        client_cpu=sent.client_cpu,
        ttft_s=samples.ttft_s or [],
        tpot_s=_tpot(samples),
    )
    return Probed(probe, sent, replace(sent, load=replace(sent.load, records=answered)), alone)


def _unfit_client(asked: ServeSpec, sent: Sent, answered: Sequence[RequestRecord]) -> str | None:
    """Why a probe tells nothing of the server, in one sentence, or None."""
    slow = contract.slow_client(asked.workload, answered, sent.client_cpu)
    return slow or contract.lossy_client(asked.workload, sent.load.records)


def conclude(ready: ReadyServer, found: Found) -> dict[str, Any]:
    """Fields of a ``Measurement`` from all probes; without numbers where the engine served on other terms."""
    chosen = found.chosen
    fields = burst.conclude(replace(ready, spec=chosen.spec), [chosen.answered], found.configuration, found.last)
    files = {
        burst.REQUESTS: load.to_jsonl_gz(_numbered(each.sent for each in found.probed)),
        burst.RAW: burst.raw_of([each.sent for each in found.probed]),
    }
    metrics = fields.get("metrics")
    if not isinstance(metrics, ServingMetrics):
        return fields | {"files": files}
    searched = {
        "probes": [each.probe for each in found.probed],
        "search_ended_by": found.ended_by,
        "server_failure": found.server_failure,
    }
    return {"metrics": metrics.model_copy(update=searched), "files": files}
