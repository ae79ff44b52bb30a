"""Times of operators on a GPU: those that were measured on it, and where there are none what its datasheet says."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from dissect.cells.spec import Hardware, OperatorSpec
from dissect.config.kinds import DType
from dissect.metrics.operators import CollectivePoint, GemmPoint, MemcpyPoint, OperatorMetrics
from dissect.predict.gpu_architecture import fp32_lanes, is_hopper
from dissect.predict.rank_work import Message, Moved, Product, RankWork
from dissect.workloads.operator_arithmetic import bus_factor, gemm_bytes, gemm_flops

TimeOrigin = Literal["operator measured on this GPU", "datasheet", "unknown"]
MEASURED: TimeOrigin = "operator measured on this GPU"
STRIDED = 0.025
"""Bytes that kernels move which broadcast, transpose, reduce or cast, per FLOP of a peak of 128 lanes for fp32.

They wait for instructions, not for memory: where a lower clock makes them 4 to 11 % slower in the backward pass of
``profile/h200-x2/llama2-7b/ddp/R/s350-b32-n2``, copies and sums take as long as in the forward pass. Measured: norms,
RoPE and softmax of ``deepspeed/R+Z2`` reach 1.7 TB/s in the forward pass, 0.39 of a copy's speed. Where no fp32 peak is
declared they count as copies.
"""
OF_PEAK, OF_BANDWIDTH, OF_LINK = 0.7, 0.88, 0.7
"""Shares of a datasheet's numbers that products, copies and collectives reach. Measured on H200: 0.73, 0.88, 0.74."""
LEAST_S = 2e-6
"""Time of the smallest kernel in seconds."""
BEFORE_HOPPER = 0.5
"""Share of the square over which FlashAttention-2 takes as long as other products would, where it is causal.

It skips the other half. On A100 it reaches 50 to 73 % of the peak, close to them (Dao, 2023, "FlashAttention-2"); on
Hopper half of what they do: measured on H200 for 4096 tokens, 300 TFLOP/s of what it computes.
"""
Name = TypeVar("Name", bound=tuple[object, ...])
ALIGNED = 8
"""Elements of 2 bytes in 16 bytes, the unit that the fast kernels load."""


@dataclass(frozen=True)
class Datasheet:
    """Peaks of a GPU; None or empty where none is declared."""

    peak_flops: dict[str, float]
    """FLOP/s by dtype."""
    memory_bytes_per_s: float | None
    link_bytes_per_s: float | None
    """To the other GPUs, both directions together."""


@dataclass(frozen=True)
class MeasuredOperator:
    """Numbers of an operator cell."""

    spec: OperatorSpec
    metrics: OperatorMetrics


class Curve:
    """Times over sizes, straight between two measured points where both axes are logarithmic."""

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        """``points`` are (size, seconds), at least one of them; sizes are bytes, rows of a matrix or FLOPs."""
        self._points = sorted(points)
        self._sizes = [size for size, _ in self._points]

    def at(self, size: float) -> float:
        """Seconds for a size: as the smallest point below it, in proportion above the largest."""
        index = bisect_left(self._sizes, size)
        if index == 0:
            return self._points[0][1]
        if index == len(self._sizes):
            return self._points[-1][1] * size / self._sizes[-1]
        (x0, y0), (x1, y1) = self._points[index - 1 : index + 1]
        slope = math.log(y1 / y0) / math.log(x1 / x0)
        return y0 * math.exp(slope * math.log(size / x0))


