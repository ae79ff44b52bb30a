"""Specs of the cells that PyTorch DDP trains."""

from typing import Literal

from dissect.cells.spec import ProfileWorkload
from dissect.stages.training.torch_spec import TorchMethod, TorchSpec


class DdpMethod(TorchMethod):
    """The choices of a cell that PyTorch DDP trains."""

    gradient_bucket_view: bool
    """Whether gradients are views of the communication buckets (``gradient_as_bucket_view``)."""


class DdpSpec(TorchSpec):
    """A cell that PyTorch DDP trains."""

    framework: Literal["ddp"]
    method: DdpMethod


class DdpPretrainSpec(DdpSpec):
    """Pre-training: all parameters train."""

    stage: Literal["pretrain"] = "pretrain"


class DdpProfileSpec(DdpSpec):
    """Profiling of a pre-training step: the same cell once without and once under the profiler."""

    stage: Literal["profile"] = "profile"
    workload: ProfileWorkload
