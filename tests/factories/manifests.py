"""Published cells, and the manifests that tables and figures are made of."""

from pathlib import Path
from typing import Any

from dissect.cells.manifest import Manifest, ManifestCell, MethodFacts, ModelFacts, PlatformFacts
from dissect.cells.spec import OperatorSpec, ServeSpec, TrainingSpec
from dissect.results.cell_runs import published, run_id
from dissect.results.result import Result


def published_cell(
    project: Path, result: Result, *more: Result, platform: str, method: str = "Naive", model: str = "llama2-7b"
) -> ManifestCell:
    """Publish the runs of a cell below a project folder; the manifest's entry for it."""
    spec = result.spec
    ids = {"stage": spec.stage, "platform": platform, "framework": spec.framework, "n_gpus": spec.hardware.n_gpus}
    if isinstance(spec, TrainingSpec):
        work = spec.workload
        workload = f"seq{work.seq_len}-bs{work.batch}-gpus{spec.hardware.n_gpus}"
        ids |= {"model": model, "method": method, "workload": workload, "seq_len": work.seq_len, "batch": work.batch}
    elif isinstance(spec, ServeSpec):
        ids |= {"model": model, "method": method, "workload": f"r{spec.workload.requests}-burst"}
        ids |= {"objective_ttft_s": search.ttft_s if (search := spec.workload.arrival.search) else None}
    elif isinstance(spec, OperatorSpec):
        ids |= {"model": model if spec.model else "-", "method": spec.operator}
        ids |= {"workload": f"{spec.workload.dtype}-b{spec.workload.batch}-n{spec.hardware.n_gpus}"}
    else:
        ids |= {"model": "none", "method": "Naive", "workload": "node"}
    cell = ManifestCell.model_validate(ids | {"key": result.key, "path": None, "unsupported": None})
    path = f"results/cells/{cell.id}/{result.key}.json"
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    runs = [run.model_dump_json(indent=1).encode() for run in (result, *more)]
    (project / path).write_bytes(published((run_id(data), data) for data in runs))
    return cell.model_copy(update={"path": path})


def unsupported_cell(reason: str, **ids: Any) -> ManifestCell:
    """A cell that cannot exist; keywords replace its ids."""
    fields: dict[str, Any] = {
        "stage": "pretrain", "platform": "h200", "model": "llama2-7b", "framework": "deepspeed", "method": "Naive",
        "workload": "seq350-bs1", "n_gpus": 4, "seq_len": 350, "batch": 1,
    }  # fmt: skip
    return ManifestCell.model_validate(fields | ids | {"key": None, "path": None, "unsupported": reason})


def platform_facts(label: str, gpu_label: str, **changes: Any) -> PlatformFacts:
    """A platform with a declared peak; keywords replace fields."""
    fields: dict[str, Any] = {
        "label": label, "gpu_label": gpu_label, "declared": {},
        "peak_flops": {"bf16": 989.5e12}, "peak_source": "vendor's datasheet",
    }  # fmt: skip
    return PlatformFacts.model_validate(fields | changes)


PLATFORMS = {
    "h200": platform_facts("H200", "H200-141G", memory_gib=141),
    "h100-24g": platform_facts("H100 held to 24 GiB", "H100-80G held to 24 GiB", memory_is_held=True, memory_gib=24),
    "a800": platform_facts("A800", "A800-80G", peak_flops={"bf16": 312e12}),
    "rtx4090": platform_facts("RTX4090", "RTX4090-24G", peak_flops={"bf16": 165.2e12}),
    "rtx3090": platform_facts("RTX3090", "RTX3090-24G", peak_flops={"bf16": 71e12}),
    "rtx3090-no-nvlink": platform_facts("RTX3090 w/o NVLink", "RTX3090-24G", peak_flops={"bf16": 71e12}),
    "cpu": platform_facts("CPU", "process", peak_flops={}, peak_source=None),
}
NOTE_Q = "Q: the 4-bit base is frozen; what trains is what stays unquantised: embeddings, norms and head."


def manifest(name: str, cells: list[ManifestCell], layout: dict[str, Any], **changes: Any) -> Manifest:
    """A manifest of these cells with the facts of all their ids; keywords replace fields."""
    fields: dict[str, Any] = {
        "name": name, "kind": "figure" if name.startswith("fig") else "table",
        "title": f"{name.replace('_', ' ').capitalize()}: pre-training", "caption": "Made for a test.",
        "layout": layout,
        "platforms": {p: PLATFORMS[p.partition("@")[0]] for p in dict.fromkeys(cell.platform for cell in cells)},
        "models": {
            cell.model: ModelFacts(label=cell.model.replace("llama", "Llama")) for cell in cells if cell.model != "-"
        },
        "methods": {
            cell.method: MethodFacts(label=cell.method, note=NOTE_Q if "Q" in cell.method else None) for cell in cells
        },
        "cells": cells,
    }  # fmt: skip
    return Manifest.model_validate(fields | changes)
