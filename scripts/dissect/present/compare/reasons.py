"""Differences between two runs beside their numbers: possible reasons, none of them proven."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dissect.metrics.training import TrainingMetrics
from dissect.present.compare.pairs import Pair
from dissect.results.cell_runs import CellRuns
from dissect.results.result import Gpu, Provenance

TOLERANCE = 0.02
"""Share by which measured fields, such as clocks, must differ to count as different."""
ABSENT = "–"
PROVENANCE = ("host", "kernel", "cpu_model", "cpu_cores", "python", "git_commit", "git_dirty")
MEASURED_GPU = ("sm_clock_mhz", "memory_clock_mhz", "power_limit_w", "mean_power_w")
DECLARED = ("spec.hardware.", "spec.software.")
"""Prefixes of declared fields that are detected as well; a detected value that agrees is not listed."""
FOUND_BATCH = "metrics.batch"
"""Field with the batch that a search for the largest one found."""
NOT_COMPARED = ("SLURM_",)
"""Prefixes of environment variables that differ by job and affect no library."""

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A field with another value on the right than on the left, in some of the pairs."""

    field: str
    left: str
    right: str
    ids: Sequence[str]
    """Ids of the left side's cells."""


def differences(pairs: Sequence[Pair]) -> list[Difference]:
    """Differences, those of most cells first; each field once per pair of values, measured ones as ranges."""
    found: dict[tuple[str, str, str], list[str]] = {}
    ranges: dict[str, list[tuple[str, float, float]]] = {}
    for pair in pairs:
        left, right = (_fields(cell) for cell in (pair.left, pair.right))
        for name in dict.fromkeys((*left, *right)):
            mine, other = left.get(name), right.get(name)
            if isinstance(mine, float) and isinstance(other, float):
                if abs(mine - other) > TOLERANCE * max(abs(mine), abs(other)):
                    ranges.setdefault(name, []).append((pair.left_id, mine, other))
            elif _shown(mine) != _shown(other) and not (name == FOUND_BATCH and None in (mine, other)):
                found.setdefault((name, _shown(mine), _shown(other)), []).append(pair.left_id)
    listed = [Difference(*names, ids) for names, ids in found.items()]
    listed += [_range(name, cells) for name, cells in ranges.items()]
    return sorted(listed, key=lambda difference: (-len(difference.ids), difference.field))


def _fields(cell: CellRuns) -> Fields:
    """Fields of the newest run."""
    result = cell.newest
    fields = dict(_flat("spec", result.spec.model_dump(mode="json")))
    if isinstance(result.metrics, TrainingMetrics):
        fields[FOUND_BATCH] = result.metrics.batch
    fields["flags"] = ", ".join(cell.flags)
    detected = _provenance(result.provenance) if result.provenance else {}
    declared = {name.removeprefix(prefix): value for name, value in fields.items() for prefix in DECLARED}
    return fields | {name: value for name, value in detected.items() if declared.get(name) != value}


def _provenance(provenance: Provenance) -> dict[str, Any]:
    fields = {name: getattr(provenance, name) for name in PROVENANCE}
    fields["host_memory_bytes"] = float(provenance.host_memory_bytes)
    fields |= {f"versions.{name}": version for name, version in provenance.versions.items()}
    steering = {name: v for name, v in provenance.environment.items() if not name.startswith(NOT_COMPARED)}
    fields |= {f"environment.{name}": value for name, value in steering.items()}
    return fields | (_gpus(provenance.gpus) if isinstance(provenance.gpus, list) else {})


def _gpus(gpus: Sequence[Gpu]) -> dict[str, Any]:
    fields: dict[str, Any] = {"gpus.count": len(gpus)}
    for name in ("name", "driver"):
        fields[f"gpus.{name}"] = ", ".join(dict.fromkeys(str(getattr(gpu, name)) for gpu in gpus))
    fields["gpus.links"] = ", ".join(sorted({link for gpu in gpus for link in gpu.links.values()}))
    fields["gpus.throttle_reasons"] = ", ".join(sorted({reason for gpu in gpus for reason in gpu.throttle_reasons}))
    for name in MEASURED_GPU:
        values = [value for gpu in gpus if (value := getattr(gpu, name)) is not None]
        if values:
            fields[f"gpus.{name}"] = float(sum(values) / len(values))
    return fields


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a field by path; numbers of a spec are declared, so they compare exactly."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    else:
        yield prefix, _shown(value)


def _range(name: str, cells: Sequence[tuple[str, float, float]]) -> Difference:
    left, right = [mine for _, mine, _ in cells], [other for _, _, other in cells]
    return Difference(name, _between(left), _between(right), [cell_id for cell_id, _, _ in cells])


def _between(values: Sequence[float]) -> str:
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def _shown(value: Any) -> str:
    return ABSENT if value is None or value == "" else str(value)
