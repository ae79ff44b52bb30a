"""Two rates that tell machines apart, whatever the cell: work that its host launches, and a matrix product."""

import sys
import time
import traceback
from collections.abc import Callable
from statistics import median

from dissect.machine.device import Device
from dissect.results.result import Anchor
from dissect.workloads.operator_arithmetic import gemm_flops

ROWS, ROWS_ON_CPU = 4096, 512
"""Of the square matrices; a product takes about a millisecond."""
LAUNCHES, PRODUCTS = 500, 4
"""In one batch, so that waiting for the device does not count."""
BATCHES = 7
FREE_BYTES = 512 * 2**20
"""Memory of the device that must be free: a measured cell must not run out of memory by its anchor."""


def measure_anchor(device: Device, memory_bytes: int) -> Anchor | None:
    """Measure both rates in some 50 ms; None where the device has too little memory left, or anything goes wrong."""
    try:
        return _measure(device) if device.driver_memory_bytes() + FREE_BYTES <= memory_bytes else None
    except Exception:  # the cell itself is measured
        print("there is no anchor: its rates cannot be measured", file=sys.stderr)
        traceback.print_exc()
        return None


def _measure(device: Device) -> Anchor:
    import torch

    on_cpu = device.torch_device.type == "cpu"
    size = ROWS_ON_CPU if on_cpu else ROWS
    matrix = torch.ones(size, size, dtype=torch.float32 if on_cpu else torch.bfloat16, device=device.torch_device)
    product, number = torch.empty_like(matrix), torch.zeros(1, device=device.torch_device)
    with torch.no_grad():
        launch_s = _seconds(device, lambda: number.add_(1), LAUNCHES)
        matmul_s = _seconds(device, lambda: torch.mm(matrix, matrix, out=product), PRODUCTS)
    return Anchor(launches_per_s=1 / launch_s, matmul_tflops=gemm_flops(size, size, size) / matmul_s / 1e12)


def _seconds(device: Device, work: Callable[[], object], count: int) -> float:
    """Seconds of one call of ``work``, from the median batch of ``count``; a first batch warms up."""
    batches = []
    for _ in range(BATCHES + 1):
        device.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            work()
        device.synchronize()
        batches.append((time.perf_counter() - start) / count)
    return median(batches[1:])
