"""What cells of these specs would have measured."""

from collections.abc import Sequence
from typing import Any

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import OperatorSpec, ServeSpec, TrainingSpec
from dissect.metrics.inspection import InspectMetrics
from dissect.metrics.operators import (
    AttentionMetrics,
    CollectiveMetrics,
    GemmMetrics,
    MemcpyMetrics,
    OperatorMetrics,
    Timing,
)
from dissect.metrics.profile import Dissection, PartTime, PhaseTimes, ProfileMetrics
from dissect.metrics.serving import RateBracket, RateProbe, RequestSamples, ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.stages.serving.bisection import Bisection
from dissect.stages.training.deepspeed.spec import ProfileSpec
from dissect.statistics.estimate import Estimate
from dissect.workloads.arithmetic import hardware_flops, model_flops
from dissect.workloads.operator_arithmetic import layer_gemms, square_gemm
from factories.specs import GIB, PARAMETERS_7B


def serving_metrics(spec: ServeSpec, seconds: float = 12.0, **changes: Any) -> ServingMetrics:
    """A burst that took so long, answered evenly: the n-th of N requests after n/N of it; keywords replace fields."""
    count, later = spec.workload.requests, spec.workload.output_tokens - 1
    latency = [seconds * (n + 1) / count for n in range(count)]
    ttft = [0.4 * value for value in latency]
    tpot = [(whole - first) / later for whole, first in zip(latency, ttft, strict=True)]
    streams, cuda = spec.workload.stream, spec.hardware.device == "cuda"
    samples = RequestSamples(
        sent_s=[0.0] * count, latency_s=latency, ttft_s=ttft if streams else None, tpot_s=tpot if streams else None,
        inter_token_s=tpot if streams else None,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "requests": count, "prompt_tokens": count * spec.workload.input_tokens,
        "completion_tokens": count * spec.workload.output_tokens, "duration_s": seconds, "send_spread_s": 0.0,
        "samples": samples, "ready_s": 55.0, "loads": 1, "client_cpu": 0.31, "server_memory_bytes": 126 * GIB,
        "server_memory_source": "nvml" if cuda else "rss", "kv_cache_tokens": 210_000 if cuda else None,
        "kv_cache_bytes": 210_000 * 2**19 if cuda else None, "prefix_cache_hits": 0,
        "energy_j": 7000.0 if cuda else None, "engine_version": "1.0",
    }  # fmt: skip
    return ServingMetrics.model_validate(fields | changes)


def search_metrics(spec: ServeSpec, capacity: float, **changes: Any) -> ServingMetrics:
    """A search at a server that answers in time up to so many requests per second, and half of them beyond."""
    search = spec.workload.arrival.search
    assert search
    probes: list[RateProbe] = []
    bracket, bisection = RateBracket(None, None), Bisection(search)
    while (rate := bisection.next_rate(bracket, len(probes))) is not None:
        probes.append(rate_probe(spec, rate, rate <= capacity))
        bracket = RateBracket.of(probes, search.share)
    told = next(probe for probe in probes if probe.rate == (bracket.held or bracket.failed))
    found = {"probes": probes, "search_ended_by": "probes" if len(probes) == search.probes else "bracket"}
    alone = spec.model_copy(update={"workload": spec.workload.model_copy(update={"requests": told.requests})})
    later = spec.workload.output_tokens - 1
    whole = [first + later * each for first, each in zip(told.ttft_s, told.tpot_s, strict=True)]
    samples = RequestSamples(
        sent_s=[number / told.rate for number in range(told.requests)], latency_s=whole, ttft_s=told.ttft_s,
        tpot_s=told.tpot_s, inter_token_s=told.tpot_s,
    )  # fmt: skip
    return serving_metrics(alone, told.duration_s, **(found | {"samples": samples} | changes))


def rate_probe(spec: ServeSpec, rate: float, holds: bool) -> RateProbe:
    """A probe of the spec's number of requests, all or half of which are answered in time."""
    search, count = spec.workload.arrival.search, spec.workload.requests
    assert search
    late = 0 if holds else count - count // 2
    ttft = [0.5 * search.ttft_s] * (count - late) + [4 * search.ttft_s] * late
    return RateProbe(
        rate=rate, requests=count, kept=count - late, duration_s=count / rate, loads=1, client_cpu=0.3,
        ttft_s=ttft, tpot_s=[0.5 * search.tpot_s] * count,
    )  # fmt: skip


Lost = tuple[Status, Phase | None, str]


