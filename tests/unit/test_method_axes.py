"""Methods that differ by framework, and what stands beside bf16 weights in each."""

import json
import re
from pathlib import Path

import pytest

from dissect.cells.study import load_study
from dissect.config.errors import ConfigError


def test_states_are_in_a_spec_only_where_they_are_not_fp32_master_weights(project: Path) -> None:
    made = load_study(project, {"platforms": ["a800"], "models": ["llama2-7b"], "suite": "full"})
    cells = [cell for name in ("table_II", "table_III") for cell in made.experiments[name]]
    found = {(cell.framework, cell.method): json.loads(cell.canonical or "")["method"].get("states") for cell in cells}
    assert {pair: states for pair, states in found.items() if states} == {
        ("deepspeed", "BS"): "bf16", **{("ddp", method): "bf16" for method in ("Naive", "F", "R", "F+R")}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("framework", "method", "reason"),
    [
        ("megatron", "BS", "Megatron-LM trains bf16 weights with states fp32_master only"),
        ("megatron", "MW", None),
        ("deepspeed", "MW+Z3", None),
        ("ddp", "MW", None),
        ("ddp", "BS+MW", "BS and MW both set states"),
        ("ddp", "Z3", "ddp does not support zero_stage"),
        ("deepspeed", "BV", "deepspeed does not support gradient_bucket_view"),
    ],
)
def test_states_that_a_framework_has(project: Path, framework: str, method: str, reason: str | None) -> None:
    table = project / "config/experiments/table_II.yaml"
    axes = f"  framework: [{framework}]\n  method: [{method}]\n"
    text = re.sub(r"(smoke: .*), method: .*\}\}", r"\1}", table.read_text())
    table.write_text(re.sub(r"  framework: .*\n  method: .*\n", axes, text))
    assert {cell.unsupported for cell in load_study(project, {}).experiments["table_II"]} == {reason}


def test_methods_by_framework(project: Path) -> None:
    made = load_study(project, {"platforms": ["cpu"]}).experiments["table_III"]
    assert {(cell.framework, cell.method) for cell in made} == {
        ("ddp", "Naive"), ("ddp", "F+R"), *(("deepspeed", method) for method in ("Z2", "Z2+O", "Z3+O", "Q"))
    }  # fmt: skip
    assert {cell.framework for cell in load_study(project, {"platforms": ["cpu"]}).experiments["table_IV"]} == {"ddp"}


@pytest.mark.parametrize(
    ("table", "old", "new", "reason"),
    [
        ("table_III", "    ddp: [Naive, F, R, F+R]\n", "", "'axes.method' has no methods for 'ddp'"),
        ("table_III", "ddp: [Naive, F, R, F+R]", "megatron: [R]", "'axes.framework' has no 'megatron'"),
        ("table_III", "smoke: {method: {ddp", "smoke: {method: {megatron", "'axes.framework' has no 'megatron'"),
        ("operators_gemm", "method: [", "method: {gemm: [", "has the same methods for every framework"),
    ],
)
def test_methods_of_other_frameworks_are_an_error(project: Path, table: str, old: str, new: str, reason: str) -> None:
    file = project / f"config/experiments/{table}.yaml"
    text = file.read_text()
    assert old in text
    text = text.replace(old, new, 1)
    file.write_text(re.sub(r"(method: \{gemm: \[.*\])", r"\1}", text))
    with pytest.raises(ConfigError, match=re.escape(reason)):
        load_study(project, {})


def test_compiled_layers_cannot_be_taken_apart(project: Path) -> None:
    table = project / "config/experiments/table_V.yaml"
    table.write_text(table.read_text().replace("{ddp: [Naive]}", "{ddp: [Naive, C]}"))
    reasons = {cell.method: cell.unsupported for cell in load_study(project, {}).experiments["table_V"]}
    assert reasons == {"Naive": None, "C": "a profile takes a step apart by module, which compiled layers have not"}
