"""Specs of the cells that DeepSpeed trains."""

from typing import Literal

from dissect.base.model import added
from dissect.cells.spec import ModelArchitecture, ProfileWorkload, TrainingMethod, TrainingSpec
from dissect.config.adapters import AnyAdapter
from dissect.config.adapters.adapter import Adapter
from dissect.config.kinds import Optimizer, Quantization, ZeroStage
from dissect.stages.training.deepspeed.knobs import Stage2Choice, Stage3Choice


class DeepSpeedMethod(TrainingMethod):
    """The optimisations of a cell that DeepSpeed trains, resolved to knobs."""

    zero_stage: ZeroStage
    offload_optimizer: bool
    offload_parameters: bool
    quantization: Quantization
    """``nf4``: bitsandbytes NF4 with double quantisation of every linear layer but the head."""
    optimizer: Optimizer
    stage3_sizes: Stage3Choice = added("deepspeed")
    """Sizes of ZeRO-3; the other stages do not use them."""
    stage2_settings: Stage2Choice = added("authors")
    """Buckets and overlap of ZeRO-2; the other stages do not use them."""

    @property
    def is_quantized(self) -> bool:
        """Whether the linear layers of the decoder are in 4 bits."""
        return self.quantization != "none"

    @property
    def shards_states(self) -> bool:
        """Whether ZeRO splits the optimizer's states, and perhaps more, among the ranks."""
        return self.zero_stage > 0

    @property
    def computes_on_host(self) -> bool:
        """Whether the optimizer runs on the host."""
        return self.offload_optimizer

    def repeats_last_product(self, arch: ModelArchitecture) -> bool:
        """Whether it is one of ZeRO-3's own linear layers, which save their operands once they are through."""
        if self.zero_stage < 3:
            return False
        adapter = self.trained_adapter
        return not self.is_quantized or bool(adapter and adapter.products(arch).get("down_proj"))


class FinetuneMethod(DeepSpeedMethod):
    """The optimisations of a fine-tuning cell: an adapter trains on a frozen base."""

    adapter: AnyAdapter

    @property
    def trained_adapter(self) -> Adapter:
        """The adapter, the only part that trains."""
        return self.adapter


class DeepSpeedSpec(TrainingSpec):
    """A cell that DeepSpeed trains."""

    framework: Literal["deepspeed"]
    method: DeepSpeedMethod


class PretrainSpec(DeepSpeedSpec):
    """Pre-training: all parameters train (with Q: those that stay unquantised)."""

    stage: Literal["pretrain"] = "pretrain"


class FinetuneSpec(DeepSpeedSpec):
    """Parameter-efficient fine-tuning: an adapter trains on a frozen base."""

    stage: Literal["finetune"] = "finetune"
    method: FinetuneMethod


class ProfileSpec(DeepSpeedSpec):
    """Profiling of a pre-training step: the same cell once without and once under the profiler."""

    stage: Literal["profile"] = "profile"
    workload: ProfileWorkload
