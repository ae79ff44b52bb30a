"""Specs, results and manifests with realistic content, for any test that needs some."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dissect.adapters import AnyAdapter
from dissect.adapters.lora import Lora
from dissect.cells.manifest import Manifest, ManifestCell, MethodFacts, ModelFacts, PlatformFacts
from dissect.cells.spec import (
    DeepSpeedMethod,
    EngineSettings,
    FinetuneSpec,
    Hardware,
    InspectSpec,
    MegatronMethod,
    MegatronSpec,
    ModelArchitecture,
    OperatorSpec,
    OperatorWorkload,
    PretrainSpec,
    ProfileSpec,
    ProfileWorkload,
    Sampling,
    ServeSampling,
    ServeSpec,
    ServeWorkload,
    Software,
    TrainingSpec,
    TrainingWorkload,
    canonical_spec,
    spec_key,
)
from dissect.config.kinds import OPERATORS, OPERATORS_OF_A_MODEL
from dissect.metrics.estimate import Estimate
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
from dissect.metrics.serving import RequestSamples, ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.outcome import Flag, Phase, Status
from dissect.result import Gpu, Provenance, Result
from dissect.workloads.operators import layer_gemms, square_gemm

GIB = 2**30
Spec = TrainingSpec | ServeSpec | InspectSpec | OperatorSpec

LLAMA_7B = ModelArchitecture(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=32, max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0,
)  # fmt: skip
LLAMA_13B = LLAMA_7B.model_copy(
    update={
        "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
        "num_key_value_heads": 40,
    }
)  # fmt: skip
LLAMA_70B = LLAMA_7B.model_copy(
    update={
        "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
        "num_key_value_heads": 8,
    }
)  # fmt: skip
PARAMETERS_7B = 6_738_415_616


def hardware(gpu_model: str = "NVIDIA H200", n_gpus: int = 4, device: str = "cuda") -> Hardware:
    """A node with GPUs of 140 GiB."""
    return Hardware.model_validate(
        {
            "device": device, "gpu_model": gpu_model, "n_gpus": n_gpus, "n_nodes": 1, "interconnect": "NVLink",
            "environment": {}, "device_memory_bytes": 140 * GIB, "host_memory_bytes": 512 * GIB,
        }
    )  # fmt: skip


def pretrain_spec(
    on: Hardware | None = None,
    *,
    batch: int | str = 1,
    seq_len: int = 350,
    model: ModelArchitecture = LLAMA_7B,
    **method: Any,
) -> PretrainSpec:
    """A pre-training cell; keywords that are not named are knobs of the method."""
    knobs: dict[str, Any] = {
        "attention": "eager", "recompute": False, "zero_stage": 0, "offload_optimizer": False,
        "offload_parameters": False, "quantization": "none", "optimizer": "deepspeed_fused_adam",
    }  # fmt: skip
    return PretrainSpec(
        framework="deepspeed",
        hardware=on or hardware(),
        software=Software(python="3.12", lock_sha256="0" * 64),
        model=model,
        method=DeepSpeedMethod.model_validate(knobs | method),
        workload=TrainingWorkload.model_validate(
            {"seq_len": seq_len, "batch": batch, "dtype": "bf16", "gradient_clipping": 0.3, "seed": 0}
        ),
        sampling=Sampling(
            warmup_min_steps=3, warmup_max_steps=20, min_steps=10, max_steps=200, interval_target=0.01, budget_s=600.0
        ),
        protocol=1,
    )


def profile_spec(on: Hardware | None = None, *, batch: int = 1, **method: Any) -> ProfileSpec:
    """The same cell, to be taken apart."""
    spec = pretrain_spec(on, batch=batch, **method)
    workload = ProfileWorkload(**spec.workload.model_dump())
    return ProfileSpec.model_validate(spec.model_dump() | {"stage": "profile", "workload": workload})


def finetune_spec(on: Hardware | None = None, *, adapter: AnyAdapter | None = None, **pretraining: Any) -> FinetuneSpec:
    """A fine-tuning cell, of LoRA unless said otherwise; other keywords are those of ``pretrain_spec``."""
    fields = pretrain_spec(on, **pretraining).model_dump(exclude={"stage"})
    fields["method"]["adapter"] = (adapter or Lora(kind="lora")).model_dump()
    return FinetuneSpec.model_validate(fields)


def megatron_spec(
    on: Hardware | None = None,
    *,
    batch: int | str = 1,
    seq_len: int = 350,
    model: ModelArchitecture = LLAMA_7B,
    **method: Any,
) -> MegatronSpec:
    """The same with Megatron-LM, on every GPU a replica; keywords that are not named are knobs of the method."""
    knobs: dict[str, Any] = {
        "attention": "eager", "recompute": False, "tensor_parallel": 1, "pipeline_parallel": 1,
        "sequence_parallel": False, "distributed_optimizer": False, "layer_spec": "local",
    }  # fmt: skip
    like = pretrain_spec(on, batch=batch, seq_len=seq_len, model=model)
    return MegatronSpec(
        framework="megatron",
        hardware=like.hardware,
        software=like.software,
        model=model,
        method=MegatronMethod.model_validate(knobs | method),
        workload=like.workload,
        sampling=like.sampling,
        protocol=1,
    )


def inspect_spec(on: Hardware | None = None) -> InspectSpec:
    """What Table I measures."""
    return InspectSpec(framework="system", hardware=on or hardware(), software=Software(python="3.12"), protocol=1)


def serve_spec(
    on: Hardware | None = None,
    *,
    engine: str = "vllm",
    aligned: bool = True,
    model: ModelArchitecture = LLAMA_7B,
    **load: Any,
) -> ServeSpec:
    """A serving cell; keywords that are not named are fields of the load."""
    settings = {"max_sequences": 256, "memory_share": 0.9, "chunked_prefill": True} if aligned else {}
    knobs: dict[str, Any] = dict.fromkeys(("max_sequences", "memory_share", "chunked_prefill"))
    return ServeSpec.model_validate(
        {
            "framework": engine, "hardware": on or hardware(n_gpus=1), "software": Software(versions={engine: "1.0"}),
            "client": Software(python="3.12", lock_sha256="0" * 64), "model": model,
            "settings": EngineSettings.model_validate(knobs | settings),
            "workload": ServeWorkload.model_validate({"requests": 40} | load), "sampling": ServeSampling(),
            "protocol": 1,
        }
    )  # fmt: skip


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


def operator_spec(
    operator: str, on: Hardware | None = None, sizes: tuple[int, ...] = (1024, 4096), **changes: Any
) -> OperatorSpec:
    """An operator of any family over two sizes; keywords replace fields of the spec."""
    [family] = [family for family, known in OPERATORS.items() if operator in known]
    fields: dict[str, Any] = {
        "framework": family, "operator": operator,
        "hardware": on or hardware(n_gpus=4 if family == "collectives" else 1),
        "software": Software(python="3.12", lock_sha256="0" * 64),
        "model": LLAMA_7B if operator in OPERATORS_OF_A_MODEL else None,
        "workload": OperatorWorkload(sizes=list(sizes)), "sampling": Sampling(), "protocol": 1,
    }  # fmt: skip
    return OperatorSpec.model_validate(fields | changes)


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
    flops = 6 * PARAMETERS_7B * tokens
    fields: dict[str, Any] = {
        "batch": batch, "tokens_per_step": tokens, "step_time_s": step, "tokens_per_s": rate,
        "paper_tokens_per_s": tokens / step.mean, "step_time_cv": 0.012, "warmup_steps": 5, "stopped_by": "interval",
        "peak_memory_bytes": 61 * GIB + 123_456_789, "peak_memory_source": "allocator" if cuda else "rss",
        "nvml_peak_memory_bytes": 66 * GIB if cuda else None, "paper_memory_gib": 65.31,
        "model_flops_per_step": flops, "hardware_flops_per_step": flops * 4 // 3 if spec.method.recompute else flops,
        "energy_per_step_j": 480.5 if cuda else None, "parameters": PARAMETERS_7B,
        "trainable_parameters": PARAMETERS_7B, "first_loss": 10.42, "last_loss": 9.97,
        "attention_kernel": spec.method.attention,
    }  # fmt: skip
    return TrainingMetrics.model_validate(fields | changes)


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


def gpu(uuid: str = "u") -> Gpu:
    """One GPU as NVML would have read it."""
    return Gpu(
        index=0, name="NVIDIA H200", uuid=uuid, driver="580.1", memory_bytes=1, power_limit_w=700.0, mean_power_w=300.0,
        sm_clock_mhz=1980.0, memory_clock_mhz=3201.0, temperature_c=40.0, throttle_reasons=[],
        links={"1": "NVLink x18"},
    )  # fmt: skip


def provenance(
    gpus: list[Gpu] | str = "no NVML on this machine", measured_at: str = "2026-03-01T12:00:00Z"
) -> Provenance:
    """Where a result of these tests would have been measured."""
    return Provenance(
        measured_at=measured_at, git_commit="0123456789abcdef0123456789abcdef01234567", git_dirty=False, host="node1",
        kernel="6.8.0", cpu_model="Intel(R) Xeon(R) Platinum 8480+", cpu_cores=64, host_memory_bytes=503 * GIB,
        python="3.12.3", versions={"torch": "2.11.0", "deepspeed": "0.19.8"}, environment={"OMP_NUM_THREADS": "1"},
        scheduler_job=None, gpus=gpus, other_processes="none",
    )  # fmt: skip


def _some_metrics(spec: Spec) -> TrainingMetrics | ProfileMetrics | ServingMetrics | InspectMetrics:
    if isinstance(spec, InspectSpec):
        return inspect_metrics()
    if isinstance(spec, ServeSpec):
        return serving_metrics(spec)
    return profile_metrics(spec) if isinstance(spec, ProfileSpec) else training_metrics(spec)


def ok_result(
    spec: Spec,
    metrics: TrainingMetrics | ProfileMetrics | ServingMetrics | InspectMetrics | OperatorMetrics | None = None,
    flags: list[Flag] | None = None,
) -> Result:
    """A cell that was measured."""
    if metrics is None and isinstance(spec, OperatorSpec):
        metrics = operator_metrics(spec)
    if metrics is None:
        metrics = _some_metrics(spec)
    return Result(
        key=key_of(spec), spec=spec, status=Status.OK, metrics=metrics, flags=flags or [], provenance=provenance()
    )


def ended_result(spec: Spec, status: Status, phase: Phase | None, reason: str) -> Result:
    """A cell that ended without numbers."""
    launched = status is not Status.SKIPPED_OOM
    return Result(
        key=key_of(spec), spec=spec, status=status, phase=phase, reason=reason,
        provenance=provenance() if launched else None,
    )  # fmt: skip


def key_of(spec: Spec) -> str:
    """The cell's key."""
    return spec_key(canonical_spec(spec))


