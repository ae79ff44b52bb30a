"""Times of the phases of a step, by what limits them."""

from collections.abc import Mapping
from dataclasses import dataclass

from dissect.base.outcome import Phase
from dissect.predict.curves import Curves
from dissect.predict.rank_work import RankWork, StepWork

HOOK_LAUNCHES = 17
"""Launches that cost the host as much as Python beside kernels: for a tensor that is gathered, or a checkpoint.

Measured: with it, launches cost the most alike in the shipped cells of one machine, with ZeRO-3 and without. A layer
that ``torch.utils.checkpoint`` recomputes costs a CPU 0.92 ms more than its two passes, by hooks on saved tensors (16
layers of width 32, so that nothing is computed): 17 launches of 55 microseconds.
"""
BESIDE = 0.2
"""Seconds by which kernels take longer per second in which collectives take multiprocessors from them.

Measured: beside 7, 19 and 42 ms of NCCL's kernels those of the backward pass take 46.7, 49.2 and 53.5 ms, in the three
runs of ``profile/h200-x2/llama2-7b/deepspeed/Z2/s350-b1-n2``. With NVLink; over PCIe nobody measured it.
"""


@dataclass(frozen=True)
class PhaseLimits:
    """Times of a phase in seconds."""

    compute_s: float
    """Products and kernels that move bytes."""
    exposed_s: float
    """Communication beside which nothing else runs."""
    offload_s: float
    """Copies from and to the host, and the host's own arithmetic."""
    launches: float
    """Kernels that the host launches, and what costs it as much."""

    @property
    def busy_s(self) -> float:
        """Time without waiting for launches."""
        return self.compute_s + self.exposed_s + self.offload_s

    def lasts_s(self, launch_s: float) -> float:
        """Time of the phase: that of its work, or that of launching it at ``launch_s`` each."""
        return max(self.busy_s, self.launches * launch_s)


Times = Mapping[Phase, PhaseLimits]


def times_of(step: StepWork, curves: Curves) -> Times:
    """Times of the phases of a step."""
    return {phase: _times(work, curves) for phase, work in step.items()}


def step_s(times: Times, launch_s: float) -> float:
    """Seconds of a step in which each launch costs the host ``launch_s``."""
    return sum(phase.lasts_s(launch_s) for phase in times.values())


def busy_s(times: Times) -> float:
    """Seconds of a step in which a GPU, its links or its copies work."""
    return sum(phase.busy_s for phase in times.values())


def _times(work: RankWork, curves: Curves) -> PhaseLimits:
    alone, hidden = curves.compute_s(work), curves.messages_s(work, hidden=True)
    compute = alone + BESIDE * min(alone, hidden)
    left = max(0.0, hidden - compute)
    return PhaseLimits(
        compute_s=compute,
        exposed_s=curves.messages_s(work, hidden=False) + left,
        offload_s=curves.copies_s(work) + curves.host_s(work),
        launches=work.launches + HOOK_LAUNCHES * work.hooks.total(),
    )
