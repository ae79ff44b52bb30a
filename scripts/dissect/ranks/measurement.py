"""What measuring a cell yields, before it becomes a ``Result``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dissect.base.outcome import Flag, Phase, Status
from dissect.results.result import Anchor, Durations, Gpu, Metrics


@dataclass(frozen=True)
class Measurement:
    """How the cell ended, with its numbers if it is ``ok``, and what was seen of the machine meanwhile."""

    status: Status
    phase: Phase | None = None
    reason: str | None = None
    metrics: Metrics | None = None
    flags: Sequence[Flag] = ()
    durations: Durations = field(default_factory=Durations)
    samples: Sequence[Mapping[str, Any]] = ()
    """Lines of ``steps.jsonl``."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Other files of the run's folder in the store, by name."""
    gpus: list[Gpu] | str = "no GPU was looked at: nothing was launched"
    other_processes: str = "not looked at: nothing was launched"
    notes: Mapping[str, Any] = field(default_factory=dict)
    anchors: Sequence[Anchor] = ()
    machine_gpus: Sequence[str] = ()
    """UUIDs of all GPUs that the cell could have been given, on the node of its parent."""
