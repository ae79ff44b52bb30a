"""What a machine lacks before cells are launched on it, and the table of those that are finished."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dissect.answers import readying, showing
from dissect.cells.cell import Cell, published_id
from dissect.cells.cell_id import CellId
from dissect.cells.study import Study, load_study
from dissect.config.errors import ConfigError
from dissect.machine.gpus import GpuInfo
from dissect.present.finished_cells import FinishedCell, finished_text
from dissect.results.cell_runs import read_runs
from dissect.results.installed import Installed
from dissect.results.reference_sets import publish_references
from dissect.results.store import Failure
from gpu_smoke import CELLS

ROOT = Path(__file__).parents[2]
REFERENCES = ROOT / "config/references"
H100 = GpuInfo(
    index=0,
    name="NVIDIA H100 80GB HBM3",
    uuid="GPU-0",
    driver="580.159.04",
    memory_bytes=85520809984,
    power_limit_w=700,
    links={},
    pids=frozenset(),
    compute_capability=(9, 0),
    runtime=(13, 0),
)
NO_NVCC = "dissect.machine.cuda_compiler.find_nvcc"


def smoke(project: Path, platform: str) -> Study:
    """The cells of ``make gpu-smoke``."""
    select = [cell.format(platform) for cell in CELLS]
    given = {"platforms": [platform], "models": ["llama2-7b"], "suite": "full", "runs": 1, "select": select}
    return load_study(project, given)


def ready(project: Path, monkeypatch: pytest.MonkeyPatch, platform: str = "rtx4090", **changes: Any) -> list[str]:
    """Lines of the answer on a machine whose driver reports one GPU like this."""
    gpu = replace(H100, **changes)
    monkeypatch.setattr(readying, "find_here", lambda _: [gpu] * 8)
    return readying.answer(smoke(project, platform), project, {}).splitlines()


def test_the_first_numbers_are_one_cell_of_each_kind() -> None:
    selected = smoke(ROOT, "h100").selected
    assert smoke(ROOT, "h100").unmatched == []
    assert sorted({cell.id for cell in selected}) == [
        "finetune/h100/llama2-7b/deepspeed/L/s350-b1-n1",
        "operators/h100/-/gemm/square/bf16-b1-n1",
        "pretrain/h100/llama2-7b/ddp/Naive/s350-b1-n1",
        "pretrain/h100/llama2-7b/deepspeed/Q/s350-b1-n1",
        "serve/h100/llama2-7b/vllm/tuned/r100-i512-o128-burst-n1",
    ]
    assert not any("train-flash" in cell.launcher for cell in smoke(ROOT, "rtx4090").selected), (
        "none waits for flash-attn"
    )


def test_what_is_missing_is_named_before_the_launch(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NO_NVCC, lambda: None)
    card = {"name": "NVIDIA GeForce RTX 4090", "memory_bytes": 24 * 2**30}
    lines = ready(project, monkeypatch, **card)
    assert lines[0] == "rtx4090: 5 cells selected; 8 x NVIDIA GeForce RTX 4090, driver 580.159.04"
    text = "\n".join(lines)
    assert "missing: nvcc is missing, which 2 cells need: " in text
    assert "missing: environment train is not built: its first cell builds it (" in text
    assert "missing: environment vllm is not built" in text
    assert "hardware_mismatch" not in text
    will_not_fit = r"will not fit: pretrain/rtx4090/llama2-7b/ddp/Naive/s350-b1-n8: states alone take 63 GiB per GPU"
    assert re.search(will_not_fit, text)


def test_what_a_python_lacks_is_named_with_the_cells_that_need_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = Installed("3.12", {"torch": "2.11.0", "transformers": "5.17.0", "peft": "0.21.0"})
    monkeypatch.setattr("dissect.machine.readiness.installed_in", lambda _: python)
    monkeypatch.setattr(NO_NVCC, lambda: None)
    platform = (project / "config/platforms/h100.yaml").read_text()
    train = "environments: {train: {interpreter: python3, versions: {torch: 2.11.0, transformers: 5.17.0}}}\n"
    (project / "config/platforms/lab.yaml").write_text(platform + train)
    text = "\n".join(ready(project, monkeypatch, platform="lab"))
    trained = [
        f"{cell}/s350-b1-n1" for cell in ("pretrain/lab/llama2-7b/deepspeed/Q", "finetune/lab/llama2-7b/deepspeed/L")
    ]
    assert f"missing: python3 has no bitsandbytes, which 1 cells need: {trained[0]}" in text
    (line,) = [line for line in text.splitlines() if "has no deepspeed, which 2 cells need: " in line]
    assert all(cell in line for cell in trained)
    assert "has no peft" not in text
    assert "has no torch" not in text


def test_memory_in_use_and_another_gpu_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(ready(project, monkeypatch, used_bytes=20 * 2**30))
    assert "missing: GPU 0 has 20.0 GiB of its memory in use" in text
    assert "GPU 0 is 'NVIDIA H100 80GB HBM3', 'NVIDIA GeForce RTX 4090' is declared" in text


def test_a_driver_that_is_too_old_ends_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^platform rtx4090: driver 550\.1 runs CUDA up to 12\.4, the"):
        ready(project, monkeypatch, driver="550.1", runtime=(12, 4))


def test_a_machine_without_gpus_ends_it(project: Path) -> None:
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has GPUs")
    with pytest.raises(ConfigError, match=r"^platform rtx4090: needs GPUs, but there is no NVML: "):
        readying.answer(smoke(project, "rtx4090"), project, {})
    with pytest.raises(ConfigError, match="no selected cell is for GPUs"):
        readying.answer(load_study(project, {"tables": ["table_III"], "figures": []}), project, {})


def shipped(pattern: str) -> FinishedCell:
    """The first of the reference results whose path fits, as if it were this clone's."""
    path = next(iter(sorted(REFERENCES.glob(pattern))))
    cell_id = CellId.parse(published_id(str(path.relative_to(path.parents[6]))))
    return FinishedCell(Cell(**cell_id._asdict(), n_gpus=2, seq_len=None, batch=1, key=path.stem), read_runs(path))


