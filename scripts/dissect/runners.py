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
    ("inspect", "system"): Runner("dissect.inspection.system", protocol=1),
    ("finetune", "deepspeed"): Runner("dissect.finetune.deepspeed", protocol=1),
    ("pretrain", "deepspeed"): Runner("dissect.pretrain.deepspeed", protocol=1),
    ("operators", "gemm"): Runner("dissect.operators.gemm", protocol=1),
    ("operators", "memcpy"): Runner("dissect.operators.memcpy", protocol=1),
    ("operators", "collectives"): Runner("dissect.operators.collectives", protocol=1),
    ("operators", "attention"): Runner("dissect.operators.attention", protocol=1),
    ("pretrain", "megatron"): Runner("dissect.pretrain.megatron", protocol=1),
    ("profile", "deepspeed"): Runner("dissect.profile.deepspeed", protocol=1),
    ("serve", "vllm"): Runner("dissect.serve.engines.vllm", protocol=1, environment="client"),
    ("serve", "lightllm"): Runner("dissect.serve.engines.lightllm", protocol=1, environment="client"),
    ("serve", "tgi"): Runner("dissect.serve.engines.tgi", protocol=1, environment="client"),
    ("serve", "transformers"): Runner("dissect.serve.engines.transformers", protocol=1, environment="client"),
    ("serve", "sglang"): Runner("dissect.serve.engines.sglang", protocol=1, environment="client"),
}
