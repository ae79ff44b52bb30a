"""What the forms of the page ask about: GPUs, models and settings of the shipped configuration."""

from pathlib import Path

import pytest

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.askable import PCIE, Askable
from dissect.cells.study import load_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def asked() -> Askable:
    return load_study(ROOT, {"suite": "full"}).report.asked


def test_each_gpu_stands_once_with_each_of_its_links(asked: Askable) -> None:
    labels = [gpu.facts.label for gpu in asked.gpus.values()]
    kinds = [(gpu.hardware.gpu_model, gpu.hardware.interconnect) for gpu in asked.gpus.values()]
    assert labels == sorted(set(labels))
    assert len(set(kinds)) == len(kinds)
    assert {link for model, link in kinds if model == "NVIDIA H200"} == {"NVLink", "PCIe 5.0 x16"}
    assert all(gpu.hardware.card_memory_bytes is None for gpu in asked.gpus.values()), "none is held to less memory"


def test_gpus_without_a_platform_come_from_their_datasheet(asked: Askable) -> None:
    gpu = asked.gpus["l40s-48g"]
    assert gpu.hardware.interconnect == PCIE
    assert gpu.hardware.device_memory_bytes == 48 * GIB
    assert gpu.facts.peak_flops["bf16"] == 362.05e12
    assert not any("V100" in gpu.facts.label for gpu in asked.gpus.values()), "it has no bf16"


def test_settings_are_those_of_all_training_and_serving_tables(asked: Askable) -> None:
    assert {"pretrain/deepspeed/F+R+Z3+O", "finetune/fsdp/QL+F+R", "serve/sglang/tuned"} <= set(asked.settings)
    for name, text in asked.settings.items():
        spec = parse_spec(text)
        assert name.startswith(f"{spec.stage}/")
        assert spec.hardware.device == "cuda"
    assert list(asked.models) == ["llama2-7b", "llama2-13b", "llama2-70b"]