def operator_metrics(spec: OperatorSpec, times_s: Sequence[float | Lost] = (0.001, 0.004)) -> OperatorMetrics:
    """Metrics with these times of one call, or outcomes, in the order of the points; the last repeats itself."""
    cases = [facts for size in spec.workload.sizes for facts in _point_facts(spec, size)]
    times = [*times_s, *[times_s[-1]] * len(cases)][: len(cases)]
    points = [facts | _point_outcome(time) for facts, time in zip(cases, times, strict=True)]
    kinds = {
        "gemm": GemmMetrics, "memcpy": MemcpyMetrics, "collectives": CollectiveMetrics, "attention": AttentionMetrics,
    }  # fmt: skip
    metrics: OperatorMetrics = kinds[spec.framework].model_validate({"points": points})
    return metrics


def _point_facts(spec: OperatorSpec, size: int) -> list[dict[str, Any]]:
    match spec.framework:
        case "gemm":
            gemms = [square_gemm(size)] if spec.model is None else layer_gemms(spec.model, size)
            return [{"product": gemm.product, "m": gemm.m, "n": gemm.n, "k": gemm.k} for gemm in gemms]
        case "memcpy":
            return [{"size_bytes": size}]
        case "collectives":
            return [{"size_bytes": size, "message_bytes": size}]
        case "attention":
            return [{"sequence": size, "direction": direction} for direction in ("forward", "backward")]


def _point_outcome(time: float | Lost) -> dict[str, Any]:
    if isinstance(time, tuple):
        return {"status": time[0], "phase": time[1], "reason": time[2]}
    estimate = Estimate(median=time, low=time * 0.98, high=time * 1.03, mean=time * 1.01, n=20)
    timing = Timing(
        call_time_s=estimate, call_time_cv=0.02, calls_per_sample=8, buffer_sets=3, warmup_settled=True,
        stopped_by="interval", flags=[],
    )  # fmt: skip
    return {"status": Status.OK, "timing": timing}


def training_metrics(
    spec: TrainingSpec, step_time_s: float = 0.2, found_batch: int = 24, **changes: Any
) -> TrainingMetrics:
    """Metrics that fit the spec and one another, ``found_batch`` for ``max``; keywords replace fields."""
    batch = spec.workload.batch if isinstance(spec.workload.batch, int) else found_batch
    tokens = batch * spec.hardware.n_gpus * spec.workload.seq_len
    step = Estimate(median=step_time_s, low=step_time_s * 0.99, high=step_time_s * 1.02, mean=step_time_s * 1.01, n=40)
    rate = Estimate(
        median=tokens / step.median, low=tokens / step.high, high=tokens / step.low, mean=tokens / step.mean, n=40
    )
    cuda = spec.hardware.device == "cuda"
    fields: dict[str, Any] = {
        "batch": batch, "tokens_per_step": tokens, "step_time_s": step, "tokens_per_s": rate,
        "paper_tokens_per_s": tokens / step.mean, "step_time_cv": 0.012, "warmup_steps": 5, "stopped_by": "interval",
        "peak_memory_bytes": 61 * GIB + 123_456_789, "peak_memory_source": "allocator" if cuda else "rss",
        "nvml_peak_memory_bytes": 66 * GIB if cuda else None, "paper_memory_gib": 65.31,
        "model_flops_per_step": model_flops(spec, batch), "hardware_flops_per_step": hardware_flops(spec, batch),
        "energy_per_step_j": 480.5 if cuda else None, "parameters": PARAMETERS_7B,
        "trainable_parameters": PARAMETERS_7B, "first_loss": 10.42, "last_loss": 9.97,
        "attention_kernel": spec.method.attention,
    }  # fmt: skip
    return TrainingMetrics.model_validate(fields | changes)


def sample_lines_of(metrics: Any) -> list[dict[str, Any]]:
    """Lines of ``steps.jsonl`` that have the medians of these metrics; none for kinds without such a file."""
    if isinstance(metrics, ProfileMetrics):
        metrics = metrics.training
    if isinstance(metrics, TrainingMetrics):
        found = metrics.step_time_s
        warm = [{"step": step, "part": "warmup", "seconds": [2 * found.median], "loss": 2.0} for step in range(3)]
        return warm + [{"step": 3, "part": "measured", "seconds": [found.median] * 2, "loss": 1.0}] * found.n
    lines: list[dict[str, Any]] = []
    for point in getattr(metrics, "points", []):
        facts = point.model_dump(mode="json", exclude={"status", "phase", "reason", "timing"})
        if point.timing:
            line = {"step": 0, **facts, "seconds": [point.timing.call_time_s.median]}
            lines += [line] * point.timing.call_time_s.n
    return lines


