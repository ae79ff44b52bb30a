"""Views of operator cells: one row per size, each with its own outcome."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dissect.base.outcome import Flag
from dissect.cells.manifest import PlatformFacts
from dissect.cells.spec import OperatorSpec
from dissect.config.layout import ViewName
from dissect.metrics.operators import AttentionPoint, CollectivePoint, GemmPoint, OperatorPoint, Timing
from dissect.present.tables.columns import Combination, Quantity, Record, Scalar
from dissect.present.tables.view import Points, View
from dissect.results.result import Result
from dissect.workloads.operator_arithmetic import attention_flops, bus_factor, gemm_bytes, gemm_flops

P = TypeVar("P", bound=OperatorPoint)
GB = 1e9
_NO_PEAK = "no dense peak is declared for this platform and dtype"


@dataclass(frozen=True)
class MeasuredPoint(Generic[P]):
    """One measured size, the input of the formulas."""

    spec: OperatorSpec
    point: P
    timing: Timing
    platform: PlatformFacts

    def per_second(self, amount: float) -> float:
        """Rate of an amount per call, from the median time."""
        return amount / self.timing.call_time_s.median

    def peak_share(self, flops: int) -> float | None:
        """Share of the dense peak of one GPU at the dtype; None if the platform declares none."""
        peak = self.platform.peak_flops.get(self.spec.workload.dtype)
        return self.per_second(flops) / peak if peak else None


def _points(axes_of: Callable[[Any], Mapping[str, Scalar]]) -> Points:
    """Rows of a cell; a size without a number shows its own outcome in place of the cell's."""

    def points(record: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], MeasuredPoint[Any] | None]]:
        if not isinstance(run.spec, OperatorSpec):
            return
        for point in getattr(run.metrics, "points", []):
            outcome = {"status": point.status.value, "phase": point.phase, "reason": point.reason}
            outcome["flags"] = ";".join(_flags(run.flags, point.timing))
            measured = point.timing and MeasuredPoint(run.spec, point, point.timing, record.platform)
            yield {**axes_of(point), **outcome}, measured

    return points


def _flags(of_cell: list[Flag], timing: Timing | None) -> list[Flag]:
    """Flags of a number: its own, and those of the machine."""
    own = timing.flags if timing else []
    return [flag for flag in of_cell if flag in own or (timing and flag not in _OF_A_NUMBER)]


_OF_A_NUMBER = (Flag.UNSTABLE, Flag.WARMUP_NOT_SETTLED, Flag.INTERVAL_NOT_REACHED)


def _gemm_flops(m: MeasuredPoint[GemmPoint]) -> int:
    return gemm_flops(m.point.m, m.point.n, m.point.k)


def _gemm_bytes(m: MeasuredPoint[GemmPoint]) -> int:
    return gemm_bytes(m.point.m, m.point.n, m.point.k, m.spec.workload.dtype)


def _attention_flops(m: MeasuredPoint[AttentionPoint]) -> int:
    arch = m.spec.model
    if arch is None:
        raise ValueError("an attention cell has a model")
    heads = arch.num_attention_heads
    return attention_flops(m.spec.workload.batch, heads, arch.head_size, m.point.sequence, m.point.direction)


def _bus_bytes(m: MeasuredPoint[CollectivePoint]) -> float:
    return m.point.message_bytes * bus_factor(m.spec.operator, m.spec.hardware.n_gpus)


def _throughput(flops: Callable[[Any], int], meaning: str) -> tuple[Quantity, Quantity]:
    return (
        Quantity(
            "tflops", "Throughput", "TFLOP/s", meaning,
            lambda m: m.per_second(flops(m)) / 1e12,
        ),
        Quantity(
            "peak_share", "Share of peak", "%", "throughput over the dense peak of one GPU at the dtype",
            lambda m: m.peak_share(flops(m)), scale=1e2, decimals=1, absent=_NO_PEAK,
        ),
    )  # fmt: skip


