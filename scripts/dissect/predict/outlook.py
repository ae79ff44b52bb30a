"""Whether a predicted peak fits: what the allocator can use of a GPU's memory."""

from bisect import bisect_left
from enum import StrEnum

from dissect.base.units import GIB
from dissect.cells.spec import Hardware, TrainingSpec
from dissect.predict.memory import predict_memory
from dissect.predict.prediction import MemoryPrediction

OUTSIDE_BYTES = int(2.3 * GIB)
"""Memory of a GPU that PyTorch's allocator does not hand out: the CUDA context and NCCL's buffers.

Measured: the least difference between the driver's used memory and the allocator's peak over the shipped cells, that of
``finetune/h200-x2/llama2-7b/deepspeed/PT/s350-b1-n2``.
"""
FRAGMENTED = (1.075, 1.10)
"""Ends of what the allocator needs for a peak of 1 once memory is scarce, because free memory is in pieces.

Measured: in ``pretrain/h200-x2/llama2-7b/megatron/Naive/s350-bmax-n2`` a peak of 125.4 GiB fits into the 138.1 GiB that
are left of the memory, and the next batch, predicted to need 3.1 GiB more, does not.
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
    least, most = FRAGMENTED
    room = usable_bytes(hardware)
    if prediction.low_bytes * least > room or prediction.host_bytes > hardware.host_memory_bytes:
        return Outlook.RUNS_OUT
    return Outlook.FITS if prediction.high_bytes * most <= room else Outlook.CLOSE


def fits(prediction: MemoryPrediction, hardware: Hardware) -> bool:
    """The call where one is needed: by the peak itself, and the middle of what is known of fragmentation."""
    on_gpu = prediction.peak_bytes * sum(FRAGMENTED) / 2 <= usable_bytes(hardware)
    return on_gpu and prediction.host_bytes <= hardware.host_memory_bytes


def largest_batch(spec: TrainingSpec) -> int | None:
    """Sequences per GPU that are expected to fit, 0 where not even one is; None without a prediction."""

    def passes(batch: int) -> bool:
        found = predict_memory(spec, batch)
        return found is not None and fits(found, spec.hardware)

    if predict_memory(spec, 1) is None:
        return None
    above = 1
    while above < MOST_SEQUENCES and passes(above):
        above *= 2
    return bisect_left(range(1, above), True, key=lambda batch: not passes(batch))


def usable_bytes(hardware: Hardware) -> int:
    """Bytes of one GPU that the allocator can hand out; where processes are held to less, these are all its own."""
    return hardware.device_memory_bytes - (OUTSIDE_BYTES if hardware.card_memory_bytes is None else 0)