def profile_metrics(spec: ProfileSpec, compute_s: float = 0.06) -> ProfileMetrics:
    """A profile whose forward phase has ``compute_s`` of kernels, the backward phase twice that."""
    flash, again = spec.method.attention != "eager", spec.method.recompute
    parts = _parts(Phase.FORWARD, "forward", compute_s, flash)
    parts += _parts(Phase.BACKWARD, "backward", 2 * compute_s, flash)
    parts += _parts(Phase.BACKWARD, "recomputation", 0.9 * compute_s, flash) if again else []
    parts += [_part("optimizer", "optimizer", Phase.OPTIMIZER, 0.02)]
    phases = [
        _phase(Phase.FORWARD, compute_s, 0.0),
        _phase(Phase.BACKWARD, (2.9 if again else 2.0) * compute_s, 0.9 * compute_s if again else 0.0),
        _phase(Phase.OPTIMIZER, 0.02, 0.0),
    ]
    step = sum(phase.overall_s for phase in phases)
    return ProfileMetrics(
        training=training_metrics(spec, step * 0.97),
        profiled_step_time_s=Estimate(median=step, low=step, high=step, mean=step, n=3),
        dissection=Dissection(
            source="operators" if spec.hardware.device == "cpu" else "kernels",
            phases=phases,
            parts=parts,
            groups=_groups(parts),
            attributed_share=0.998,
            parts_deviation=0.0004,
        ),
    )


_CORE = ("scores", "softmax", "weighted_values", "attention_kernel")
_SHARES = {
    "embedding": 0.01, "rms_norm": 0.06, "qkv": 0.16, "rope": 0.04, "scores": 0.05, "softmax": 0.06,
    "weighted_values": 0.05, "attention_rest": 0.01, "output_projection": 0.06, "gate": 0.14, "up": 0.14,
    "silu": 0.03, "down": 0.14, "head": 0.04, "loss": 0.008, "unattributed": 0.002,
}  # fmt: skip


def _parts(phase: Phase, direction: str, compute_s: float, flash: bool) -> list[PartTime]:
    """Such shares of the compute time; a fused kernel takes half of what the three operators do."""
    shares = dict(_SHARES)
    if flash:
        shares |= {"attention_kernel": 0.5 * sum(shares.pop(part) for part in _CORE[:3])}
    return [_part(part, direction, phase, share * compute_s) for part, share in shares.items()]


def _part(part: str, direction: str, phase: Phase, time_s: float) -> PartTime:
    fields = {"part": part, "direction": direction, "phase": phase, "time_s": time_s, "calls": 32.0}
    return PartTime.model_validate(fields)


def _groups(parts: list[PartTime]) -> list[PartTime]:
    """Of each direction the attention function and the module around it."""
    found = []
    for direction in ("forward", "recomputation", "backward"):
        mine = {part.part: part for part in parts if part.direction == direction}
        core = sum(mine[part].time_s for part in _CORE if part in mine)
        if core:
            around = sum(mine[p].time_s for p in ("qkv", "rope", "attention_rest", "output_projection")) + core
            phase = mine["qkv"].phase
            layer = around + sum(mine[part].time_s for part in ("rms_norm", "gate", "up", "silu", "down"))
            times = {"decoder_layer": layer, "attention": around, "attention_core": core}
            found += [_part(group, direction, phase, time) for group, time in times.items()]
    return found


def _phase(phase: Phase, compute_s: float, recomputation_s: float) -> PhaseTimes:
    """With 0.01 s of communication alone in the backward phase, and 7 % idle."""
    exposed = 0.01 if phase is Phase.BACKWARD else 0.0
    return PhaseTimes(
        phase=phase,
        overall_s=(compute_s + exposed) / 0.93,
        compute_s=compute_s,
        communication_overlapped_s=2 * exposed,
        communication_exposed_s=exposed,
        recomputation_s=recomputation_s,
    )


def inspect_metrics(gpu: str | None = "NVIDIA H200", n_gpus: int = 4, **changes: Any) -> InspectMetrics:
    """A node with so many GPUs, or none."""
    count = n_gpus if gpu else 0
    fields: dict[str, Any] = {
        "gpu_names": [gpu] * count, "gpu_memory_bytes": [150_754_820_096] * count,
        "driver": "580.95.05" if gpu else None, "interconnect": "NVLink (18 links)" if gpu else None,
        "cpu_model": "Intel(R) Xeon(R) Platinum 8480+", "cpu_cores": 64, "host_memory_bytes": 503 * GIB,
    }  # fmt: skip
    return InspectMetrics.model_validate(fields | changes)
