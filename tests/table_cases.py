"""Manifests of every table with results for them: each kind of outcome, flag and gap occurs at least once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.manifest import Manifest
from dissect.cells.spec import Hardware, ModelArchitecture, TrainingSpec
from dissect.config.kinds import OPERATORS

Outcome = tuple[Status, Phase | None, str]
OOM: Outcome = (Status.OOM, Phase.BACKWARD, "CUDA out of memory")


def table_i(project: Path) -> Manifest:
    """One platform that differs from its declaration, one without a cell, and this machine."""
    declared = {
        "GPU": "NVIDIA H200", "GPUs": "4", "GPU memory": "140.4 GiB", "Memory bandwidth": "4800 GB/s",
        "Interconnect": "NVLink, 900 GB/s", "CPU": "2 x AMD EPYC 7402", "Host memory": "512 GiB",
    }  # fmt: skip
    platforms = {
        "h200": make.platform_facts("H200", "H200-141G", declared=declared),
        "a800": make.platform_facts("A800", "A800-80G", declared=declared | {"GPU": "NVIDIA A800-SXM4-80GB"}),
        "cpu": make.platform_facts(
            "CPU", "process", peak_flops={}, peak_source=None,
            declared={"GPU": "cpu", "GPUs": "2", "CPU": "this machine", "Host memory": "4 GiB"},
        ),
    }  # fmt: skip
    h200 = make.ok_result(make.inspect_spec())
    cpu = make.ok_result(make.inspect_spec(make.hardware("cpu", 2, "cpu")), make.inspect_metrics(None))
    cells = [make.published_cell(project, h200, platform="h200"), make.published_cell(project, cpu, platform="cpu")]
    return make.manifest("table_I", cells, {"kind": "platforms"}, title="Table I: platforms", platforms=platforms)


def table_ii(project: Path) -> Manifest:
    """A ladder of batch sizes; one framework is not implemented."""
    cells = []
    for batch, seconds in ((1, 0.21), (2, 0.3), (4, None), ("max", 0.41)):
        spec = make.pretrain_spec(make.hardware("NVIDIA A800-SXM4-80GB", 8), batch=batch)
        metrics = make.training_metrics(spec, seconds, found_batch=3) if seconds else None
        result = make.ok_result(spec, metrics) if metrics else make.ended_result(spec, *OOM)
        cells.append(make.published_cell(project, result, platform="a800"))
        ids = {"platform": "a800", "framework": "megatron", "n_gpus": 8, "batch": batch, "workload": f"bs{batch}"}
        cells.append(make.unsupported_cell("not implemented", **ids))
    values = ["batch_measured", "tokens_per_s", "peak_memory_gib", "mfu"]
    layout = {"kind": "pivot", "rows": ["batch"], "columns": ["platform", "framework"], "values": values}
    return make.manifest("table_II", cells, layout, title="Table II: Megatron-LM against DeepSpeed")


def table_iii(project: Path) -> Manifest:
    """Methods by platform and model, both definitions of each number; every outcome and a flag."""
    fast, slow = make.hardware(), make.hardware("NVIDIA GeForce RTX 4090", 8)
    methods: dict[str, dict[str, Any]] = {
        "Naive": {},
        "F+R": {"attention": "sdpa_flash", "recompute": True},
        "Z2+O": {"zero_stage": 2, "offload_optimizer": True},
        "Q": {"quantization": "nf4"},
    }
    over_budget = (Status.TIMEOUT, Phase.OPTIMIZER, "the budget of 600 s was spent after 2 of 10 steps")
    wrong_kernel = (Status.INVALID, Phase.FORWARD, "the spec names sdpa_flash, but eager ran")
    too_large = (Status.SKIPPED_OOM, None, "parameters and states alone need 192.1 GiB of 140.0 GiB")
    cells = []
    runs: Sequence[tuple[str, Hardware, str, ModelArchitecture, Sequence[float | Outcome]]] = (
        ("h200", fast, "llama2-7b", make.LLAMA_7B, (0.09, 0.11, 0.31, 0.08)),
        ("h200", fast, "llama2-13b", make.LLAMA_13B, (too_large, OOM, 0.61, 0.14)),
        ("rtx4090", slow, "llama2-7b", make.LLAMA_7B, (OOM, wrong_kernel, over_budget, 0.5)),
    )
    for platform, on, model, architecture, outcomes in runs:
        for (method, knobs), outcome in zip(methods.items(), outcomes, strict=True):
            spec = make.pretrain_spec(on, model=architecture, **knobs)
            flags = [Flag.THROTTLED] if method == "Q" and platform == "rtx4090" else []
            result = (
                make.ended_result(spec, *outcome)
                if isinstance(outcome, tuple)
                else make.ok_result(spec, make.training_metrics(spec, outcome), flags)
            )
            cells.append(make.published_cell(project, result, platform=platform, method=method, model=model))
        reason = "Q packs weights into 4-bit blocks that ZeRO-3 does not shard"
        ids = {"platform": platform, "model": model, "method": "Z3+Q", "n_gpus": on.n_gpus}
        cells.append(make.unsupported_cell(reason, **ids))
    layout = {"kind": "pivot", "rows": ["method"], "columns": ["platform", "model"]}
    return make.manifest("table_III", cells, layout, title="Table III: pre-training by method, batch 1")


def table_iv(project: Path) -> Manifest:
    """The largest batch of each method in five runs, one part per platform, on a machine without NVML among them."""
    cells = []
    for platform, on, batches in (
        ("h200", make.hardware(), (24, 64)),
        ("cpu", make.hardware("cpu", 2, "cpu"), (3, 7)),
    ):
        for method, batch in zip(("Naive", "R"), batches, strict=True):
            seq_len = 64 if platform == "cpu" else 350
            spec = make.pretrain_spec(on, batch="max", seq_len=seq_len, recompute=method == "R")
            runs = make.training_runs(spec, 0.1 * batch, found_batch=batch)
            cells.append(make.published_cell(project, *runs, platform=platform, method=method))
    values = ["batch_measured", "tokens_per_s", "peak_memory_gib", "nvml_peak_memory_gib", "mfu", "hfu"]
    layout = {"kind": "pivot", "rows": ["method"], "columns": ["model"], "split": ["platform"], "values": values}
    return make.manifest("table_IV", cells, layout, title="Table IV: pre-training by method, largest batch")


def fig_4(project: Path) -> Manifest:
    """Three platforms over four counts; the smallest of one ran out of memory, one has no number at all."""
    over_budget = (Status.TIMEOUT, Phase.FORWARD, "the budget of 600 s was spent")
    platforms: dict[str, Sequence[float | Outcome]] = {
        "a800": (100.0, 99.0, 98.3, 97.6),
        "rtx4090": (OOM, 100.0, 95.0, 90.8),
        "rtx3090": (OOM, OOM, OOM, over_budget),
    }
    return scaling(project, platforms, (1, 2, 4, 8))


TOO_LARGE: Outcome = (Status.OOM, Phase.KV_CACHE, "the server ran out of memory: Not enough memory to handle 4096")
TOO_SHORT: Outcome = (Status.INVALID, Phase.SERVE, "3 answers do not have 128 tokens but 97")
SERVED: Mapping[str, Mapping[tuple[str, str], Sequence[float | Outcome]]] = {
    "vllm": {("a800", "7b"): (40.0, 44.0), ("rtx4090", "7b"): (118.0, 121.0), ("a800", "70b"): (410.0, 430.0)},
    "lightllm": {("a800", "7b"): (21.0, 23.0), ("rtx4090", "7b"): (110.0, 119.0), ("a800", "70b"): (300.0, 320.0)},
    "tgi": {
        ("a800", "7b"): (39.0, 43.0), ("rtx4090", "7b"): (95.0, TOO_SHORT), ("a800", "70b"): (TOO_LARGE, TOO_LARGE),
    },
}  # fmt: skip
"""Engine -> platform and model -> seconds of the burst or how it ended, tuned and aligned."""


def served(project: Path, name: str, layout: dict[str, Any], platforms: Sequence[str]) -> Manifest:
    """The same cells in any layout: one run and two, every kind of outcome, and an engine that the platform lacks."""
    cells = []
    runs = [(engine, *place, outcomes) for engine, runs in SERVED.items() for place, outcomes in runs.items()]
    for engine, platform, size, outcomes in runs:
        for policy, outcome in zip(("tuned", "aligned"), outcomes, strict=True):
            if platform not in platforms:
                continue
            architecture = make.LLAMA_7B if size == "7b" else make.LLAMA_13B
            on = make.hardware(f"NVIDIA {platform}", 1)
            spec = make.serve_spec(on, engine=engine, aligned=policy == "aligned", model=architecture)
            runs = (
                [make.ended_result(spec, *outcome)]
                if isinstance(outcome, tuple)
                else make.serving_runs(spec, outcome, (1.0,) if engine == "tgi" else (0.99, 1.01))
            )
            cells.append(make.published_cell(project, *runs, platform=platform, method=policy, model=f"llama2-{size}"))
    ids = {"stage": "serve", "platform": "a800", "framework": "transformers", "workload": "r40-burst", "n_gpus": 1}
    reason = "the platform declares no environment for transformers"
    cells += [
        make.unsupported_cell(reason, **ids, method=policy, seq_len=None, batch=None) for policy in ("tuned", "aligned")
    ]
    return make.manifest(name, cells, layout, title=f"{name}: serving")


def fig_6(project: Path) -> Manifest:
    """Bars by engine and policy on two platforms, one panel per model."""
    layout = {
        "kind": "throughput", "view": "serving", "draws": "output_tokens_per_s", "series": ["framework", "method"],
        "x": ["model", "platform"], "values": ["output_tokens_per_s", "latency_p99_s", "kv_cache_gib"],
    }  # fmt: skip
    return served(project, "fig_6", layout, ["a800", "rtx4090"])


def fig_10(project: Path) -> Manifest:
    """Distributions on one platform: a row per request in the CSV, a row per cell in the table for people."""
    layout = {
        "kind": "distribution", "view": "requests", "draws": "latency_s", "series": ["framework", "method"],
        "x": ["model"], "table_view": "serving", "values": ["latency_p50_s", "latency_p99_s", "ttft_p50_s"],
    }  # fmt: skip
    return served(project, "fig_10", layout, ["a800"])


def table_serving(project: Path) -> Manifest:
    """Everything of one platform, goodput under an objective that some requests keep."""
    layout = {
        "kind": "pivot", "view": "serving", "rows": ["framework", "method"], "split": ["platform", "model"],
        "slo": {"ttft_s": 8.0, "tpot_s": 0.1},
        "values": ["output_tokens_per_s", "goodput_per_s", "latency_p50_s", "server_memory_gib", "kv_cache_gib"],
    }  # fmt: skip
    return served(project, "table_serving", layout, ["a800"])


def scaling(project: Path, platforms: Mapping[str, Sequence[float | Outcome]], counts: Sequence[int]) -> Manifest:
    """Figure 4 with these efficiencies in percent, or outcomes in their place; only one platform in five runs."""
    cells = []
    for platform, outcomes in platforms.items():
        for count, outcome in zip(counts, outcomes, strict=True):
            on = make.hardware(platform, count, "cpu" if platform == "cpu" else "cuda")
            spec = make.pretrain_spec(on, batch=2, quantization="nf4")
            if isinstance(outcome, tuple):
                runs = [make.ended_result(spec, *outcome)]
            else:
                spread = make.SPREAD if platform == "a800" else (1.0,)
                runs = make.training_runs(spec, 0.3 * 100 / outcome, spread)
            cells.append(make.published_cell(project, *runs, platform=platform, method="Q"))
    layout = {"kind": "scaling", "series": ["platform"]}
    return make.manifest("fig_4", cells, layout, title="Figure 4: scaling efficiency")


SPENT: Outcome = (Status.TIMEOUT, Phase.FORWARD, "a call takes 31.4 s, too long for 13 in the 20 s left")
WRONG: Outcome = (Status.INVALID, Phase.FORWARD, "sdpa_efficient cannot run here: No available kernel")
RTX = make.hardware("NVIDIA GeForce RTX 4090", 1)


def operators_gemm(project: Path) -> Manifest:
    """Layers of two models and squares; sizes that ended differently, a flag, and a platform without a peak."""
    on_cpu = make.hardware("cpu", 1, "cpu")
    layers = make.operator_spec("layers", sizes=(16, 4096))
    times = (2e-5, 5e-5, 5e-5, 1e-4, OOM, 4e-4, 7e-4, SPENT)
    results = [
        ("h200", make.ok_result(layers, make.operator_metrics(layers, times))),
        ("h200", make.ok_result(make.operator_spec("square", sizes=(4095, 4096)), flags=[Flag.THROTTLED])),
        ("cpu", make.ok_result(make.operator_spec("square", on_cpu, sizes=(4095, 4096)))),
        ("rtx4090", make.ended_result(make.operator_spec("layers", RTX), *OOM)),
        ("rtx4090", make.ended_result(make.operator_spec("square", RTX), *SPENT)),
    ]  # fmt: skip
    cells = [make.published_cell(project, result, platform=platform) for platform, result in results]
    layout = {
        "kind": "pivot", "view": "gemm", "rows": ["product", "rows"], "columns": ["platform"], "split": ["model"],
        "values": ["tflops", "peak_share", "call_time_s"],
    }  # fmt: skip
    return make.manifest("operators_gemm", cells, layout, title="Operators: matrix products")


def operators_memcpy(project: Path) -> Manifest:
    """A direction that is measured, one that cannot exist on a platform, and one that has a number nowhere."""
    cells = [
        make.published_cell(project, make.ok_result(make.operator_spec("host_to_device_pinned")), platform="h200"),
        make.published_cell(project, make.ended_result(make.operator_spec("host_to_host"), *OOM), platform="h200"),
    ]
    ids = {"stage": "operators", "model": "-", "framework": "memcpy", "n_gpus": 1, "seq_len": None, "batch": None}
    cells += [
        make.unsupported_cell(f"{name} needs a device", **ids, platform="cpu", method=name, workload="bf16-b1-n1")
        for name in ("host_to_device_pinned", "host_to_host")
    ]
    layout = {
        "kind": "pivot", "view": "memcpy", "rows": ["method", "size_bytes"], "columns": ["platform"],
        "values": ["gb_per_s", "call_time_s"],
    }  # fmt: skip
    return make.manifest("operators_memcpy", cells, layout, title="Operators: copies")


def operators_collectives(project: Path) -> Manifest:
    """Every collective on two and four GPUs, and none on one."""
    cells = []
    for name in OPERATORS["collectives"]:
        ids = {"stage": "operators", "model": "-", "framework": "collectives", "seq_len": None, "batch": None}
        reason = "a collective needs at least two GPUs"
        cells.append(make.unsupported_cell(reason, **ids, method=name, n_gpus=1, workload="bf16-b1-n1"))
        for count in (2, 4):
            spec = make.operator_spec(name, make.hardware(n_gpus=count), sizes=(65536, 2**30))
            metrics = make.operator_metrics(spec, (2e-5, 0.004) if count == 2 else (3e-5, OOM))
            cells.append(make.published_cell(project, make.ok_result(spec, metrics), platform="h200"))
    layout = {
        "kind": "pivot", "view": "collectives", "rows": ["n_gpus", "size_bytes"], "split": ["method"],
        "values": ["algorithm_gb_per_s", "bus_gb_per_s", "call_time_s"],
    }  # fmt: skip
    return make.manifest("operators_collectives", cells, layout, title="Operators: collectives")


def operators_attention(project: Path) -> Manifest:
    """Kernels that ran at every length, at some, and at none."""
    outcomes: dict[str, Sequence[float | Outcome]] = {
        "eager": (0.004, 0.009, OOM, OOM), "sdpa_flash": (1e-4, 3e-4, 1e-3, 3e-3),
    }  # fmt: skip
    cells = []
    for name, times in outcomes.items():
        spec = make.operator_spec(name)
        result = make.ok_result(spec, make.operator_metrics(spec, times))
        cells.append(make.published_cell(project, result, platform="h200"))
    efficient = make.ended_result(make.operator_spec("sdpa_efficient"), *WRONG)
    cells.append(make.published_cell(project, efficient, platform="h200"))
    layout = {
        "kind": "pivot", "view": "attention_kernels", "rows": ["method", "sequence"], "columns": ["direction"],
        "split": ["model"], "values": ["tflops", "call_time_s"],
    }  # fmt: skip
    return make.manifest("operators_attention", cells, layout, title="Operators: attention")


def fig_roofline(project: Path) -> Manifest:
    """The products below a roof, and where there is none."""
    layout = {
        "kind": "roofline", "view": "gemm", "panels": ["platform"], "series": ["model"], "x": ["product", "rows"],
        "values": ["tflops", "arithmetic_intensity"],
    }  # fmt: skip
    gemm = operators_gemm(project)
    platforms = {**gemm.platforms, "h200": gemm.platforms["h200"].model_copy(update={"memory_bytes_per_s": 4.8e12})}
    return gemm.model_copy(update={"name": "fig_roofline", "kind": "figure", "layout": layout, "platforms": platforms})


def fig_attention(project: Path) -> Manifest:
    """The kernels as curves, forward and backward apart."""
    layout = {
        "kind": "curve", "view": "attention_kernels", "panels": ["direction"], "series": ["method"], "x": ["sequence"],
        "values": ["tflops"],
    }  # fmt: skip
    changes = {"name": "fig_attention", "kind": "figure", "layout": layout}
    return operators_attention(project).model_copy(update=changes)


def profiled(project: Path, name: str, methods: Mapping[str, float | Outcome], **layout: Any) -> Manifest:
    """Profiles of these methods on a GPU, with so many seconds of forward kernels; one on a CPU, one unsupported."""
    cells = []
    for method, outcome in methods.items():
        knobs: dict[str, Any] = {"attention": "flash_attention_2"} if "F" in method.split("+") else {}
        batch = 32 if "R" in method.split("+") else 1
        knobs |= {"batch": batch, "recompute": "R" in method.split("+")}
        spec: TrainingSpec = (
            make.profile_spec(zero_stage=2 if "Z2" in method else 0, **knobs)
            if "Z" in method
            else make.ddp_profile_spec(**knobs)
        )
        if "attention" in knobs:  # flash-attn is in an environment of its own
            spec = spec.model_copy(update={"software": spec.software.model_copy(update={"lock_sha256": "1" * 64})})
        if isinstance(outcome, tuple):
            result = make.ended_result(spec, *outcome)
        else:
            result = make.ok_result(spec, make.profile_metrics(spec, outcome))
        cells.append(make.published_cell(project, result, platform="h200", method=method))
    on_cpu = make.profile_spec(make.hardware("cpu", 2, "cpu"))
    cells.append(make.published_cell(project, make.ok_result(on_cpu), platform="cpu", method="Naive"))
    ids = {"stage": "profile", "platform": "a800", "n_gpus": 8}
    cells.append(make.unsupported_cell("not implemented", **ids))
    return make.manifest(name, cells, layout, title=f"{name.replace('_', ' ').capitalize()}: a step taken apart")


INCOMPLETE: Outcome = (
    Status.INVALID,
    Phase.OPTIMIZER,
    "IncompleteProfileError: 91.2% of the kernel time belongs to a part of the model, 95% must",
)


def table_v(project: Path) -> Manifest:
    """By phase; one ran out of memory, one is not complete."""
    methods = {"Naive": OOM, "Z2": 0.06, "Z3": INCOMPLETE, "R": 1.4}
    values = ["phase_time_s", "unprofiled_time_s", "compute_time_s", "compute_share", "recomputation_time_s"]
    values += ["communication_overlapped_s", "communication_exposed_s"]
    rows = ["platform", "method", "step_phase"]
    return profiled(project, "table_V", methods, kind="pivot", view="phases", rows=rows, values=values)


def table_vi(project: Path) -> Manifest:
    """By module and direction."""
    layout = {"rows": ["module"], "columns": ["method", "direction"], "split": ["platform"]}
    values = ["module_time_s", "module_share"]
    return profiled(project, "table_VI", {"Naive": 0.06}, kind="pivot", view="modules", values=values, **layout)


def table_viii(project: Path) -> Manifest:
    """With and without FlashAttention; the counterpart of one ran out of memory."""
    methods = {"Naive": 0.06, "F": 0.05, "Z2": OOM, "F+Z2": 0.05}
    layout = {"rows": ["platform", "module", "direction"], "columns": ["method"]}
    values = ["module_time_s", "improvement"]
    return profiled(project, "table_VIII", methods, kind="pivot", view="attention", values=values, **layout)


def fig_5(project: Path) -> Manifest:
    """Busy and idle shares of each phase."""
    values = ["busy_share", "compute_share", "communication_share", "idle_share"]
    methods = {"Naive": OOM, "Z2": 0.06}
    series = ["platform", "method"]
    return profiled(
        project, "fig_5", methods, kind="phases", view="phases", series=series, x=["step_phase"], values=values
    )


CASES: dict[str, Callable[[Path], Manifest]] = {
    "table_I": table_i,
    "table_II": table_ii,
    "table_III": table_iii,
    "table_IV": table_iv,
    "fig_4": fig_4,
    "fig_6": fig_6,
    "fig_10": fig_10,
    "table_serving": table_serving,
    "operators_gemm": operators_gemm,
    "operators_memcpy": operators_memcpy,
    "operators_collectives": operators_collectives,
    "operators_attention": operators_attention,
    "fig_roofline": fig_roofline,
    "fig_attention": fig_attention,
    "table_V": table_v,
    "table_VI": table_vi,
    "table_VIII": table_viii,
    "fig_5": fig_5,
}
