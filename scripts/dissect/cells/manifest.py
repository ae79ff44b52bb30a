"""Manifest: what one table or figure is made of. Written when the workflow is parsed, read by the merging rules."""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.cells.cell_id import CellId


class Fact(StrEnum):
    """What Table I says of a platform, in its order; ``Dense peak <dtype>`` comes on top."""

    GPU = "GPU"
    GPUS = "GPUs"
    GPU_MEMORY = "GPU memory"
    MEMORY_BANDWIDTH = "Memory bandwidth"
    INTERCONNECT = "Interconnect"
    CPU = "CPU"
    HOST_MEMORY = "Host memory"
    CPU_CORES = "CPU cores"
    GPU_DRIVER = "GPU driver"


class PlatformFacts(Model):
    """What a table says and needs of a platform: labels and declared peaks, none of which can change a measurement."""

    label: str
    gpu_label: str = ""
    """For tables of cells."""
    declared: dict[str, str] = {}
    """For Table I: ``Fact`` -> value with unit."""
    peak_flops: dict[str, PositiveFloat] = {}
    """For tables of cells: dense peak of one GPU in FLOP/s by dtype; empty where nobody states one (``cpu``)."""
    memory_bytes_per_s: PositiveFloat | None = None
    """For rooflines: peak memory bandwidth of one GPU; None where nobody states one."""
    peak_source: str | None = None
    """For Table I."""


class ModelFacts(Model):
    """Label of a model."""

    label: str


class MethodFacts(Model):
    """Label of a method and the sentence that tables print below it, if its letters need one."""

    label: str
    note: str | None


class ManifestCell(Model):
    """One cell of the table: its ids, where its result lies, or why there is none."""

    stage: str
    platform: str
    model: str
    framework: str
    method: str
    workload: str
    n_gpus: PositiveInt
    seq_len: PositiveInt | None = None
    batch: PositiveInt | Literal["max"] | None = None
    key: str | None
    path: str | None
    """Published result, relative to the project's root; None if ``unsupported``."""
    unsupported: str | None
    """Why this cell cannot exist; None if it can."""
    reference: str | None = None
    """The set of reference results that it comes from; None for this clone's own."""

    @property
    def id(self) -> str:
        """The readable name that ``select`` and overrides match."""
        return str(CellId.of(vars(self)))


class Manifest(Model):
    """Cells and layout of one table or figure."""

    name: str
    """``table_III``, ``fig_4``: the stem of the output files."""
    kind: Literal["table", "figure"]
    title: str
    caption: str
    layout: dict[str, Any]
    """The experiment's layout section, passed through."""
    platforms: dict[str, PlatformFacts]
    """By platform id; ``<platform>@<set>`` for reference results."""
    models: dict[str, ModelFacts]
    methods: dict[str, MethodFacts]
    cells: list[ManifestCell]

    def to_json(self) -> str:
        """Indented and sorted: the same manifest has the same bytes."""
        return self.model_dump_json(indent=1) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest that the workflow wrote."""
    return Manifest.model_validate_json(path.read_bytes())
