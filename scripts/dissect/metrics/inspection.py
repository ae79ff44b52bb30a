"""Facts detected on a node."""

from typing import Literal

from pydantic import PositiveInt

from dissect.base.model import Model


class InspectMetrics(Model):
    """Hardware that was detected on a node of the platform."""

    kind: Literal["inspect"] = "inspect"
    gpu_names: list[str]
    gpu_memory_bytes: list[int]
    driver: str | None
    interconnect: str | None
    """Link between the first two GPUs as the driver reports it; None without a pair of GPUs."""
    cpu_model: str
    cpu_cores: PositiveInt
    host_memory_bytes: PositiveInt
