"""Profiling a DeepSpeed training step: the pre-training cell, then some steps under torch.profiler."""

import csv
import gzip
import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dissect.machine.device import Device
from dissect.ranks.messages import RankContext, RankReport
from dissect.ranks.steps import StepLoop, no_garbage_collection
from dissect.ranks.trace import read_trace
from dissect.stages.profile.dissection import check_complete, dissect, kernel_table
from dissect.stages.profile.ranges import AnnotatedTrainer, annotated
from dissect.stages.training.deepspeed.pretrain import build_trainer
from dissect.stages.training.deepspeed.spec import ProfileSpec
from dissect.stages.training.deepspeed.trainer import DeepSpeedTrainer, connect
from dissect.stages.training.deepspeed.trainer import import_libraries as import_libraries
from dissect.stages.training.deepspeed.trainer import prepare as prepare
from dissect.stages.training.rank import run_training_rank

if TYPE_CHECKING:
    import torch

KEEP_TRACE = "LLM_DISSECT_TRACE"
"""Environment variable that keeps the trace in the store unless empty; it changes no number, so no spec has it."""


def run_rank(spec: ProfileSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell, in a process forked after ``prepare``."""
    return run_training_rank(spec, context, connect, build_trainer, profile_steps)


def profile_steps(
    spec: ProfileSpec, trainer: DeepSpeedTrainer, tokens: "torch.Tensor", context: RankContext, device: Device
) -> dict[str, Any]:
    """Record ``profiled_steps`` steps; rank 0 analyses its trace.

    The first step under the profiler pays for its start and has no range, so it is no part of the numbers.

    Raises:
        IncompleteProfileError: the trace does not account for the steps.
    """
    from torch.profiler import ProfilerActivity, profile

    device.lift_limit()  # of memory: the profiler's own is not the cell's
    recorded = filter(None, ("CPU", device.profiler_activity))
    activities = [getattr(ProfilerActivity, name) for name in recorded]
    plain = StepLoop(trainer, tokens, context, device)
    loop = StepLoop(AnnotatedTrainer(trainer, device), tokens, context, device)
    with annotated(trainer.engine), no_garbage_collection(), profile(activities=activities) as profiler:
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
        context.keep("trace.json.gz", gzip.compress(path.read_bytes(), mtime=0))
    dissection, shares = dissect(read_trace(path), "kernels" if device.profiler_activity else "operators")
    context.keep("kernels.csv", _csv(kernel_table(shares)))
    check_complete(dissection)
    return dissection.model_dump_json()


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
