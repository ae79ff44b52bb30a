"""Energy of GPUs that draw their power limit while they work, and a share of it while they wait."""

import math

from dissect.predict.predicted_value import PredictedValue

IDLE = 0.2
"""Share of its power limit that a GPU draws while it waits for its host.

Measured: the median of the shipped cells on H200, 0.21, and on H100, 0.20.
"""
OFF_POWER = 0.12
"""Share by which the power of a GPU may be off, for 95 %."""


def energy_of(seconds: PredictedValue[float], work_s: PredictedValue[float], limit_w: float) -> PredictedValue[float]:
    """Joules of GPUs with limits of ``limit_w`` watts together, which work for ``work_s`` of so many seconds."""
    middle, low, high = (
        limit_w * (IDLE * each + (1 - IDLE) * work) for each, work in zip(seconds, work_s, strict=True)
    )
    off = OFF_POWER * middle
    below, above = math.hypot(off, middle - low), math.hypot(off, high - middle)
    return PredictedValue(middle, max(0.0, middle - below), middle + above)
