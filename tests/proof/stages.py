"""What tells the stages apart: the runners and views there are, what a cell of each computes, why one cannot exist.

A runner that is added is a line in ``BUILT``, a view of tables one in ``VIEWS``.
"""

from typing import Any, NamedTuple

from proof.reading import Refused, Yaml
from proof.serving import ENGINES

BUILT = {
    ("inspect", "system"),
    ("pretrain", "deepspeed"),
    ("pretrain", "megatron"),
    ("pretrain", "ddp"),
    ("profile", "ddp"),
    ("pretrain", "fsdp"),
    ("finetune", "fsdp"),
    ("finetune", "deepspeed"),
    ("profile", "deepspeed"),
    ("operators", "gemm"),
    ("operators", "memcpy"),
    ("operators", "collectives"),
    ("operators", "attention"),
    *(("serve", engine) for engine in ENGINES),
}
"""(stage, framework) of every runner."""


class View(NamedTuple):
    """Numbers of a table: their axes below the cell, and their names."""

    axes: tuple[str, ...]
    values: tuple[str, ...]


TRAINING = View((), (
    "batch_measured", "tokens_per_s", "paper_tokens_per_s", "step_time_s", "step_time_mean_s", "step_time_cv",
    "device_tokens_per_s", "device_time_s", "device_compute_time_s", "device_communication_time_s",
    "scaling_efficiency", "peak_memory_bytes", "peak_memory_gib", "nvml_peak_memory_bytes", "nvml_peak_memory_gib",
    "paper_memory_gib", "mfu", "hfu", "energy_per_step_j", "tokens_per_joule", "tokens_per_step",
    "model_flops_per_step", "hardware_flops_per_step", "parameters", "trainable_parameters", "first_loss", "last_loss",
))  # fmt: skip
CALL = ("call_time_s", "call_time_cv")
SERVING = View((), (
    "output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "goodput_per_s", "load_duration_s",
    *(f"{time}_{which}_s" for time in ("ttft", "tpot", "inter_token", "latency")
      for which in ("mean", "p50", "p90", "p95", "p99")),
    "inter_token_pooled_s", "preemptions", "server_memory_gib", "kv_cache_gib", "kv_cache_tokens",
    "max_sequences", "most_running", "prefill_budget_tokens", "graph_sequences",
    "most_answering",
    "tokens_per_joule_served", "ready_time_s", "send_spread_s", "client_cpu", "calibration_difference",
))  # fmt: skip
VIEWS: dict[str, dict[str, View]] = {
    "pretrain": {"training": TRAINING},
    "finetune": {"training": TRAINING},
    "profile": {
        "phases": View(("step_phase",), (
            "phase_time_s", "unprofiled_time_s", "compute_time_s", "compute_share", "recomputation_time_s",
            "communication_overlapped_s", "communication_exposed_s", "communication_share", "busy_share", "idle_share",
        )),
        "modules": View(("module", "direction"), ("module_time_s", "module_share", "module_calls")),
        "attention": View(("module", "direction"), ("module_time_s", "improvement")),
    },
    "operators": {
        "gemm": View(("product", "rows"), (
            "tflops", "peak_share", *CALL, "arithmetic_intensity", "flops", "traffic_bytes", "m", "n", "k",
        )),
        "memcpy": View(("size_bytes",), ("gb_per_s", *CALL)),
        "collectives": View(("size_bytes",), ("algorithm_gb_per_s", "bus_gb_per_s", *CALL, "message_bytes")),
        "attention_kernels": View(("sequence", "direction"), ("tflops", "peak_share", *CALL, "flops")),
    },
    "serve": {
        "serving": SERVING, "requests": View(("run", "request"), ("latency_s", "ttft_s", "tpot_s", "sent_s")),
        "rates": View((), (
            "held_rate_per_s", "failed_rate_per_s", "kept_share", "latency_growth", "probes_tried",
            "goodput_tokens_per_s",
        )),
        "probes": View(("run", "probe"), (
            "offered_rate_per_s", "ttft_p99_s", "tpot_p99_s", "kept_share", "output_tokens_per_s",
            "goodput_tokens_per_s",
        )),
    },
}  # fmt: skip
"""Stage -> the views of its cells."""
OPERATORS = {
    "gemm": ("layers", "square"),
    "memcpy": (
        "host_to_host", "host_to_device_pinned", "host_to_device_pageable", "device_to_host_pinned",
        "device_to_host_pageable", "device_to_device",
    ),
    "collectives": ("all_reduce", "all_gather", "reduce_scatter"),
    "attention": ("eager", "sdpa_math", "sdpa_efficient", "sdpa_flash", "flash_attention_2"),
}  # fmt: skip
FAMILY_OF = {"gemm": "gemm", "memcpy": "memcpy", "collectives": "collectives", "attention_kernels": "attention"}
"""View -> the one family of operators that it shows."""
OF_A_MODEL = ("layers", *OPERATORS["attention"])
"""Operators that are measured per model, the others once."""
FRAMEWORKS = ("system", "deepspeed", "megatron", "ddp", "fsdp", "gemm", "memcpy", "collectives", "attention", *ENGINES)
CELL_AXES = ("platform", "model", "framework", "method", "workload", "n_gpus", "seq_len", "batch")

