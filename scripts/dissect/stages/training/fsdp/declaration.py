"""PyTorch FSDP2's declaration: its stages, its states and their memory."""

from typing import Any

from dissect.cells.frameworks import Framework, TrainingStage
from dissect.cells.spec import Hardware
from dissect.config.platform import Platform
from dissect.stages.training.fsdp.knobs import FsdpKnobs
from dissect.stages.training.fsdp.model_states import state_bytes
from dissect.stages.training.fsdp.spec import (
    FsdpFinetuneMethod,
    FsdpFinetuneSpec,
    FsdpMethod,
    FsdpPretrainSpec,
    FsdpSpec,
)


def _method(knobs: FsdpKnobs, _: Platform, __: Hardware) -> dict[str, Any]:
    """The method's choices; without letters, everything is on the GPUs and nothing in 4 bits."""
    adapter = {} if knobs.adapter is None else {"adapter": knobs.adapter}
    return {
        "cpu_offload": bool(knobs.cpu_offload),
        "quantization": knobs.quantization or "none",
        "optimizer": "torch_adamw",
        "compile_layers": bool(knobs.compile_layers),
        **adapter,
    }


def constraint(spec: FsdpSpec) -> str | None:
    """Why the cell is unsupported, or None: the model is built and sharded layer by layer, with the adapter inside."""
    adapter = spec.method.trained_adapter
    if spec.method.compile_layers and spec.method.is_quantized:
        return "torch.compile is tested without 4-bit products only"
    return "FSDP2 shards layer by layer, and a trained prompt is in none" if adapter and adapter.positions else None


FRAMEWORK = Framework(
    label="PyTorch FSDP2",
    knobs=FsdpKnobs,
    stages={
        "pretrain": TrainingStage(
            runner="dissect.stages.training.fsdp.pretrain",
            protocol=1,
            spec=FsdpPretrainSpec,
            method=FsdpMethod,
            resolve=_method,
        ),
        "finetune": TrainingStage(
            runner="dissect.stages.training.fsdp.finetune",
            protocol=1,
            spec=FsdpFinetuneSpec,
            method=FsdpFinetuneMethod,
            resolve=_method,
        ),
    },
    state_bytes=state_bytes,
    step_memory="dissect.stages.training.fsdp.step_memory",
    step_work="dissect.stages.training.fsdp.step_work",
    constraint=constraint,
    states=("fp32_master", "bf16"),
)
