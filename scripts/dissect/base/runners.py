"""The runners that exist: one line per stage and framework. Adding one is a module and a line here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Runner:
    """Where a stage's measurement for one framework lives."""

    module: str
    """Imported in the measuring process only."""
    protocol: int
    """Raised by hand when what the runner measures changes; part of every key."""
    environment: Literal["train", "client"] = "train"
    """Which of the platform's environments it runs in."""


RUNNERS = {
    ("inspect", "system"): Runner("dissect.stages.inspection.system", protocol=1),
    ("finetune", "deepspeed"): Runner("dissect.stages.training.deepspeed.finetune", protocol=1),
    ("pretrain", "deepspeed"): Runner("dissect.stages.training.deepspeed.pretrain", protocol=1),
    ("operators", "gemm"): Runner("dissect.stages.operators.gemm", protocol=1),
    ("operators", "memcpy"): Runner("dissect.stages.operators.memcpy", protocol=1),
    ("operators", "collectives"): Runner("dissect.stages.operators.collectives", protocol=1),
    ("operators", "attention"): Runner("dissect.stages.operators.attention", protocol=1),
    ("pretrain", "megatron"): Runner("dissect.stages.training.megatron.pretrain", protocol=1),
    ("profile", "deepspeed"): Runner("dissect.stages.profile.recording", protocol=1),
    ("serve", "vllm"): Runner("dissect.stages.serving.engines.vllm", protocol=1, environment="client"),
    ("serve", "lightllm"): Runner("dissect.stages.serving.engines.lightllm", protocol=1, environment="client"),
    ("serve", "tgi"): Runner("dissect.stages.serving.engines.tgi", protocol=1, environment="client"),
    ("serve", "transformers"): Runner("dissect.stages.serving.engines.transformers", protocol=1, environment="client"),
    ("serve", "sglang"): Runner("dissect.stages.serving.engines.sglang", protocol=1, environment="client"),
}
