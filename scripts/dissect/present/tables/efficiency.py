"""Scaling efficiency from tidy rows of training cells."""

import math
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Point:
    """Efficiency in percent with the ends of its interval."""

    n_gpus: int
    efficiency: float
    low: float
    high: float


def efficiencies(rows: pd.DataFrame) -> list[Point]:
    """Throughput per GPU over that of the smallest measured number of GPUs, in percent.

    The half widths of the two intervals, as shares of their medians, add in quadrature; the first point is 100 % by
    definition and has no interval.
    """
    if rows.empty:
        return []
    rows = rows.sort_values("n_gpus")
    per_gpu = rows["tokens_per_s"] / rows["n_gpus"]
    down = 1 - rows["tokens_per_s_low"] / rows["tokens_per_s"]
    up = rows["tokens_per_s_high"] / rows["tokens_per_s"] - 1
    points = []
    for position, n_gpus in enumerate(rows["n_gpus"]):
        value = 100 * per_gpu.iloc[position] / per_gpu.iloc[0]
        below = value * math.hypot(down.iloc[position], up.iloc[0]) if position else 0.0
        above = value * math.hypot(up.iloc[position], down.iloc[0]) if position else 0.0
        points.append(Point(int(n_gpus), value, value - below, value + above))
    return points
