"""The number that a verdict on training speed looks at where wall time cannot tell: that of the device alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from dissect.config.layout import QuantityName
from dissect.present.tables.over_runs import values_of
from dissect.statistics.run_values import RunValue

LABEL = "on device time"
DEVICE_RATE: QuantityName = "device_tokens_per_s"
ON_DEVICE: Mapping[str, QuantityName] = {
    "tokens_per_s": DEVICE_RATE,
    "paper_tokens_per_s": DEVICE_RATE,
    "step_time_s": "device_time_s",
    "step_time_mean_s": "device_time_s",
}
"""Quantity of wall time -> the same of the device alone."""


def device_values(row: Mapping[str, Any], quantity: str) -> Sequence[RunValue]:
    """The runs of a row that have the quantity on device time; none where the device does only a part of a step."""
    name = ON_DEVICE.get(quantity)
    return values_of(row, name) if name and values_of(row, DEVICE_RATE) else ()
