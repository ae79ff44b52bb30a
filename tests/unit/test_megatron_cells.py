"""Cells of Megatron-LM: how the GPUs are split, and which cells cannot exist."""

import json
import re
from pathlib import Path

import pytest

from dissect.cells.cell import Cell
from dissect.cells.study import load_study


def megatron_cells(project: Path, method: str) -> list[Cell]:
    """Those of Table II on the CPU's two processes, with another method."""
    table = project / "config/experiments/table_II.yaml"
    table.write_text(re.sub(r"megatron: \[[^]]*\]", f"megatron: [{method}]", table.read_text()))
    cells = load_study(project, {}).experiments["table_II"]
    return [cell for cell in cells if cell.framework == "megatron"]


def test_megatron_splits_over_the_node_unasked(project: Path) -> None:
    specs = [json.loads(cell.canonical) for cell in megatron_cells(project, "Naive") if cell.canonical]
    assert len(specs) == 3
    for spec in specs:
        assert (spec["method"]["tensor_parallel"], spec["hardware"]["n_gpus"]) == (2, 2)
        assert (spec["method"]["attention"], spec["method"]["layer_spec"]) == ("eager", "local")


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("TP1+TP2", "TP1 and TP2 both set tensor_parallel"),
        ("Z2", "megatron does not support zero_stage"),
        ("TP4", "2 GPUs cannot be split into tensor parallel 4 x pipeline parallel 1"),
        ("TP2+PP2", "2 GPUs cannot be split into tensor parallel 2 x pipeline parallel 2"),
        ("F", "the local layers of Megatron-LM have no FlashAttention"),
        ("TP1+SP", "sequence parallel needs tensor parallel above 1"),
        ("DO", "the distributed optimizer needs data parallel above 1"),
        ("R+SR", "R computes whole layers again, attention included"),
        ("OV", "gradients that are reduced during the backward pass need data parallel above 1"),
    ],
)
def test_what_megatron_cannot_do_has_a_reason(project: Path, method: str, reason: str) -> None:
    assert {cell.unsupported for cell in megatron_cells(project, method)} == {reason}


@pytest.mark.parametrize("method", ["R", "PP2", "SP", "TP1", "TP1+DO", "R+TP2+SP", "SR", "SR+TP1+DO+OV+FK"])
def test_what_megatron_can_do_is_planned(project: Path, method: str) -> None:
    assert {cell.unsupported for cell in megatron_cells(project, method)} == {None}


@pytest.mark.parametrize(
    ("file", "key", "reason"),
    [
        ("models/llama-tiny", "vocab_size: 8193", "8193 words of the vocabulary cannot be split over 2 GPUs"),
        ("models/llama-tiny", "intermediate_size: 689", "689 columns of the MLP cannot be split over 2 GPUs"),
        ("models/llama-tiny", "num_key_value_heads: 1", "1 key-value heads cannot be split over 2 GPUs"),
        ("platforms/cpu", "seq_len: 127", "127 tokens of a sequence cannot be split over 2 GPUs"),
    ],
)
def test_megatron_pads_nothing(project: Path, file: str, key: str, reason: str) -> None:
    path = project / f"config/{file}.yaml"
    path.write_text(re.sub(rf"{key.split()[0]} \d+", key, path.read_text()))
    assert {cell.unsupported for cell in megatron_cells(project, "SP")} == {reason}


@pytest.mark.parametrize(
    ("kernels", "method", "reason"),
    [
        ("{layer_spec: transformer_engine}", "Naive", "Transformer Engine runs on GPUs only"),
        ("{}", "F", "the platform declares no FlashAttention kernel"),
    ],
)
def test_layers_that_a_platform_lacks(project: Path, kernels: str, method: str, reason: str) -> None:
    cpu = project / "config/platforms/cpu.yaml"
    cpu.write_text(cpu.read_text().replace("kernels: {flash_attention: sdpa_flash}", f"kernels: {kernels}"))
    assert {cell.unsupported for cell in megatron_cells(project, method)} == {reason}
