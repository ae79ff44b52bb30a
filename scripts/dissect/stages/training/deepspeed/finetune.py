"""Parameter-efficient fine-tuning with DeepSpeed and PEFT: an adapter trains, the base is frozen."""

from typing import TYPE_CHECKING

from dissect.config.adapters import AnyAdapter
from dissect.config.kinds import DType
from dissect.machine.device import Device
from dissect.machine.vendor import vendor_of
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.training.deepspeed import trainer as deepspeed
from dissect.stages.training.deepspeed.spec import FinetuneSpec
from dissect.stages.training.deepspeed.trainer import prepare as prepare
from dissect.stages.training.rank import run_training_rank
from dissect.workloads.dtypes import default_dtype

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

LEARNING_RATE = 2e-4


def import_libraries(spec: FinetuneSpec) -> None:
    """Import in the parent what the ranks need; on ``cuda`` each rank imports PEFT, which imports bitsandbytes."""
    deepspeed.import_libraries(spec)
    if vendor_of(spec.hardware).torch_type == "cpu":
        import peft  # noqa: F401
    else:
        deepspeed.import_compiler()


def run_rank(spec: FinetuneSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    return run_training_rank(spec, context, deepspeed.connect, build_trainer)


def build_trainer(spec: FinetuneSpec, device: Device) -> deepspeed.DeepSpeedTrainer:
    """Build base, adapter, optimizer and engine of the spec on the device."""
    base, workload = deepspeed.build_model(spec, device), spec.workload
    base.is_loaded_in_4bit = spec.method.quantization == "nf4"  # by this PEFT knows which layers of its own to take
    model = add_adapter(base, spec.method.adapter, workload.dtype, device.torch_device, workload.seed)
    return deepspeed.start_engine(spec, model, LEARNING_RATE)


def add_adapter(
    base: "LlamaForCausalLM", adapter: AnyAdapter, dtype: DType, device: "torch.device", seed: int
) -> "PeftModel":
    """Freeze the base and add the adapter to it, in ``dtype`` on ``device``; the seed fixes the adapter's weights.

    PEFT would keep adapters in fp32 by default. DeepSpeed trains in one dtype, with fp32 master weights of its own.
    Under ZeRO-3 the adapter is whole until the engine starts, which shards it as it is.
    """
    import torch
    from peft import get_peft_model

    base.requires_grad_(False)
    torch.manual_seed(seed)
    with torch.device(device), default_dtype(dtype):
        return get_peft_model(base, adapter.peft_config(), autocast_adapter_dtype=False)
