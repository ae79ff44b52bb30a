"""Reports of invented results, for tests and benchmarks of the page."""

import csv
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.askable import Askable, AskedGpu
from dissect.cells.manifest import Manifest, PlatformFacts
from dissect.cells.predicted import prediction_manifest
from dissect.cells.reported import ReportItem, ReportManifest
from dissect.cells.terms import Terms
from dissect.config.catalog import PREDICTION
from dissect.config.price import Price
from dissect.present.claims.claims_table import COLUMNS
from dissect.present.report.write import write_report
from dissect.present.tables.frames import framed, to_csv
from dissect.present.tables.lay_out import lay_out
from dissect.present.tables.predicted_cells import build_prediction
from dissect.present.tables.tidy import read_records
from dissect.results.atomic import write_atomically
from dissect.results.store import Failure, Store
from table_cases import CASES

NASTY = "<script>alert('x')</script> & \"co\""
"""A label that must stay text."""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><path d="M0 20L40 0" stroke="black"/></svg>'
_PRICES = {"h200": 3.5, "a800": 1.25}
TERMS = {
    name: Terms(
        price=Price(per_gpu_hour=_PRICES[name], currency="EUR", source="a price list", date="2026-03")
        if name in _PRICES
        else None,
        stand_ins=["llama2-7b"] if name == "cpu" else [],
    )
    for name in make.PLATFORMS
}
"""Prices of some platforms; what stands for other models on this machine."""
_METHODS = [
    "+".join(filter(None, pair)) or "Naive"
    for pair in product(("", "F", "R", "F+R"), ("", "Z2", "Z2+O", "Z3", "Z3+O", "Q"))
]


def small_report(project: Path, names: Sequence[str] = tuple(CASES)) -> Path:
    """The page of the tables that are looked at one by one, with every outcome, mark and verdict."""
    manifests = [CASES[name](project) for name in names]
    for manifest in manifests:
        for platform in set(manifest.platforms) & {"a800"}:
            facts = manifest.platforms[platform].model_copy(update={"label": NASTY})
            manifest.platforms[platform] = facts
    _leave_logs(project, next(manifest for manifest in manifests if manifest.name == "table_III"))
    return _write(project, manifests, claims(project, manifests))


