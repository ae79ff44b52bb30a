"""Whether a predicted peak fits: what the allocator can use of a GPU's memory."""

from bisect import bisect_left
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from math import inf
from operator import attrgetter
from typing import NamedTuple

from dissect.base.units import GIB
from dissect.cells.spec import Hardware, TrainingSpec
from dissect.predict.memory import MemoryPrediction, predict_memory
from dissect.predict.predicted_value import PredictedValue

OUTSIDE_BYTES = int(2.3 * GIB)
"""Memory of a GPU that PyTorch's allocator does not hand out: the CUDA context and NCCL's buffers.

Measured: the least difference between the driver's used memory and the allocator's peak over the shipped cells, that of
``finetune/h200-x2/llama2-7b/deepspeed/PT/s350-b1-n2``.
"""
OF_ACTIVATIONS, OF_PEAK_MEMORY = PredictedValue(0.12, 0.088, 0.186), PredictedValue(0.045, 0.026, 0.066)
"""Memory that the allocator needs beside a peak, because free memory is in pieces.

It is a share of the activations, or one of the peak, whichever is more. Measured: the shipped searches for the largest
batch, of DDP, Megatron-LM and DeepSpeed on H200 and on H100, each of which has a batch that fits and one that does not;
and ZeRO-2 on H100, which runs out with 1.9 GiB left, in the optimizer's step. No one share explains them all: on H200
DDP fits with 0.127 of its activations left, and Megatron-LM runs out with 0.135. The ends are what was too little for
DDP and enough for Megatron-LM; the middle is right for all of them but Megatron-LM on H200.
"""


MOST_SEQUENCES = 2**16
"""Batches from here on are not looked at."""


class Outlook(StrEnum):
    """What a prediction says of a cell that was not run."""

    FITS = "expected to fit"
    CLOSE = "may run out of memory"
    RUNS_OUT = "expected to run out of memory"


def outlook(prediction: MemoryPrediction, hardware: Hardware) -> Outlook:
    """Whether the peak fits, with its interval and that of fragmentation."""
    needed, room = needed_bytes(prediction), usable_bytes(hardware)
    if needed.low > room or prediction.host_bytes > hardware.host_memory_bytes:
        return Outlook.RUNS_OUT
    return Outlook.FITS if needed.high <= room else Outlook.CLOSE


def needed_bytes(prediction: MemoryPrediction) -> PredictedValue[float]:
    """Bytes that the allocator needs for a peak, with its interval."""
    activations = sum(part.size for part in prediction.parts if part.name == "activations")
    peaks = (prediction.peak_bytes, prediction.low_bytes, prediction.high_bytes)
    ends = zip(peaks, OF_ACTIVATIONS, OF_PEAK_MEMORY, strict=True)
    return PredictedValue(*(peak + max(of * activations, share * peak) for peak, of, share in ends))


def fits(prediction: MemoryPrediction, hardware: Hardware) -> bool:
    """The call where one is needed: by the peak itself, and the middle of what is known of fragmentation."""
    needed = needed_bytes(prediction).value
    return needed <= usable_bytes(hardware) and prediction.host_bytes <= hardware.host_memory_bytes


class LargestBatch(NamedTuple):
    """Sequences per GPU that are expected to fit, 0 where not even one is, with the interval."""

    low: int
    expected: int
    high: int


def largest_batch(spec: TrainingSpec) -> LargestBatch | None:
    """The largest batch that is expected to fit; None without a prediction."""

    @cache
    def needed(batch: int) -> PredictedValue[float]:
        found = predict_memory(spec, batch)
        fits_host = found is not None and found.host_bytes <= spec.hardware.host_memory_bytes
        return needed_bytes(found) if found and fits_host else PredictedValue(inf, inf, inf)

    if predict_memory(spec, 1) is None:
        return None
    room = usable_bytes(spec.hardware)

    def largest(of: Callable[[PredictedValue[float]], float]) -> int:
        above = 1
        while above < MOST_SEQUENCES and of(needed(above)) <= room:
            above *= 2
        return bisect_left(range(1, above), True, key=lambda batch: of(needed(batch)) > room)

    return LargestBatch(*(largest(attrgetter(of)) for of in ("high", "value", "low")))


def usable_bytes(hardware: Hardware) -> int:
    """Bytes of one GPU that the allocator can hand out; a budget too holds context and NCCL's buffers."""
    return hardware.device_memory_bytes - OUTSIDE_BYTES