def published_cell(
    project: Path, result: Result, *, platform: str, method: str = "Naive", model: str = "llama2-7b"
) -> ManifestCell:
    """Publish a result below a project folder; the manifest's entry for it."""
    spec = result.spec
    ids = {"stage": spec.stage, "platform": platform, "framework": spec.framework, "n_gpus": spec.hardware.n_gpus}
    if isinstance(spec, TrainingSpec):
        work = spec.workload
        workload = f"seq{work.seq_len}-bs{work.batch}-gpus{spec.hardware.n_gpus}"
        ids |= {"model": model, "method": method, "workload": workload, "seq_len": work.seq_len, "batch": work.batch}
    elif isinstance(spec, ServeSpec):
        ids |= {"model": model, "method": method, "workload": f"r{spec.workload.requests}-burst"}
    elif isinstance(spec, OperatorSpec):
        ids |= {"model": model if spec.model else "-", "method": spec.operator}
        ids |= {"workload": f"{spec.workload.dtype}-b{spec.workload.batch}-n{spec.hardware.n_gpus}"}
    else:
        ids |= {"model": "none", "method": "Naive", "workload": "node"}
    cell = ManifestCell.model_validate(ids | {"key": result.key, "path": None, "unsupported": None})
    path = f"results/cells/{cell.id}/{result.key}.json"
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(result.model_dump_json(indent=1))
    return cell.model_copy(update={"path": path})


