"""Checks that a load was what the spec asks for; otherwise its numbers do not count."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from dissect.cells.spec import ServeSpec, ServeWorkload
from dissect.machine.out_of_memory import IN_A_LOG
from dissect.metrics.serving import LATE_S
from dissect.stages.serving.load import RequestRecord

MOST_CLIENT_CPU = 0.9
"""Share of a core that a process of the load generator may use before it slows what it measures."""
MOST_BEYOND_LIMIT = 1.1
"""Requests that may seem to be answered at once, per admitted one: last pieces may come after the next first ones."""
MOST_LOST = 0.01
"""Share of the requests of a probe that may leave no record: more would decide against any rate by themselves."""
MOST_LATE = 0.05
"""Share of the requests that may be sent too late; a load generator that falls behind is late with ever more."""
SPECIAL_TOKENS = 1
"""Number of special tokens that an engine may put in front of each prompt."""


def violation(
    spec: ServeSpec, records: Sequence[RequestRecord], client_cpu: float, prefix_hits: int | None
) -> str | None:
    """The first clause that the load broke, in one sentence, or None."""
    return other_work(spec, records, prefix_hits) or slow_client(spec.workload, records, client_cpu)


def other_work(spec: ServeSpec, records: Sequence[RequestRecord], prefix_hits: int | None) -> str | None:
    """The first clause about the server's work that the load broke, in one sentence, or None."""
    return (
        _failed(records)
        or _missing(spec.workload, records)
        or _lengths(spec.workload, records)
        or _cached(records, prefix_hits)
        or _order(spec.workload, records)
        or _beyond_limit(spec, records)
    )


def slow_client(load: ServeWorkload, records: Sequence[RequestRecord], client_cpu: float) -> str | None:
    """Why the load generator could not send the load as asked, which a high rate explains, or None."""
    return _saturated(client_cpu) or _late(load, records)


def ran_out_of_memory(records: Sequence[RequestRecord]) -> bool:
    """Whether the server reported out of memory for a request and kept running."""
    return any(IN_A_LOG.search(record.error or "") for record in records)


def lost_records(load: ServeWorkload, records: Sequence[RequestRecord]) -> int:
    """Number of requests that the load generator has no record of."""
    return max(0, load.requests - len(records))


def lossy_client(load: ServeWorkload, records: Sequence[RequestRecord]) -> str | None:
    """Why the load generator has too few records for a probe, in one sentence, or None; one may always be lost."""
    lost = lost_records(load, records)
    if lost <= max(1, MOST_LOST * load.requests):
        return None
    return f"the load generator has no record of {lost} of {load.requests} requests"


def _failed(records: Sequence[RequestRecord]) -> str | None:
    failed = [record for record in records if record.status != "ok"]
    if not failed:
        return None
    errors = Counter(record.error or record.status for record in failed)
    error, often = errors.most_common(1)[0]
    return f"{len(failed)} of {len(records)} requests failed, {often} of them with: {' '.join(error.split())[:300]}"


def _missing(load: ServeWorkload, records: Sequence[RequestRecord]) -> str | None:
    if len(records) == load.requests:
        return None
    return f"{len(records)} requests are recorded, {load.requests} were to be sent"


def _lengths(load: ServeWorkload, records: Sequence[RequestRecord]) -> str | None:
    answers = Counter(record.completion_tokens for record in records)
    if uncounted := answers[None]:
        return f"{uncounted} answers came without the server's count of their tokens"
    if set(answers) != {load.output_tokens}:
        wrong = sum(count for tokens, count in answers.items() if tokens != load.output_tokens)
        counts = sorted(str(tokens) for tokens in answers if tokens != load.output_tokens)
        return f"{wrong} answers do not have {load.output_tokens} tokens but {', '.join(counts[:5])}"
    prompts = {record.prompt_tokens for record in records}
    if len(prompts) != 1 or not prompts <= {load.input_tokens, load.input_tokens + SPECIAL_TOKENS}:
        counts = sorted(map(str, prompts))
        return f"the server counted {', '.join(counts[:5])} tokens in prompts of {load.input_tokens}"
    return None


def _cached(records: Sequence[RequestRecord], prefix_hits: int | None) -> str | None:
    cached = max(sum(record.cached_tokens or 0 for record in records), prefix_hits or 0)
    return f"{cached} prompt tokens came from a prefix cache" if cached else None


def _order(load: ServeWorkload, records: Sequence[RequestRecord]) -> str | None:
    for record in records:
        times = [record.t_send_s, record.t_end_s]
        if load.stream:
            times = [record.t_send_s, record.t_first_token_s, record.t_last_token_s, record.t_end_s]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return f"request {record.request_id} has no time of its {'tokens' if load.stream else 'end'}"
        if known != sorted(known) or known[-1] <= known[0]:
            return f"the times of request {record.request_id} are out of order"
    return None


def most_answering(records: Sequence[RequestRecord]) -> int | None:
    """Most requests between the first and the last piece of their answers at one moment; None without streaming."""
    changes = [
        change
        for record in records
        if record.t_first_token_s is not None and record.t_last_token_s is not None
        for change in ((record.t_first_token_s, 1), (record.t_last_token_s, -1))
    ]
    return max(accumulate(by for _, by in sorted(changes)), default=None) or None


def _beyond_limit(spec: ServeSpec, records: Sequence[RequestRecord]) -> str | None:
    """How many more requests were answered at once than the engine was to admit, whatever it reports of itself."""
    limit, seen = spec.settings.max_sequences, most_answering(records)
    if limit is None or seen is None or seen <= limit * MOST_BEYOND_LIMIT:
        return None
    return f"{seen} requests were answered at once, the terms are at most {limit}"


def is_late(record: RequestRecord) -> bool:
    """Whether a request was sent so late that its latency, which counts from then, tells too little."""
    return (record.late_s or 0.0) > LATE_S


def _late(load: ServeWorkload, records: Sequence[RequestRecord]) -> str | None:
    """Whether a load generator that could not keep up made arrivals slower than asked, which no latency shows."""
    late = sum(map(is_late, records))
    if load.arrival.kind == "burst" or late <= MOST_LATE * len(records):
        return None
    return f"{late} of {len(records)} requests were sent more than {LATE_S:g} s late, so they did not arrive as asked"


def _saturated(client_cpu: float) -> str | None:
    if client_cpu <= MOST_CLIENT_CPU:
        return None
    return f"the load generator kept a core busy for {client_cpu:.0%} of the time, so it slowed what it measured"
