"""Outcomes of a cell: its status, the phase in which it ended, and flags on its numbers."""

from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """Outcome of a measurement. Every status but ``failed`` is a result: it is cached and shown in tables."""

    OK = "ok"
    OOM = "oom"
    SKIPPED_OOM = "skipped_oom"
    INVALID = "invalid"
    TIMEOUT = "timeout"
    FAILED = "failed"


StoppedBy = Literal["interval", "max_steps", "window", "budget"]
"""What ended a measured window: a narrow interval, or the limit of steps, of its length or of the cell's time."""


class InvalidMeasurement(Exception):
    """A measurement that differs from its spec or fails its own checks: the cell ends as ``invalid``."""


class Phase(StrEnum):
    """The phase in which a cell ended."""

    BUILD = "build"
    LOAD = "load"
    KV_CACHE = "kv_cache"
    GRAPH_CAPTURE = "graph_capture"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    SERVE = "serve"
    HOST = "host"


class Flag(StrEnum):
    """A reason to doubt the number of an ``ok`` cell; tables print it as a footnote."""

    UNSTABLE = "unstable"
    WARMUP_NOT_SETTLED = "warmup_not_settled"
    INTERVAL_NOT_REACHED = "interval_not_reached"
    LAUNCH_BOUND = "launch_bound"
    THROTTLED = "throttled"
    POWER_CAPPED = "power_capped"
    OTHER_PROCESSES = "other_processes"
    NEIGHBOURS = "neighbours"
    PREEMPTED = "preempted"
    SUSPENDED = "suspended"
    HARDWARE_MISMATCH = "hardware_mismatch"
    CUDA_REDIRECTED = "cuda_redirected"

    @property
    def meaning(self) -> str:
        """Explanation of the flag, as the footnote of a table prints it."""
        return _MEANINGS[self]


_MEANINGS = {
    Flag.UNSTABLE: "step times vary by more than 20 % (coefficient of variation)",
    Flag.WARMUP_NOT_SETTLED: "the step time had not settled when the warm-up ended",
    Flag.INTERVAL_NOT_REACHED: (
        "the steps or calls of a run vary: its window ended before their interval was as narrow as asked"
    ),
    Flag.LAUNCH_BOUND: "the GPUs worked for less than 80 % of a step: the host sets the pace",
    Flag.THROTTLED: "a GPU throttled during the measured window",
    Flag.POWER_CAPPED: "its power limit held a GPU below 95 % of its clock during the measured window",
    Flag.OTHER_PROCESSES: "other processes used the device during the measured window, or had memory of it before",
    Flag.NEIGHBOURS: "other cells, or other jobs of the batch system, ran on the same host meanwhile",
    Flag.PREEMPTED: "the engine stopped requests for lack of KV cache and computed them again",
    Flag.SUSPENDED: "the batch system suspended the job in the measured window: the times include the interruption",
    Flag.HARDWARE_MISMATCH: "the hardware found differs from what the platform declares",
    Flag.CUDA_REDIRECTED: "Megatron-LM, written for GPUs, ran on a CPU with its calls of torch.cuda redirected",
}