class Curves:
    """Times of the operators of a spec's hardware."""

    def __init__(
        self, measured: Sequence[MeasuredOperator], sheet: Datasheet, hardware: Hardware, dtype: DType
    ) -> None:
        """``measured`` may be of any GPU, those of others are left out; products count in ``dtype``."""
        self._dtype, self._link, self._bandwidth = dtype, sheet.link_bytes_per_s, sheet.memory_bytes_per_s
        self._peak, self._interconnect = sheet.peak_flops.get(dtype), hardware.interconnect
        self._strided = STRIDED * 128 / fp32_lanes(hardware) * sheet.peak_flops.get("fp32", math.inf)
        self._attended = 1.0 if is_hopper(hardware) else BEFORE_HOPPER
        same = [each for each in measured if each.spec.hardware.gpu_model == hardware.gpu_model]
        self._curves = _by_name(point for each in same for point in _sized(each))
        gemms = [each for each in same if each.spec.workload.dtype == dtype]
        layers = _by_name(((p.n, p.k), p.m, seconds) for each in gemms for p, seconds in _products(each, "layers"))
        squares = [(2.0 * p.m**3, seconds, p.m % ALIGNED) for each in gemms for p, seconds in _products(each, "square")]
        self._squares = Curve((flops, seconds) for flops, seconds, rest in squares if not rest)
        self._unaligned_flops = max((flops / seconds for flops, seconds, rest in squares if rest), default=math.inf)
        self._products = layers if squares else {}

    def origin(self, work: RankWork) -> TimeOrigin:
        """Where the times of this work come from: the least certain of all."""
        known = [
            (bool(self._products), self._peak) if work.products else (True, None),
            (("device_to_device",) in self._curves, self._bandwidth) if work.moved else (True, None),
            *((self._message_name(message) in self._curves, self._link) for message in work.messages),
            *(((copy.direction,) in self._curves, None) for copy in work.copies),
            (("host_to_host",) in self._curves or not work.host_bytes, None),
        ]
        if all(measured for measured, _ in known):
            return MEASURED
        return "datasheet" if all(measured or declared for measured, declared in known) else "unknown"

    def compute_s(self, work: RankWork) -> float:
        """Seconds of products and of kernels that move bytes."""
        products = sum(number * self.product_s(product) for product, number in work.products.items())
        return products + sum(number * self.moved_s(moved) for moved, number in work.moved.items())

    def messages_s(self, work: RankWork, *, hidden: bool) -> float:
        """Seconds of the collectives that may run beside other kernels, or of those that may not."""
        found = ((message, n) for message, n in work.messages.items() if message.hidden == hidden)
        return sum(number * self._message_s(message) for message, number in found)

    def copies_s(self, work: RankWork) -> float:
        """Seconds of copies from and to host memory; 0 where they were not measured."""
        found = ((self._curves.get((copy.direction,)), copy.size, n) for copy, n in work.copies.items())
        return sum(number * curve.at(size) for curve, size, number in found if curve)

    def host_s(self, work: RankWork) -> float:
        """Seconds in which the host's processors read and write their bytes; 0 where that was not measured."""
        curve, size = self._curves.get(("host_to_host",)), work.host_bytes.total()
        return curve.at(size / 2) if curve and size else 0.0

    def product_s(self, product: Product) -> float:
        """Seconds of one kernel that multiplies matrices."""
        share = self._attended if product.attention else 1
        flops = share * product.number * gemm_flops(product.m, product.n, product.k)
        if not self._products:
            moved = product.number * gemm_bytes(product.m, product.n, product.k, self._dtype) * (not product.attention)
            by_bytes = moved / (OF_BANDWIDTH * (self._bandwidth or math.inf))
            return LEAST_S + max(flops / (OF_PEAK * (self._peak or math.inf)), by_bytes)
        if product.number > 1:  # a batch of small products runs as a square of as many FLOPs, if its rows are aligned
            rate = self._unaligned_flops if product.n % ALIGNED or product.k % ALIGNED else math.inf
            return max(self._squares.at(flops), flops / rate)
        size = product.n * product.k
        n, k = min(self._products, key=lambda known: abs(math.log(known[0] * known[1] / size)))
        return max(LEAST_S, self._products[n, k].at(product.m) * size / (n * k))

    def moved_s(self, moved: Moved) -> float:
        """Seconds of one kernel that moves bytes."""
        least = moved.size / self._strided if moved.strided else 0.0
        if curve := self._curves.get(("device_to_device",)):
            return max(least, curve.at(moved.size / 2))  # a copy of a size reads and writes it
        return max(least, LEAST_S + moved.size / (OF_BANDWIDTH * (self._bandwidth or math.inf)))

    def _message_s(self, message: Message) -> float:
        if curve := self._curves.get(self._message_name(message)):
            return curve.at(message.size)
        rate = OF_LINK / 2 * (self._link or math.inf)
        return LEAST_S + message.size * bus_factor(message.collective, message.ranks) / rate

    def _message_name(self, message: Message) -> tuple[str, ...]:
        return message.collective, str(message.ranks), self._interconnect


def _by_name(points: Iterable[tuple[Name, float, float]]) -> dict[Name, Curve]:
    """The curves through (name, size, seconds)."""
    found: dict[Name, list[tuple[float, float]]] = {}
    for name, size, seconds in points:
        found.setdefault(name, []).append((size, seconds))
    return {name: Curve(each) for name, each in found.items()}


def _sized(measured: MeasuredOperator) -> Iterator[tuple[tuple[str, ...], float, float]]:
    """(Name of the curve, bytes, seconds) of each point of a copy or a collective."""
    spec, hardware = measured.spec, measured.spec.hardware
    for point in measured.metrics.points:
        if point.timing and isinstance(point, MemcpyPoint):
            yield (spec.operator,), point.size_bytes, point.timing.call_time_s.median
        if point.timing and isinstance(point, CollectivePoint):
            name = (spec.operator, str(hardware.n_gpus), hardware.interconnect)
            yield name, point.message_bytes, point.timing.call_time_s.median


def _products(measured: MeasuredOperator, operator: str) -> Iterator[tuple[GemmPoint, float]]:
    """Each measured matrix product of an operator, with its seconds."""
    for point in measured.metrics.points:
        if point.timing and isinstance(point, GemmPoint) and measured.spec.operator == operator:
            yield point, point.timing.call_time_s.median
