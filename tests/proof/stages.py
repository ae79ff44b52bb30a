"""What tells the stages apart: the runners and views there are, what a cell of each computes, why one cannot exist.

A runner that is added is a line in ``BUILT``, a view of tables one in ``VIEWS``.
"""

from typing import Any, NamedTuple

from proof.reading import Refused, Yaml

BUILT = {
    ("inspect", "system"),
    ("pretrain", "deepspeed"),
}
"""(stage, framework) of every runner."""


class View(NamedTuple):
    """Numbers of a table: the stages whose cells have them, their axes below the cell, and their names."""

    stages: tuple[str, ...]
    axes: tuple[str, ...]
    values: tuple[str, ...]


VIEWS = {
    "training": View(("pretrain", "finetune"), (), (
        "batch_measured", "tokens_per_s", "paper_tokens_per_s", "step_time_s", "step_time_mean_s", "step_time_cv",
        "peak_memory_bytes", "peak_memory_gib", "nvml_peak_memory_bytes", "nvml_peak_memory_gib", "paper_memory_gib",
        "mfu", "hfu", "energy_per_step_j", "tokens_per_joule", "tokens_per_step", "model_flops_per_step",
        "hardware_flops_per_step", "parameters", "trainable_parameters", "first_loss", "last_loss",
    )),
}  # fmt: skip
CELL_AXES = ("platform", "model", "framework", "method", "workload", "n_gpus", "seq_len", "batch")

VALUES = ["tokens_per_s", "peak_memory_gib", "paper_tokens_per_s", "paper_memory_gib"]
FIGURES = {"scaling"}
"""Kinds of layout that are drawn."""

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

KNOBS = {
    "deepspeed": {"zero_stage", "offload_optimizer", "offload_parameters", "quantization", "adapter"},
    "megatron": {"tensor_parallel", "pipeline_parallel", "sequence_parallel", "distributed_optimizer"},
}
"""Framework -> what its letters may turn besides attention and recomputation."""


def layout(declared: Yaml) -> Yaml:
    """A layout with what its kind defaults to."""
    if declared["kind"] == "platforms":
        return declared
    lists = {"series": ["platform"], "x": ["n_gpus"]} if declared["kind"] in FIGURES else {"columns": [], "split": []}
    return {"view": "training", "values": VALUES} | lists | declared


def workload(stage: str, framework: str, declared: Yaml) -> Yaml:
    """What a cell computes: the defaults of its stage, and what is declared over them."""
    if stage == "operators":
        if "sizes" not in declared or declared.get("batch") == "max":
            raise Refused("an operator needs sizes, and a batch that is a number")
        return over(OPERATOR | {"sizes": None}, declared)
    return over(PROFILED_STEP if (stage, framework) == ("profile", "deepspeed") else STEP, declared)


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
    foreign = sorted(knobs.keys() - KNOBS.get(framework, set()) - {"flash_attention", "recompute"})
    if foreign:
        return f"{framework} without {foreign}"
    if (stage == "finetune") != ("adapter" in knobs):
        return f"an adapter and {stage}"
    return None


def method(framework: str, knobs: Yaml, platform: Yaml, count: int, nodes: int) -> Yaml:
    """All choices between implementations."""
    common = {
        "attention": platform.get("kernels", {}).get("flash_attention") if knobs.get("flash_attention") else "eager",
        "recompute": bool(knobs.get("recompute")),
    }
    if framework == "megatron":
        stages = knobs.get("pipeline_parallel", 1)
        return common | {
            "tensor": knobs.get("tensor_parallel") or max(1, count // nodes // stages),
            "pipeline": stages,
            "sequence": bool(knobs.get("sequence_parallel")),
            "distributed": bool(knobs.get("distributed_optimizer")),
            "layers": platform.get("kernels", {}).get("layer_spec", "local"),
        }
    offload = bool(knobs.get("offload_optimizer"))
    return common | {
        "zero": int(knobs.get("zero_stage") or 0),
        "offload_optimizer": offload,
        "offload_parameters": bool(knobs.get("offload_parameters")),
        "quantization": knobs.get("quantization") or "none",
        "optimizer": "deepspeed_cpu_adam" if offload else platform.get("optimizer", "deepspeed_fused_adam"),
        "adapter": knobs.get("adapter"),
    }


def cannot_split(method: Yaml, architecture: Yaml, count: int) -> str | None:
    """Why Megatron-LM cannot share the model like this."""
    if "tensor" not in method:
        return None
    tensor, pipeline = method["tensor"], method["pipeline"]
    reasons = {
        f"{count} GPUs in {tensor} x {pipeline}": count % (tensor * pipeline),
        f"heads over {tensor}, {architecture['num_key_value_heads']} of keys": (
            architecture["num_attention_heads"] % tensor or architecture["num_key_value_heads"] % tensor
        ),
        f"{architecture['num_hidden_layers']} layers in {pipeline}": architecture["num_hidden_layers"] % pipeline,
        "sequence parallel alone": method["sequence"] and tensor == 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def cannot_run(family: str, operator: str, platform: Yaml, count: int) -> str | None:
    """Why an operator has nothing to run on."""
    if family == "collectives" and count == 1:
        return "nobody to talk to"
    on_gpus_only = family == "attention" and operator.startswith("flash_attention")
    return f"{operator} without a GPU" if on_gpus_only and platform["device"] == "cpu" else None


def numbers(value: Any) -> Any:
    """1 and 1.0 are one number."""
    if isinstance(value, dict):
        return {key: numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
