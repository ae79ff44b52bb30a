"""Profiling a training step of any framework: its pre-training cell, then some steps under torch.profiler."""

import csv
import gzip
import io
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from dissect.cells.frameworks import framework
from dissect.cells.spec import ProfileWorkload, TrainingSpec
from dissect.machine.device import Device
from dissect.ranks.messages import RankContext, RankReport
from dissect.ranks.runner import TrainingRunner
from dissect.ranks.steps import StepLoop, no_garbage_collection
from dissect.ranks.trace import read_trace
from dissect.stages.profile.dissection import check_complete, dissect, kernel_table
from dissect.stages.profile.ranges import AnnotatedTrainer, annotated
from dissect.stages.training.rank import Build, BuiltTrainer, Connect, run_training_rank

if TYPE_CHECKING:
    import torch

KEEP_TRACE = "LLM_DISSECT_TRACE"
"""Environment variable that keeps the trace in the store unless empty; it changes no number, so no spec has it."""


class ProfiledTrainer(BuiltTrainer, Protocol):
    """A trainer of transformers' Llama, whose steps can be taken apart."""

    @property
    def model(self) -> Any:
        """The model itself, without what a framework puts around it."""
        ...

    @property
    def gradient_work(self) -> Sequence[tuple[Any, str]]:
        """Functions, by owner and name, that reduce gradients outside of autograd."""
        ...


class PretrainRunner(TrainingRunner, Protocol):
    """What a framework's runner of pre-training offers beyond the runners of other stages."""

    connect: Connect
    build_trainer: Build[TrainingSpec]


def import_libraries(spec: TrainingSpec) -> None:
    """Import in the parent what pre-training needs."""
    _pretraining(spec).import_libraries(spec)


def prepare(spec: TrainingSpec) -> None:
    """Prepare in the parent what pre-training needs."""
    _pretraining(spec).prepare(spec)


def run_rank(spec: TrainingSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    pretraining = _pretraining(spec)
    return run_training_rank(spec, context, pretraining.connect, pretraining.build_trainer, profile_steps)


def _pretraining(spec: TrainingSpec) -> PretrainRunner:
    """The runner of pre-training with the framework of the spec."""
    return cast(PretrainRunner, import_module(framework(spec.framework).stages["pretrain"].runner))


def profile_steps(
    spec: TrainingSpec, trainer: ProfiledTrainer, tokens: "torch.Tensor", context: RankContext, device: Device
) -> dict[str, Any]:
    """Record ``profiled_steps`` steps; rank 0 analyses its trace.

    The first step under the profiler pays for its start and has no range, so it is no part of the numbers.

    Raises:
        IncompleteProfileError: the trace does not account for the steps.
        TypeError: the workload is not that of a profile.
    """
    from torch.profiler import ProfilerActivity, profile

    if not isinstance(spec.workload, ProfileWorkload):
        raise TypeError(f"a profile has a number of profiled steps, which a {type(spec.workload).__name__} has not")
    device.lift_limit()  # of memory: the profiler's own is not the cell's
    recorded = filter(None, ("CPU", device.profiler_activity))
    activities = [getattr(ProfilerActivity, name) for name in recorded]
    plain = StepLoop(trainer, tokens, context, device)
    loop = StepLoop(AnnotatedTrainer(trainer, device), tokens, context, device)
    with (
        annotated(trainer.model, trainer.gradient_work),
        no_garbage_collection(),
        profile(activities=activities) as profiler,
    ):
        plain.timed_step()
        times = [loop.timed_step() for _ in range(spec.workload.profiled_steps)]
    findings: dict[str, Any] = {"profiled_step_times_s": times}
    if int(os.environ["RANK"]) == 0:
        findings["dissection"] = _take_apart(profiler, context, device)
    return findings


def _take_apart(profiler: Any, context: RankContext, device: Device) -> str:
    """The numbers of the recorded trace as JSON; keeps the table of kernels, and the trace if requested."""
    path = context.workdir / "trace.json"
    profiler.export_chrome_trace(str(path))
    if os.environ.get(KEEP_TRACE):
        context.keep_file("trace.json.gz", gzip.compress(path.read_bytes(), mtime=0))
    dissection, shares = dissect(read_trace(path), "kernels" if device.profiler_activity else "operators")
    context.keep_file("kernels.csv", _csv(kernel_table(shares)))
    check_complete(dissection)
    return dissection.model_dump_json()


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
