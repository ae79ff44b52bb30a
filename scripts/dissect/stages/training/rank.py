"""One rank of a training cell from start to report, for every stage and framework."""

import os
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import TrainingSpec
from dissect.machine.device import Device
from dissect.machine.vendor import own_device
from dissect.ranks.anchor import measure_anchor
from dissect.ranks.failure import outcome_of
from dissect.ranks.group import join_process_group, leave_process_group
from dissect.ranks.messages import RankContext, RankReport, describe
from dissect.ranks.steps import StepLoop, Trainer
from dissect.workloads import arithmetic
from dissect.workloads.attention_kernels import only_kernel
from dissect.workloads.llama import synthetic_tokens

if TYPE_CHECKING:
    import torch

Connect = Callable[[], None]
"""Forms the framework's own process groups on top of torch's."""
S = TypeVar("S", bound=TrainingSpec)
Build = Callable[[S, Device], "BuiltTrainer"]
"""Builds model, optimizer and engine of a framework."""
Observe = Callable[[S, Any, "torch.Tensor", RankContext, Device], dict[str, Any]]
"""Runs after the measured window, with the same trainer and tokens, and returns a stage's findings."""


class Share(NamedTuple):
    """A rank's share of a step: the sequences of its replica of the model."""

    replica: int
    """Data-parallel index of the replica; each replica has its own tokens."""
    gpus: int = 1
    """Number of GPUs that hold one replica, which takes the batch of each."""


class BuiltTrainer(Trainer, Protocol):
    """A trainer with the facts that its rank reports."""

    @property
    def share(self) -> Share:
        """The sequences that this rank trains on."""
        ...

    def parameter_counts(self) -> tuple[int, int]:
        """(All, trainable) parameters of the whole model, however it is split."""
        ...

    @property
    def attention_kernel(self) -> str | None:
        """The kernel that ran in the first step; None before it."""
        ...


def run_training_rank(
    spec: S, context: RankContext, connect: Connect, build: Build[S], observe: Observe[S] | None = None
) -> RankReport:
    """Join the groups, build, train and report; every exception becomes the rank's outcome.

    The spec's batch must be a number by now. Groups come before the memory limit: a thread of theirs that cannot start
    would not raise but abort the process.
    """
    known: dict[str, Any] = {"rank": int(os.environ["RANK"])}
    device: Device | None = None
    try:
        context.enter(Phase.BUILD)
        hardware = spec.hardware
        device = own_device(hardware)
        join_process_group(device, hardware.n_nodes, context.seconds_left())
        connect()
        known["ready_at"] = time.monotonic()
        device.limit_memory(hardware.device_memory_bytes)
        with only_kernel(spec.method.attention):
            known |= _train(spec, context, device, build, observe, known)
        leave_process_group()
        return RankReport(status=Status.OK, **known)
    except Exception as error:
        return _failure(error, context, device, known)


def _train(
    spec: S, context: RankContext, device: Device, build: Build[S], observe: Observe[S] | None, known: dict[str, Any]
) -> dict[str, Any]:
    """Build and run the steps; early facts go to ``known`` at once, so that a failure reports them too."""
    if not isinstance(spec.workload.batch, int):
        raise ValueError(f"a rank needs a number of sequences, not batch {spec.workload.batch!r}")
    device.reset_peak_memory()
    trainer = build(spec, device)
    known["parameters"], known["trainable_parameters"] = _checked_counts(spec, trainer)
    batch, seed = spec.workload.batch * trainer.share.gpus, spec.workload.seed + trainer.share.replica
    tokens = synthetic_tokens(spec.model, batch, spec.workload.seq_len, device.torch_device, seed)
    device.synchronize()
    known["built_at"], known["compile_s"] = time.monotonic(), getattr(trainer, "compile_s", 0.0)
    loop = StepLoop(trainer, tokens, context, device)
    if context.probe_steps is not None:
        return loop.probe(context.probe_steps) | {"attention_kernel": trainer.attention_kernel}
    fields = loop.measure(spec.sampling)
    in_one_group = trainer.share.gpus in (1, spec.hardware.n_gpus)  # else replicas of several GPUs reduce among them
    fields["step_trace"] = loop.trace(fields["step_times_s"], spec.hardware.device_memory_bytes, in_one_group)
    fields["anchor"] = measure_anchor(device, spec.hardware.device_memory_bytes)
    if observe:
        fields["findings"] = observe(spec, trainer, tokens, context, device)
    fields["traced_at"] = time.monotonic()
    return fields | {"attention_kernel": trainer.attention_kernel}


def _checked_counts(spec: TrainingSpec, trainer: BuiltTrainer) -> tuple[int, int]:
    """(All, trainable) parameters of the model, checked against its architecture.

    Raises:
        RuntimeError: the numbers differ.
    """
    found = trainer.parameter_counts()
    expected = (arithmetic.count_all(spec), arithmetic.count_trainable(spec))
    if found != expected:
        raise RuntimeError(f"the model has (parameters, trainable) = {found}, its architecture has {expected}")
    return found


def _failure(error: Exception, context: RankContext, device: Device | None, known: dict[str, Any]) -> RankReport:
    """The report of a rank that ``error`` ended; the traceback goes to standard error and so to the log."""
    status, phase = outcome_of(error, device, context.current)
    if device is not None:
        device.lift_limit()
    traceback.print_exception(error)
    known |= {
        "status": status,
        "phase": phase,
        "reason": describe(error),
        "peak_memory_bytes": device.peak_memory_bytes() if device is not None else 0,
    }
    return RankReport(**known)