def large_report(project: Path, n_cells: int = 5_000) -> Path:
    """So many cells of six platforms in two tables; one in ten ran out of memory."""
    platforms = [name for name in make.PLATFORMS if name != "cpu"] + ["cpu"]
    per_platform = -(-n_cells // len(platforms))
    manifests = []
    for index, three in enumerate((platforms[:3], platforms[3:])):
        cells = [cell for platform in three for cell in _ladder(project, platform, per_platform)]
        layout = {"kind": "pivot", "rows": ["method", "batch"], "columns": ["platform"]}
        manifests.append(make.manifest(f"table_{'VI'[index]}", cells, layout, title=f"Table {index + 2}: many"))
    return _write(project, manifests, None)


def _asked(known: Mapping[str, PlatformFacts]) -> Askable:
    """GPUs of the platforms but this machine's, with their prices."""
    return Askable(
        gpus={
            name: AskedGpu(hardware=make.hardware(f"NVIDIA {name}", 1), facts=facts, price=TERMS[name].price)
            for name, facts in known.items()
            if name in TERMS and name != "cpu"
        }
    )


def _ladder(project: Path, platform: str, count: int) -> list[Any]:
    on = make.hardware(f"NVIDIA {platform}")
    cells = []
    for number in range(count):
        method, batch = _METHODS[number % len(_METHODS)], number // len(_METHODS) + 1
        spec = make.pretrain_spec(on, batch=batch, seq_len=350 + number % len(_METHODS))
        flags = [Flag.OTHER_PROCESSES] if number % 7 == 0 else []
        result = (
            make.ended_result(spec, Status.OOM, Phase.BACKWARD, "CUDA out of memory, 12.2 GiB asked, 3.1 GiB free")
            if number % 10 == 9
            else make.ok_result(spec, make.training_metrics(spec, 0.05 * batch), flags)
        )
        cells.append(make.published_cell(project, result, platform=platform, method=method))
    return cells


def claims(project: Path, manifests: Sequence[Manifest]) -> Manifest:
    """Verdicts of every kind, about a table on the page and about one that is not; the manifest of their table."""
    platforms = {name: facts for manifest in manifests for name, facts in manifest.platforms.items()}
    key = next(cell.key for cell in manifests[0].cells if cell.path)
    base = {"stage": "pretrain", "stated_for": "A800", "check": "Throughput (tokens/s): F above Naive"}
    rows: list[Mapping[str, Any]] = [
        {"id": "H1", "item": "Table III", "says": "F is faster.", "platform": "h200", "verdict": "holds",
         "numbers": "2 [1–3] tokens/s > 0.5 tokens/s", "keys": key},
        {"id": "H1", "item": "Table III", "says": "F is faster.", "platform": "a800", "verdict": "not measured",
         "reason": "no experiment plans such a cell"},
        {"id": "H1-Z2", "item": "Table III", "says": "F is faster.", "platform": "h200", "verdict": "holds",
         "check": "Throughput (tokens/s): F+Z2 above Z2", "numbers": "2 > 1", "keys": key},
        {"id": "H2", "item": "Table III", "says": "R < F & so on.", "platform": "h200", "case": "batch 1",
         "verdict": "does not hold", "numbers": "1 < 2"},
        {"id": "H2", "item": "Table III", "says": "R < F & so on.", "platform": "h200", "case": "batch 2",
         "verdict": "not measured", "reason": "nobody asked"},
        {"id": "H3", "item": "Figures 7 to 9", "says": "Servers differ.", "platform": "h200, a800", "stage": "serve",
         "verdict": "cannot tell", "numbers": "1 against 1", "remedy": "snakemake remeasure --config more=5"},
    ]  # fmt: skip
    path = project / "results/tables/claims.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**base, **row} for row in rows)
    return make.manifest("claims", [], {"kind": "claims"}, platforms=platforms)


def _leave_logs(project: Path, manifest: Manifest) -> None:
    """A log with what terminals understand and a page does not, and an attempt that failed."""
    entry = Store(project / "results/store").entry(next(cell.key for cell in manifest.cells if cell.key) or "")
    log = b"first\n" * 100 + b"\x1b[31mred\x1b[0m\n10 %\r100 %\n\x00<script>alert(1)</script>\n"
    write_atomically(entry.log_path, log)
    failed_at = "2026-03-01T12:00:00Z"
    entry.write_failure(
        Failure(attempt=2, phase=None, reason="no <GPU> found", log=str(entry.log_path), failed_at=failed_at)
    )


def _write(project: Path, manifests: Sequence[Manifest], verdicts: Manifest | None) -> Path:
    folder = project / "results/manifests"
    folder.mkdir(parents=True, exist_ok=True)
    (project / "results/figures").mkdir(exist_ok=True)
    (project / "results/tables").mkdir(exist_ok=True)
    items = []
    for manifest in manifests:
        (folder / f"{manifest.name}.json").write_text(manifest.to_json())
        columns, rows, _ = lay_out(manifest, read_records(manifest, project))
        (project / f"results/tables/{manifest.name}.csv").write_text(to_csv(framed(rows, columns)))
        if manifest.kind == "figure":
            (project / f"results/figures/{manifest.name}.svg").write_text(SVG)
        stage = manifest.cells[0].stage
        items.append(ReportItem.model_validate({"name": manifest.name, "kind": manifest.kind, "stage": stage}))
    if verdicts:
        (folder / "claims.json").write_text(verdicts.to_json())
    path = folder / "report.json"
    cells = [cell for manifest in manifests for cell in manifest.cells if cell.path]
    platforms = {name: facts for manifest in manifests for name, facts in manifest.platforms.items()}
    sheet = {"memory_bytes_per_s": 2e12, "link_bytes_per_s": 4e11}
    known = {name: facts.model_copy(update=sheet) for name, facts in platforms.items()}
    predicted = prediction_manifest(cells, known)
    (folder / f"{PREDICTION}.json").write_text(predicted.to_json())
    (project / f"results/tables/{PREDICTION}.csv").write_text(build_prediction(predicted, project).csv)
    (project / f"results/figures/{PREDICTION}.svg").write_text(SVG)
    wanted = ReportManifest(
        items=items,
        suite="smoke",
        claims=verdicts is not None,
        predictions=True,
        terms=TERMS,
        asked=_asked(known),
    )
    path.write_text(wanted.to_json())
    index = project / "results/report/index.html"
    write_report(path, index, project)
    return index
