"""Pre-training with Megatron-LM (megatron-core): tensor, pipeline, sequence and data parallel."""

import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dissect.base.outcome import Flag, Phase
from dissect.machine.device import Device
from dissect.machine.vendor import vendor_of
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.training.megatron.gpt_model import build_model, choose_layers, transformer_config
from dissect.stages.training.megatron.on_cpu import redirect_cuda
from dissect.stages.training.megatron.spec import MegatronSpec
from dissect.stages.training.rank import Share, run_training_rank
from dissect.workloads.attention_kernels import observe_kernel

if TYPE_CHECKING:
    import torch

LEARNING_RATE = 1e-5


def run_rank(spec: MegatronSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    report = run_training_rank(spec, context, partial(connect, spec), build_trainer)
    on_cpu = vendor_of(spec.hardware).torch_type == "cpu"
    return report.model_copy(update={"flags": [Flag.CUDA_REDIRECTED]}) if on_cpu else report


def import_libraries(spec: MegatronSpec) -> None:
    """Import in the parent, once, what the ranks need.

    It must not touch CUDA, which does not survive a fork. Where Transformer Engine is installed megatron-core imports
    it, so there all of this is left to the ranks.
    """
    # Megatron-LM asks for it: communication must reach the GPU in the order in which it was queued.
    if vendor_of(spec.hardware).torch_type == "cuda":
        os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    if find_spec("transformer_engine") is None:
        import megatron.core.distributed
        import megatron.core.models.gpt
        import megatron.core.optimizer
        import megatron.core.pipeline_parallel  # noqa: F401


def prepare(_: MegatronSpec) -> None:
    """Do nothing: no extension is compiled."""


def connect(spec: MegatronSpec) -> None:
    """Form Megatron's groups of ranks and seed its random states; on ``cpu`` redirect calls of CUDA first.

    Raises:
        WrongKernelError: the layers that the spec names are not installed.
    """
    choose_layers(spec.method.layer_spec)
    if vendor_of(spec.hardware).torch_type == "cpu":
        redirect_cuda()
    from megatron.core import parallel_state, tensor_parallel

    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=spec.method.tensor_parallel,
        pipeline_model_parallel_size=spec.method.pipeline_parallel,
        distributed_timeout_minutes=math.ceil(spec.sampling.budget_s / 60),
        create_gloo_process_groups=False,
    )
    tensor_parallel.model_parallel_cuda_manual_seed(spec.workload.seed)


def build_trainer(spec: MegatronSpec, device: Device) -> "MegatronTrainer":
    """Build model, gradient buffers and optimizer of the spec on the device."""
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer

    config = transformer_config(spec)
    shards, overlaps = spec.method.distributed_optimizer, spec.method.overlap_communication
    overlap = {"overlap_grad_reduce": True, "overlap_param_gather": shards} if overlaps else {}
    # Gradients in fp32, as Megatron-LM has them whenever it trains in bf16; its clipping takes no others.
    buffers = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=shards, **overlap)
    model = DistributedDataParallel(config, buffers, build_model(spec, config, device))
    optimizer_config = OptimizerConfig(
        optimizer="adam",
        lr=LEARNING_RATE,
        bf16=config.bf16,
        params_dtype=config.params_dtype,
        clip_grad=spec.workload.gradient_clipping,
        use_distributed_optimizer=shards,
        **({"overlap_param_gather": shards} if overlaps else {}),
    )
    optimizer = get_megatron_optimizer(optimizer_config, [model], use_gloo_process_groups=False)
    config.grad_scale_func = optimizer.scale_loss
    config.finalize_model_grads_func = finalize_model_grads
    if overlaps:
        config.no_sync_func = model.no_sync
    return MegatronTrainer(spec, model, optimizer)


