"""The closed lists of what can become of a cell."""

from enum import StrEnum


class Status(StrEnum):
    """How a measurement ended. All but ``failed`` are results: cached, and shown in tables as what they are."""

    OK = "ok"
    OOM = "oom"
    SKIPPED_OOM = "skipped_oom"
    INVALID = "invalid"
    TIMEOUT = "timeout"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the outcome is kept in the store and never measured again unasked."""
        return self is not Status.FAILED


class InvalidMeasurement(Exception):
    """What ran is not what the spec says, or what was measured does not stand its own checks: ends as ``invalid``."""


class Phase(StrEnum):
    """Where in the life of a cell it ended."""

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
    """A reason to doubt a number that is otherwise ``ok``; tables print it as a footnote."""

    UNSTABLE = "unstable"
    WARMUP_NOT_SETTLED = "warmup_not_settled"
    INTERVAL_NOT_REACHED = "interval_not_reached"
    THROTTLED = "throttled"
    OTHER_PROCESSES = "other_processes"
    HARDWARE_MISMATCH = "hardware_mismatch"
    CUDA_REDIRECTED = "cuda_redirected"

    @property
    def meaning(self) -> str:
        """One clause for the footnote of a table."""
        return _MEANINGS[self]


_MEANINGS = {
    Flag.UNSTABLE: "step times vary by more than 20 % (coefficient of variation)",
    Flag.WARMUP_NOT_SETTLED: "the step time had not settled when the warm-up ended",
    Flag.INTERVAL_NOT_REACHED: "the interval is wider than asked: steps or budget ran out first",
    Flag.THROTTLED: "a GPU throttled during the measured window",
    Flag.OTHER_PROCESSES: "other processes used the device during the measured window",
    Flag.HARDWARE_MISMATCH: "the hardware found differs from what the platform declares",
    Flag.CUDA_REDIRECTED: "Megatron-LM, written for GPUs, ran on a CPU with its calls of torch.cuda redirected",
}
