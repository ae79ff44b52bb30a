"""config/gpus.yaml: published peaks of GPUs, from which the platform file of a machine is written."""

from pathlib import Path

from pydantic import PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.config.files import read_yaml, validate
from dissect.config.kinds import DType
from dissect.config.names import Label

GPUS_FILE = "config/gpus.yaml"


class NvLink(Model):
    """NVLink of one GPU, as its datasheet states it."""

    links: PositiveInt
    """Number of links of one GPU."""
    gb_per_s: PositiveFloat
    """Bandwidth of one GPU to the others in GB/s with all links, both directions together."""


class KnownGpu(Model):
    """Published facts of one GPU."""

    label: Label
    """Short name of the GPU in tables."""
    memory_gib: PositiveFloat
    """Memory in GiB, for predictions; a platform file has that of the machine at hand."""
    memory_bandwidth_gb_per_s: PositiveFloat
    """Peak memory bandwidth in GB/s."""
    peak_tflops: dict[DType, PositiveFloat]
    """Dense peak in TFLOP/s by dtype, without sparsity."""
    nvlink: NvLink | None = None
    """Its NVLink; a GPU without has none."""
    source: str
    """Source of all these."""


class KnownGpus(Model):
    """Known GPUs by name."""

    gpus: dict[str, KnownGpu]
    """Name that NVML reports -> facts."""


def read_known_gpus(project: Path) -> dict[str, KnownGpu]:
    """Known GPUs by the name that their driver reports.

    Raises:
        ConfigError: the file is missing or invalid.
    """
    return validate(KnownGpus, read_yaml(project / GPUS_FILE, GPUS_FILE), GPUS_FILE).gpus