class MegatronTrainer:
    """Megatron's schedule and optimizer with the interface that the measured loop needs."""

    def __init__(self, spec: MegatronSpec, model: Any, optimizer: Any) -> None:
        self._spec, self.model, self.optimizer = spec, model, optimizer
        self.attention_kernel: str | None = None
        """The kernel that ran in the first step; None before it."""

    @property
    def share(self) -> Share:
        """This rank's share of a step: all ranks that hold a part of one replica see the same sequences."""
        from megatron.core import parallel_state

        method = self._spec.method
        replica = parallel_state.get_data_parallel_rank()
        return Share(replica, gpus=method.tensor_parallel * method.pipeline_parallel)

    def parameter_counts(self) -> tuple[int, int]:
        """(All, trainable) parameters of one replica; those that tensor-parallel ranks hold alike count once."""
        import torch
        from megatron.core import parallel_state
        from megatron.core.tensor_parallel import param_is_not_tensor_parallel_duplicate

        own = [parameter for parameter in self.model.parameters() if param_is_not_tensor_parallel_duplicate(parameter)]
        counts = [sum(p.numel() for p in own), sum(p.numel() for p in own if p.requires_grad)]
        total = torch.tensor(counts, device=own[0].device)
        torch.distributed.all_reduce(total, group=parallel_state.get_model_parallel_group())
        parameters, trainable = map(int, total.tolist())
        return parameters, trainable

    def train_step(self, tokens: "torch.Tensor", enter: Callable[[Phase], None]) -> "torch.Tensor":
        """Train one step over the micro-batches of this replica, one per pipeline stage.

        The first step also checks which attention kernel runs.

        Raises:
            WrongKernelError: another attention kernel runs than expected.
        """
        from megatron.core.pipeline_parallel import get_forward_backward_func

        enter(Phase.FORWARD)
        self.model.zero_grad_buffer()
        self.optimizer.zero_grad()
        micro_batches = tokens.chunk(self._spec.method.pipeline_parallel)
        losses = get_forward_backward_func()(
            forward_step_func=partial(self._forward_step, enter),
            data_iterator=iter(micro_batches),
            model=self.model,
            num_microbatches=len(micro_batches),
            seq_length=tokens.shape[1],
            micro_batch_size=len(micro_batches[0]),
            forward_only=False,
        )
        enter(Phase.OPTIMIZER)
        self.optimizer.step()
        return self._from_last_stage(losses, tokens.device)

    def _forward_step(
        self, enter: Callable[[Phase], None], micro_batches: "Iterator[torch.Tensor]", model: Any
    ) -> "tuple[torch.Tensor, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]]":
        """This stage's output for the next micro-batch, on the last stage [batch, seq_len] losses, and their average.

        Megatron's schedule runs the backward pass until the next call.
        """
        enter(Phase.FORWARD)
        tokens = next(micro_batches)
        forward = partial(model, tokens, None, None, labels=tokens.roll(-1, dims=1))
        if self.attention_kernel is None:
            expected = self._spec.method.attention
            output, self.attention_kernel = observe_kernel(forward, expected), expected
        else:
            output = forward()
        enter(Phase.BACKWARD)
        return output, _mean_loss

    def _from_last_stage(self, losses: "list[torch.Tensor]", device: "torch.device") -> "torch.Tensor":
        """The replica's loss on all of its ranks; only the last stage knows the losses of the micro-batches."""
        import torch
        from megatron.core import parallel_state

        loss = torch.stack(losses).mean() if losses else torch.zeros((), device=device)
        if self._spec.method.pipeline_parallel > 1:
            group = parallel_state.get_pipeline_model_parallel_group()
            torch.distributed.broadcast(loss, parallel_state.get_pipeline_model_parallel_last_rank(), group)
        return loss


def _mean_loss(losses: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Mean over [batch, seq_len] losses except those of the last token, which has no successor; and a copy to report.

    Megatron's schedule scales the first in place.
    """
    loss = losses[:, :-1].mean()
    return loss, loss.detach().clone()
