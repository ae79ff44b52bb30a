"""A cell: its readable id, and its spec or the reason why it is unsupported."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from dissect.cells.cell_id import CellId
from dissect.cells.spec import Spec, canonical_spec, spec_key

CELLS_DIR = "results/cells"


@dataclass(frozen=True)
class Cell:
    """One point of an experiment's axes."""

    stage: str
    platform: str
    model: str
    framework: str
    method: str
    workload: str
    n_gpus: int
    seq_len: int | None
    batch: int | Literal["max"] | None
    launcher: str = ""
    """Command that starts the Python which measures the cell; empty if unsupported."""
    unsupported: str | None = None
    canonical: str | None = None
    """Canonical JSON of the cell's spec; None if unsupported."""
    key: str | None = None
    reference: str | None = None
    """Path of a reference result, relative to the project, in place of a published one."""
    runs: int = field(default=1, compare=False)
    """Runs that the cell needs; how often it is measured is no part of what it is."""
    objective_ttft_s: float | None = None
    """Longest TTFT of the objective, in seconds, of a cell that searches the rate that holds it; None for others."""

    @cached_property
    def id(self) -> str:
        """Readable id of the cell, which globs match."""
        return str(CellId.of(vars(self)))

    @cached_property
    def path(self) -> str | None:
        """Path of the result, relative to the project; None if unsupported."""
        if self.reference:
            return self.reference
        return f"{CELLS_DIR}/{self.id}/{self.key}.json" if self.key else None


def published_id(path: str) -> str:
    """The id of the cell whose published result has this path, relative to the project."""
    return path.removeprefix(f"{CELLS_DIR}/").rpartition("/")[0]


def spec_and_key(spec: Spec) -> tuple[str, str]:
    """Canonical JSON of a spec, and its key."""
    canonical = canonical_spec(spec)
    return canonical, spec_key(canonical)