_TIME = (
    Quantity(
        "call_time_s", "Time", "µs", "of one call: median of samples of many calls, on the slowest rank",
        lambda m: m.timing.call_time_s.median, scale=1e6,
    ),
    Quantity(
        "call_time_cv", "Variation of times", "%", "coefficient of variation of the samples",
        lambda m: m.timing.call_time_cv, Combination.MEAN, scale=1e2, decimals=1,
    ),
)  # fmt: skip

GEMM = View(
    points=_points(lambda point: {"product": point.product, "rows": point.m}),
    axes={
        "product": "layers whose weights have this shape, or square",
        "rows": "rows of the activations: tokens, or the size of the square",
    },
    quantities=(
        *_throughput(_gemm_flops, "2·m·n·k FLOPs over the median time"),
        *_TIME,
        Quantity(
            "arithmetic_intensity", "Arithmetic intensity", "FLOP/byte",
            "FLOPs over the least traffic: both operands read and the result written once",
            lambda m: _gemm_flops(m) / _gemm_bytes(m), Combination.COMMON,
        ),
        Quantity("flops", "FLOPs", "GFLOP", "2·m·n·k", _gemm_flops, Combination.COMMON, scale=1e-9),
        Quantity("traffic_bytes", "Least traffic", "MB", "m·k + k·n + m·n numbers", _gemm_bytes, Combination.COMMON,
                 scale=1e-6),
        Quantity("m", "m", "", "rows of the activations", lambda m: m.point.m, Combination.COMMON, decimals=0),
        Quantity("n", "n", "", "columns of the result", lambda m: m.point.n, Combination.COMMON, decimals=0),
        Quantity("k", "k", "", "length of the products' sums", lambda m: m.point.k, Combination.COMMON, decimals=0),
    ),
)  # fmt: skip
"""View for tables of matrix products."""


def _rate(name: str, header: str, meaning: str, size: Callable[[Any], float]) -> Quantity:
    return Quantity(
        name, header, "GB/s", meaning,  # type: ignore[arg-type]
        lambda m: m.per_second(size(m)) / GB,
    )  # fmt: skip


MEMCPY = View(
    points=_points(lambda point: {"size_bytes": point.size_bytes}),
    axes={"size_bytes": "bytes that are copied"},
    quantities=(
        _rate("gb_per_s", "Bandwidth", "bytes copied, counted once, over the median time; 1 GB is 10⁹ bytes",
              lambda m: m.point.size_bytes),
        *_TIME,
    ),
)  # fmt: skip
"""View for tables of copies."""

COLLECTIVES = View(
    points=_points(lambda point: {"size_bytes": point.size_bytes}),
    axes={"size_bytes": "bytes of the whole array, as asked"},
    quantities=(
        _rate("algorithm_gb_per_s", "Algorithm bandwidth", "bytes of the whole array over the median time",
              lambda m: m.point.message_bytes),
        _rate("bus_gb_per_s", "Bus bandwidth", "algorithm bandwidth × 2(n−1)/n for all_reduce, × (n−1)/n for others",
              _bus_bytes),
        *_TIME,
        Quantity("message_bytes", "Message", "bytes", "as measured: a whole number of elements per rank",
                 lambda m: m.point.message_bytes, Combination.COMMON, decimals=0),
    ),
)  # fmt: skip
"""View for tables of collectives."""

ATTENTION = View(
    points=_points(lambda point: {"sequence": point.sequence, "direction": point.direction}),
    axes={"sequence": "tokens per sequence", "direction": "forward or backward"},
    quantities=(
        *_throughput(_attention_flops, "causal FLOPs over the time: 2·s²·d per head forward, 2.5 times that backward"),
        *_TIME,
        Quantity("flops", "FLOPs", "GFLOP", "the same for every kernel", _attention_flops, Combination.COMMON,
                 scale=1e-9),
    ),
)  # fmt: skip
"""View for tables of attention kernels."""

OPERATOR_VIEWS: dict[ViewName, View] = {
    "gemm": GEMM,
    "memcpy": MEMCPY,
    "collectives": COLLECTIVES,
    "attention_kernels": ATTENTION,
}
