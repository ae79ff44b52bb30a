"""Pre-training with PyTorch DDP: every GPU holds the whole model, and gradients are averaged bucket by bucket."""

from dissect.machine.device import Device
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.training.ddp.spec import DdpSpec
from dissect.stages.training.rank import run_training_rank
from dissect.stages.training.torch_trainer import TorchTrainer, build_adamw, compile_layers
from dissect.stages.training.torch_trainer import import_libraries as import_libraries
from dissect.workloads.llama import build_llama, llama_config

LEARNING_RATE = 1e-5


def prepare(_: DdpSpec) -> None:
    """Do nothing: no extension is compiled."""


def connect() -> None:
    """Do nothing: DDP uses torch's process group."""


def run_rank(spec: DdpSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    return run_training_rank(spec, context, connect, build_trainer)


def build_trainer(spec: DdpSpec, device: Device) -> TorchTrainer:
    """Build model, DDP around it, and optimizer on the device; buckets have DDP's default size."""
    from torch.nn.parallel import DistributedDataParallel

    llama = llama_config(spec.model, spec.method.attention)
    model = build_llama(llama, spec.trained_dtype, device.torch_device, spec.workload.seed)
    if spec.method.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if spec.method.compile_layers:
        compile_layers(model.model.layers)
    parallel = DistributedDataParallel(model, gradient_as_bucket_view=spec.method.gradient_bucket_view)
    optimizer = build_adamw(spec.method.optimizer, model.parameters(), LEARNING_RATE)
    trainer = TorchTrainer(spec, model, parallel, optimizer)
    if spec.method.compile_layers:
        trainer.warm_compiler(device)
    return trainer