def test_finished_cells_are_one_table() -> None:
    cells = [
        shipped("h100-x2/pretrain/h100-x2/llama2-7b/ddp/Naive/s350-b1-n2/*.json"),
        shipped("h100-x2/pretrain/h100-x2/llama2-7b/ddp/Naive/s350-b32-n2/*.json"),
        shipped("h200/operators/h200/-/gemm/square/*/*.json"),
        shipped("h200/serve/h200/llama2-7b/vllm/tuned/r100-*/*.json"),
        shipped("h200/inspect/*/-/system/-/n2/*.json"),
    ]
    waiting = replace(cells[0].cell, method="F")
    failed = Failure(attempt=1, phase=None, reason="nvcc is missing", log="log.txt", failed_at="")
    lines = finished_text([*cells, FinishedCell(waiting), FinishedCell(waiting, failed)]).splitlines()
    number = r"[\d,.]+( \[[\d,.]+–[\d,.]+\])?"
    assert lines[0].split() == ["cell", "number", "unit", "GiB", "runs", "outcome", "flags"]
    assert re.search(rf"ddp/Naive/s350-b1-n2 +{number} +tokens/s +67\.\d+ +\d+ +ok", lines[1]), "as the driver counts"
    assert re.search(r"s350-b32-n2 +\d+ +OOM \(\w+\)$", lines[2])
    assert re.search(rf"gemm/square/bf16-b1-n1 +{number} +TFLOP/s +\d+ +ok", lines[3])
    assert re.search(rf"vllm/tuned/\S+ +{number} +tokens/s +\d+\.\d+ +\d+ +ok", lines[4])
    assert re.search(r"system/-/n2 +\d+ +ok$", lines[5])
    assert lines[6].endswith("0  not measured")
    assert lines[7].endswith("0  failed: nvcc is missing")
    assert lines[-1] == "5 of 7 cells are measured"


def test_reference_results_stand_beside_cells_and_in_place_of_those_that_were_not_measured(project: Path) -> None:
    cell = "pretrain/h200-x2/llama2-7b/ddp/Naive/s350-b1-n2"
    shutil.copytree(REFERENCES / "h200-x2" / cell, project / "config/references/h200-x2" / cell)
    publish_references(project)
    given = {"select": "pretrain/h200-x2/llama2-7b/ddp/*/s350-b1-n2", "suite": "full", "models": ["llama2-70b"]}
    lines = showing.answer(load_study(project, given), project, given).splitlines()
    [line] = [line for line in lines if line.startswith(f"{cell} ")]
    assert re.search(r"[\d,.]+ \[[\d,.]+–[\d,.]+\] +tokens/s +[\d.]+ +\d+ +ok \(reference h200-x2\)", line)
    assert f"{cell.replace('Naive', 'F')} " in lines[2]
    assert lines[2].endswith("0  not measured")
    assert lines[-1] == f"0 of {len(lines) - 3} cells are measured here, 1 have reference results"
    both = finished_text([*(replace(shipped(f"h200-x2/{cell}/*.json"), set_name=each) for each in ("", "h200-x2"))])
    assert both.endswith("1 of 1 cells are measured here, 1 have reference results")
    assert both.count(cell) == 2
