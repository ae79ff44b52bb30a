"""Facts of a node."""

from typing import Literal

from pydantic import PositiveInt

from dissect.base.model import Model


class InspectMetrics(Model):
    """What a node of the platform really has."""

    kind: Literal["inspect"] = "inspect"
    gpu_names: list[str]
    gpu_memory_bytes: list[int]
    driver: str | None
    interconnect: str | None
    """As the driver reports the links between the first two GPUs; None without a pair of GPUs."""
    cpu_model: str
    cpu_cores: PositiveInt
    host_memory_bytes: PositiveInt