VALUES = ["tokens_per_s", "device_tokens_per_s", "peak_memory_gib", "paper_tokens_per_s", "paper_memory_gib"]
FIGURES = {"scaling", "phases", "curve", "roofline", "throughput", "distribution", "rate"}
"""Kinds of layout that are drawn."""
VIEW_OF_FIGURE = {"scaling": "training", "roofline": "gemm", "rate": "probes"}
"""The others draw what they are told."""

ADAPTERS: dict[str, Yaml] = {
    "lora": {
        "rank": 64, "alpha": 128, "dropout": 0.0,
        "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
    "prompt_tuning": {"virtual_tokens": 20},
}  # fmt: skip

STEP = {"seq_len": 350, "batch": 1, "dtype": "bf16", "gradient_clipping": 0.3, "seed": 42}
PROFILED_STEP = STEP | {"profiled_steps": 3}
OPERATOR = {"batch": 1, "dtype": "bf16", "seed": 42}

SPLIT_SIZES = ("num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size")
"""Of the model: what tensor parallel splits, without padding."""
KNOBS = {
    "deepspeed": {
        "stage3_sizes",
        "stage2_settings",
        "zero_stage",
        "offload_optimizer",
        "offload_parameters",
        "quantization",
        "adapter",
    },
    "megatron": {
        "tensor_parallel",
        "pipeline_parallel",
        "sequence_parallel",
        "distributed_optimizer",
        "overlap_communication",
        "fused_kernels",
        "recompute_attention",
    },
    "ddp": {"gradient_bucket_view", "compile_layers"},
    "fsdp": {"cpu_offload", "compile_layers", "quantization", "adapter"},
}
"""Framework -> what its letters may turn besides attention and recomputation."""


OWN = {"deepspeed": {"deepspeed"}, "megatron": {"megatron-core", "transformer-engine"}}
"""Framework -> distributions that only its cells use."""
OF_KERNEL = {"flash_attention_2": "flash-attn", "flash_attention_3": "flash-attn-3"}
USED_BY_SOME = {"bitsandbytes", "peft", *OF_KERNEL.values(), *OWN["deepspeed"], *OWN["megatron"]}


def used(framework: str, method: Yaml) -> set[str]:
    """What a cell uses of the distributions that not every cell uses."""
    of_method = {
        OF_KERNEL.get(method["attention"], ""): True,
        "bitsandbytes": method.get("quantization", "none") != "none",
        "peft": bool(method.get("adapter")),
    }
    return OWN.get(framework, set()) | {name for name, holds in of_method.items() if holds and name}


STATES = {
    "deepspeed": ("fp32_master", "bf16"),
    "megatron": ("fp32_master",),
    "ddp": ("bf16", "fp32_master"),
    "fsdp": ("fp32_master", "bf16"),
}
"""Framework -> what can stand beside bf16 weights, first what does without a letter."""
TORCH_ADAMW = ("torch_adamw", "torch_adamw_foreach", "torch_adamw_loop")
OPTIMIZERS = {
    "deepspeed": ("torch_adamw", "deepspeed_fused_adam", "deepspeed_cpu_adam"),
    "ddp": TORCH_ADAMW,
    "fsdp": TORCH_ADAMW,
}


def view_of(stage: str, name: str) -> View:
    """The view, which the stage must have."""
    if name not in VIEWS.get(stage, {}):
        raise Refused(f"{stage} has no {name}")
    return VIEWS[stage][name]


def layout(declared: Yaml) -> Yaml:
    """A layout with what its kind defaults to."""
    if declared["kind"] == "platforms":
        return declared
    lists = (
        {"panels": [], "series": ["platform"], "x": ["n_gpus"]}
        if declared["kind"] in FIGURES
        else {"columns": [], "split": []}
    )
    said = {key: numbers(value) for key, value in declared.items() if value is not None}
    return {"view": "training", "values": VALUES} | lists | said


def workload(stage: str, framework: str, declared: Yaml) -> Yaml:
    """What a cell computes: the defaults of its stage, and what is declared over them."""
    if stage == "operators":
        if "sizes" not in declared or declared.get("batch") == "max":
            raise Refused("an operator needs sizes, and a batch that is a number")
        return over(OPERATOR | {"sizes": None}, declared)
    return over(PROFILED_STEP if (stage, framework) in BUILT and stage == "profile" else STEP, declared)


def over(defaults: Yaml, declared: Yaml) -> Yaml:
    """Nothing but what there is may be declared."""
    if foreign := declared.keys() - defaults:
        raise Refused(f"no {sorted(foreign)} here")
    return defaults | declared


def adapter(declared: Yaml) -> Yaml:
    """An adapter with what its kind defaults to."""
    return {"kind": declared["kind"]} | ADAPTERS[declared["kind"]] | declared


def turns_what_is_not_there(stage: str, framework: str, knobs: Yaml) -> str | None:
    """Why letters do not suit a framework or a stage."""
    foreign = sorted(knobs.keys() - KNOBS.get(framework, set()) - {"flash_attention", "recompute", "states"})
    if foreign:
        return f"{framework} without {foreign}"
    if knobs.get("states", STATES[framework][0]) not in STATES[framework]:
        return f"{framework} without {knobs['states']}"
    if (stage == "finetune") != ("adapter" in knobs):
        return f"an adapter and {stage}"
    return None


def method(framework: str, knobs: Yaml, platform: Yaml, count: int, nodes: int) -> Yaml:
    """All choices between implementations."""
    common = {
        "attention": platform.get("kernels", {}).get("flash_attention") if knobs.get("flash_attention") else "eager",
        "recompute": bool(knobs.get("recompute")),
        "states": knobs.get("states") or STATES[framework][0],
    }
    if framework == "ddp":
        return common | {
            "bucket_view": bool(knobs.get("gradient_bucket_view")),
            "optimizer": "torch_adamw",
            "compiled": bool(knobs.get("compile_layers")),
        }
    if framework == "megatron":
        stages = knobs.get("pipeline_parallel", 1)
        return common | {
            "tensor": knobs.get("tensor_parallel") or max(1, count // nodes // stages),
            "pipeline": stages,
            "sequence": bool(knobs.get("sequence_parallel")),
            "distributed": bool(knobs.get("distributed_optimizer")),
            "overlaps": bool(knobs.get("overlap_communication")),
            "fuses": bool(knobs.get("fused_kernels")),
            "selective": bool(knobs.get("recompute_attention")),
            "layers": platform.get("kernels", {}).get("layer_spec", "local"),
        }
    if framework == "fsdp":
        return common | {
            "offload": bool(knobs.get("cpu_offload")),
            "compiled": bool(knobs.get("compile_layers")),
            "quantization": knobs.get("quantization") or "none",
            "optimizer": "torch_adamw",
            "adapter": knobs.get("adapter"),
        }
    offload = bool(knobs.get("offload_optimizer"))
    return common | {
        "zero": int(knobs.get("zero_stage") or 0),
        "settings": knobs.get("stage2_settings", "authors") if knobs.get("zero_stage") == 2 else None,
        "sizes": knobs.get("stage3_sizes", "authors") if knobs.get("zero_stage") == 3 else None,
        "offload_optimizer": offload,
        "offload_parameters": bool(knobs.get("offload_parameters")),
        "quantization": knobs.get("quantization") or "none",
        "optimizer": "deepspeed_cpu_adam" if offload else platform.get("optimizer", "deepspeed_fused_adam"),
        "adapter": knobs.get("adapter"),
    }


def cannot_split(method: Yaml, architecture: Yaml, count: int, seq_len: int, device: str) -> str | None:
    """Why Megatron-LM cannot share or compute the model like this, or FSDP2 the adapter."""
    if "offload" in method and (method.get("adapter") or {}).get("virtual_tokens"):
        return "a prompt in no layer"
    if method.get("compiled") and method.get("quantization", "none") != "none":
        return "4 bits compiled"
    if "tensor" not in method:
        return None
    tensor, pipeline, local = method["tensor"], method["pipeline"], method["layers"] == "local"
    split = {size: architecture[size] for size in SPLIT_SIZES} | {"tokens": seq_len if method["sequence"] else 0}
    reasons = {
        f"{count} GPUs in {tensor} x {pipeline}": count % (tensor * pipeline),
        **{f"{size} {what} over {tensor}": size % tensor for what, size in split.items()},
        f"{architecture['num_hidden_layers']} layers in {pipeline}": architecture["num_hidden_layers"] % pipeline,
        "sequence parallel alone": method["sequence"] and tensor == 1,
        "nothing to distribute over": method["distributed"] and count == tensor * pipeline,
        "nothing to overlap with": method["overlaps"] and count == tensor * pipeline,
        "attention computed again twice": method["recompute"] and method["selective"],
        "no fused attention in local layers": local and method["attention"] != "eager",
        "Transformer Engine without a GPU": not local and device == "cpu",
        "Transformer Engine with another kernel": not local and method["attention"] == "sdpa_flash",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def cannot_run(family: str, operator: str, model: str, platform: Yaml, count: int, dtype: str) -> str | None:
    """Why an operator has nothing to run on."""
    on_cpu = platform["device"] == "cpu"
    reasons = {
        f"{operator} of no model": operator in OF_A_MODEL and model == "-",
        "nobody to talk to": family == "collectives" and count == 1,
        f"{operator} on several": family != "collectives" and count > 1,
        f"{operator} without a device": on_cpu and family == "memcpy" and "device" in operator,
        f"{operator} without a GPU": on_cpu and operator in ("sdpa_efficient", "flash_attention_2"),
        "flash_attention_2 in fp32": operator == "flash_attention_2" and dtype == "fp32",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def numbers(value: Any) -> Any:
    """1 and 1.0 are one number."""
    if isinstance(value, dict):
        return {key: numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
