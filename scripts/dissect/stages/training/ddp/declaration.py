"""PyTorch DDP's declaration: its stages, its states and their memory."""

from typing import Any

from dissect.cells.frameworks import Framework, TrainingStage
from dissect.cells.spec import Hardware, ProfileWorkload
from dissect.config.platform import Platform
from dissect.stages.training.ddp.knobs import DdpKnobs
from dissect.stages.training.ddp.model_states import state_bytes
from dissect.stages.training.ddp.spec import DdpMethod, DdpPretrainSpec, DdpProfileSpec, DdpSpec


def _method(knobs: DdpKnobs, _: Platform, __: Hardware) -> dict[str, Any]:
    """The method's choices; without letters, those of the authors' code but for AdamW, whose implementation is gone."""
    return {
        "gradient_bucket_view": bool(knobs.gradient_bucket_view),
        "optimizer": "torch_adamw",
        "compile_layers": bool(knobs.compile_layers),
    }


def constraint(spec: DdpSpec) -> str | None:
    """Why the cell is unsupported, or None: a profile puts ranges around modules, which compiled code merges."""
    if spec.method.compile_layers and spec.stage == "profile":
        return "a profile takes a step apart by module, which compiled layers have not"
    return None


FRAMEWORK = Framework(
    label="PyTorch DDP",
    knobs=DdpKnobs,
    stages={
        "pretrain": TrainingStage(
            runner="dissect.stages.training.ddp.pretrain",
            protocol=1,
            spec=DdpPretrainSpec,
            method=DdpMethod,
            resolve=_method,
        ),
        "profile": TrainingStage(
            runner="dissect.stages.profile.recording",
            protocol=1,
            spec=DdpProfileSpec,
            method=DdpMethod,
            resolve=_method,
            workload=ProfileWorkload,
        ),
    },
    state_bytes=state_bytes,
    step_memory="dissect.stages.training.ddp.step_memory",
    step_work="dissect.stages.training.ddp.step_work",
    constraint=constraint,
    states=("bf16", "fp32_master"),
)
