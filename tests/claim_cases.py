"""Claims, and the cells that decide them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.cells.manifest import Manifest, ManifestCell
from dissect.config.claims import Claim
from dissect.present.claims.claims_table import findings
from dissect.present.claims.decide import Finding
from dissect.statistics.numbers import Verdict

HOLDS, FAILS, UNCLEAR, NOT_MEASURED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNCLEAR, Verdict.NOT_MEASURED
FASTER = {"kind": "ordering", "quantity": "tokens_per_s", "more": {"method": "Z2"}, "less": {"method": "Naive"}}
SLOWER = {"kind": "ratio", "quantity": "tokens_per_s", "of": {"method": "Naive"}, "to": {"method": "Z2"}}
DROP = {"kind": "change", "quantity": "step_time_s", "of": {"method": "Z2"}, "to": {"method": "Naive"}}
OOM = {"kind": "outcome", "outcome": "oom", "memory_gib": 141}


def claim(check: dict[str, Any], **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "item": "Table III", "says": "Z2 is faster.", "stated_for": "A800", "certainty": "S", "source": "S1",
        "stage": "pretrain", "where": {"model": "llama2-7b", "batch": 1}, "check": check,
    }  # fmt: skip
    return Claim.model_validate(fields | changes)


def manifest(cells: list[ManifestCell], *claims: Claim, stand_ins: Sequence[str] = ()) -> Manifest:
    made = make.manifest("claims", cells, {})
    layout = {
        "kind": "claims",
        "claims": {f"H{number:02}": each.model_dump() for number, each in enumerate(claims)},
        "suite": "smoke",
        "stand_ins": {platform: list(stand_ins) for platform in made.platforms},
    }
    return made.model_copy(update={"layout": layout})


def cell(project: Path, method: str, step_time_s: float = 0.2, **changes: Any) -> ManifestCell:
    """A cell in five runs on each start, in rounds, whose step times lie within 1 % of this one times the start's.

    ``device`` has the device time of some of the runs of each start.
    """
    platform, model = changes.pop("platform", "h200"), changes.pop("model", "llama2-7b")
    flags, on = changes.pop("flags", None) or [], make.hardware(n_gpus=changes.pop("n_gpus", 4))
    gpus, spread = [make.gpu(uuid) for uuid in changes.pop("gpus", ())], changes.pop("spread", make.SPREAD)
    names, device = changes.pop("start", "a"), changes.pop("device", ())
    factors = changes.pop("factors", (1.0,) * len(names))
    zero = 2 if method == "Z2" else 0
    spec = make.pretrain_spec(on, zero_stage=zero, quantization="nf4" if method == "Q" else "none", **changes)
    found = []
    for name, factor in zip(names, factors, strict=True):
        found += make.in_rounds(make.training_runs(spec, step_time_s * factor, spread, device), name)
    runs = []
    for run in found:
        provenance = run.provenance and run.provenance.model_copy(update={"gpus": gpus})
        runs.append(run.model_copy(update={"flags": flags, "provenance": provenance}))
    return make.published_cell(project, *runs, platform=platform, method=method, model=model)


def ended(project: Path, method: str, status: Status, phase: Phase | None = None, batch: int = 1) -> ManifestCell:
    spec = make.pretrain_spec(zero_stage=2 if method == "Z2" else 0, batch=batch)
    result = make.ended_result(spec, status, phase, "for a reason")
    return make.published_cell(project, result, platform="h200", method=method)


def only(project: Path, made: Manifest) -> Finding:
    (finding,) = findings(made, project)
    return finding
