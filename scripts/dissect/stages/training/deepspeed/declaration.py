"""DeepSpeed's declaration: its knobs, its stages, the memory of its states."""

from typing import Any

from dissect.cells.frameworks import Framework, TrainingStage
from dissect.cells.spec import Hardware, ProfileWorkload
from dissect.config.platform import Platform
from dissect.stages.training.deepspeed.knobs import DeepSpeedKnobs, Stage3Sizes
from dissect.stages.training.deepspeed.model_states import state_bytes
from dissect.stages.training.deepspeed.spec import (
    DeepSpeedMethod,
    DeepSpeedSpec,
    FinetuneMethod,
    FinetuneSpec,
    PretrainSpec,
    ProfileSpec,
)


def _method(knobs: DeepSpeedKnobs, platform: Platform, _: Hardware) -> dict[str, Any]:
    offload_optimizer = bool(knobs.offload_optimizer)
    return {
        "zero_stage": knobs.zero_stage or 0,
        "stage3_sizes": (knobs.stage3_sizes or "authors") if knobs.zero_stage == 3 else "deepspeed",
        "stage2_settings": (knobs.stage2_settings or "authors") if knobs.zero_stage == 2 else "authors",
        "offload_optimizer": offload_optimizer,
        "offload_parameters": bool(knobs.offload_parameters),
        "quantization": knobs.quantization or "none",
        "optimizer": "deepspeed_cpu_adam" if offload_optimizer else platform.optimizer,
    }


def _finetune_method(knobs: DeepSpeedKnobs, platform: Platform, hardware: Hardware) -> dict[str, Any]:
    return {**_method(knobs, platform, hardware), "adapter": knobs.adapter}


def constraint(spec: DeepSpeedSpec) -> str | None:
    """Why the cell is unsupported, or None: DeepSpeed 0.19.8 cannot gather whole layers on a frozen base."""
    method, sizes = spec.method, spec.method.stage3_sizes
    if isinstance(sizes, Stage3Sizes) and sizes.whole_layers and method.trained_adapter and not method.recompute:
        return "on a frozen base DeepSpeed frees weights of whole layers that the backward pass still needs, but with R"
    return None


FRAMEWORK = Framework(
    label="DeepSpeed",
    knobs=DeepSpeedKnobs,
    stages={
        "pretrain": TrainingStage(
            runner="dissect.stages.training.deepspeed.pretrain",
            protocol=2,
            spec=PretrainSpec,
            method=DeepSpeedMethod,
            resolve=_method,
        ),
        "finetune": TrainingStage(
            runner="dissect.stages.training.deepspeed.finetune",
            protocol=2,
            spec=FinetuneSpec,
            method=FinetuneMethod,
            resolve=_finetune_method,
        ),
        "profile": TrainingStage(
            runner="dissect.stages.profile.recording",
            protocol=2,
            spec=ProfileSpec,
            method=DeepSpeedMethod,
            resolve=_method,
            workload=ProfileWorkload,
        ),
    },
    state_bytes=state_bytes,
    constraint=constraint,
    step_memory="dissect.stages.training.deepspeed.step_memory",
    step_work="dissect.stages.training.deepspeed.step_work",
    states=("fp32_master", "bf16"),
    distributions=("deepspeed",),
)
