"""The framework, engine and GPU vendor of docs/extending.md, added to a copy of the project and measured for real."""

import json
import re
import shutil
from typing import Any

import pytest

from clones import ROOT, Clone
from shown import blocks

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PAGE = "docs/extending.md"


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("extended")
    for name in ("config", "envs", "profiles", "rules", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    for name in (".venv", ".envs"):
        (folder / name).symlink_to(ROOT / name)
    for block in blocks(PAGE):
        if re.search(r"[/ ]\S+\.\w+$", block.info):
            block.write(folder)
    return Clone(folder)


def measured(clone: Clone, cell: str, platform: str = "cpu") -> dict[str, Any]:
    """Measure one cell; its only run, as plain JSON: this process does not know what the copy was taught."""
    clone.snakemake("cells", "--config", f"platforms=[{platform}]", f"select={cell}")
    [path] = (clone.folder / "results/cells").glob(f"{cell}/*.json")
    [run] = json.loads(path.read_bytes())["runs"]
    return run


def test_the_framework_of_the_docs_trains(extended: Clone) -> None:
    result = measured(extended, "pretrain/cpu/llama-tiny/plain/Naive/s128-b1-n2")
    assert (result["status"], result["reason"]) == ("ok", None)
    metrics = result["metrics"]
    assert metrics["attention_kernel"] == "eager"
    assert metrics["last_loss"] < metrics["first_loss"]


def test_the_engine_of_the_docs_serves(extended: Clone) -> None:
    result = measured(extended, "serve/cpu/llama-tiny/generate/tuned/r16-i64-o16-burst-n1")
    assert (result["status"], result["reason"]) == ("ok", None)
    assert result["metrics"]["completion_tokens"] == 16 * 16


@pytest.mark.parametrize("cell", ["inspect/toy/*/*/*/*", "pretrain/toy/llama-tiny/deepspeed/Naive/s128-b1-n2"])
def test_the_gpus_of_the_docs_are_measured(extended: Clone, cell: str) -> None:
    result = measured(extended, cell, "toy")
    assert (result["status"], result["reason"]) == ("ok", None)
    assert "hardware_mismatch" not in result["flags"]
    gpus = result["provenance"]["gpus"]
    assert [(gpu["index"], gpu["name"], gpu["uuid"]) for gpu in gpus] == [(0, "Toy 1", "toy-0"), (1, "Toy 1", "toy-1")]
    if result["spec"]["stage"] == "inspect":
        assert result["metrics"]["gpu_names"] == ["Toy 1", "Toy 1"]
        return
    assert [gpu["mean_power_w"] for gpu in gpus] == [5.0, 7.0]
    assert result["metrics"]["nvml_peak_memory_bytes"] == 2**20
    assert result["provenance"]["other_processes"] == "no other process on the GPUs during the window"
    assert result["metrics"]["last_loss"] < result["metrics"]["first_loss"]