def unsupported_cell(reason: str, **ids: Any) -> ManifestCell:
    """A cell that cannot exist; keywords replace its ids."""
    fields: dict[str, Any] = {
        "stage": "pretrain", "platform": "h200", "model": "llama2-7b", "framework": "deepspeed", "method": "Naive",
        "workload": "seq350-bs1", "n_gpus": 4, "seq_len": 350, "batch": 1,
    }  # fmt: skip
    return ManifestCell.model_validate(fields | ids | {"key": None, "path": None, "unsupported": reason})


def platform_facts(label: str, gpu_label: str, **changes: Any) -> PlatformFacts:
    """A platform with a declared peak; keywords replace fields."""
    fields: dict[str, Any] = {
        "label": label, "gpu_label": gpu_label, "declared": {},
        "peak_flops": {"bf16": 989.5e12}, "peak_source": "vendor's datasheet",
    }  # fmt: skip
    return PlatformFacts.model_validate(fields | changes)


PLATFORMS = {
    "h200": platform_facts("H200", "H200-141G"),
    "a800": platform_facts("A800", "A800-80G", peak_flops={"bf16": 312e12}),
    "rtx4090": platform_facts("RTX4090", "RTX4090-24G", peak_flops={"bf16": 165.2e12}),
    "rtx3090": platform_facts("RTX3090", "RTX3090-24G", peak_flops={"bf16": 71e12}),
    "rtx3090-no-nvlink": platform_facts("RTX3090 w/o NVLink", "RTX3090-24G", peak_flops={"bf16": 71e12}),
    "cpu": platform_facts("CPU", "process", peak_flops={}, peak_source=None),
}
NOTE_Q = "Q: the 4-bit base is frozen; what trains is what stays unquantised: embeddings, norms and head."


def manifest(name: str, cells: list[ManifestCell], layout: dict[str, Any], **changes: Any) -> Manifest:
    """A manifest of these cells with the facts of all their ids; keywords replace fields."""
    fields: dict[str, Any] = {
        "name": name, "kind": "figure" if name.startswith("fig") else "table",
        "title": f"{name.replace('_', ' ').capitalize()}: pre-training", "caption": "Made for a test.",
        "layout": layout,
        "platforms": {p: PLATFORMS[p.partition("@")[0]] for p in dict.fromkeys(cell.platform for cell in cells)},
        "models": {
            cell.model: ModelFacts(label=cell.model.replace("llama", "Llama")) for cell in cells if cell.model != "-"
        },
        "methods": {
            cell.method: MethodFacts(label=cell.method, note=NOTE_Q if "Q" in cell.method else None) for cell in cells
        },
        "cells": cells,
    }  # fmt: skip
    return Manifest.model_validate(fields | changes)
