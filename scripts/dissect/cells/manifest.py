"""Manifests: the cells and layout of a table or figure, written when the workflow is parsed, read by its rules."""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.cells.cell_id import CellId


class Fact(StrEnum):
    """A fact of a platform in Table I, in the order of its rows; ``Dense peak <dtype>`` rows follow."""

    GPU = "GPU"
    GPUS = "GPUs"
    GPU_MEMORY = "GPU memory"
    MEMORY_BANDWIDTH = "Memory bandwidth"
    INTERCONNECT = "Interconnect"
    CPU = "CPU"
    HOST_MEMORY = "Host memory"
    DTYPE = "Data type"
    CPU_CORES = "CPU cores"
    GPU_DRIVER = "GPU driver"


class PlatformFacts(Model):
    """Facts of a platform that a table shows or needs; none of them can change a measurement."""

    label: str
    gpu_label: str = ""
    """Short name of the GPU, for tables of cells."""
    memory_is_held: bool = False
    """Whether processes are held to less memory than the cards have, so that speeds are those of no card."""
    memory_gib: PositiveFloat | None = None
    """Memory that a process has on one GPU in GiB, for claims; None for others."""
    declared: dict[str, str] = {}
    """Declared facts for Table I: ``Fact`` -> value with unit."""
    peak_flops: dict[str, PositiveFloat] = {}
    """Dense peak of one GPU in FLOP/s by dtype, for tables of cells; empty where none is declared (``cpu``)."""
    memory_bytes_per_s: PositiveFloat | None = None
    """Peak memory bandwidth of one GPU in bytes/s, for rooflines; None where none is declared."""
    link_bytes_per_s: PositiveFloat | None = None
    """Bandwidth of one GPU to the others in bytes/s, both directions together, for predictions; None for others."""
    peak_source: str | None = None
    """Source of the peaks, for Table I."""


class ModelFacts(Model):
    """The label of a model."""

    label: str


class MethodFacts(Model):
    """The label of a method, and the note that tables print about it, if any."""

    label: str
    note: str | None


class ManifestCell(Model):
    """A cell of the table: its id, and the path of its result or the reason why it is unsupported."""

    stage: str
    platform: str
    model: str
    framework: str
    method: str
    workload: str
    n_gpus: PositiveInt
    seq_len: PositiveInt | None = None
    batch: PositiveInt | Literal["max"] | None = None
    objective_ttft_s: PositiveFloat | None = None
    """Longest TTFT of the objective, in seconds, of a cell that searches the rate that holds it; None for others."""
    key: str | None
    path: str | None
    """Path of the result, relative to the project's root; None if unsupported."""
    unsupported: str | None
    """Reason why the cell is unsupported; None if it is supported."""
    reference: str | None = None
    """Set of reference results that the result belongs to; None for results of this clone."""

    @property
    def id(self) -> str:
        """Readable id of the cell, which ``select`` and overrides match."""
        return str(CellId.of(vars(self)))


class Manifest(Model):
    """The cells and layout of one table or figure."""

    name: str
    """Stem of the output files, such as ``table_III`` or ``fig_4``."""
    kind: Literal["table", "figure"]
    title: str
    caption: str
    layout: dict[str, Any]
    """The experiment's layout section, unchanged."""
    platforms: dict[str, PlatformFacts]
    """Facts by platform; reference results are of ``<platform>@<set>``."""
    models: dict[str, ModelFacts]
    methods: dict[str, MethodFacts]
    cells: list[ManifestCell]

    def to_json(self) -> str:
        """The manifest as indented JSON; equal manifests have equal bytes."""
        return self.model_dump_json(indent=1) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        pydantic.ValidationError: the file is not a valid manifest.
    """
    return Manifest.model_validate_json(path.read_bytes())
