"""What a cell uses of the software: the environment that it runs in, and the declared versions that it holds."""

from pathlib import Path

import pytest

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.distributions import held, used_by_some
from dissect.cells.study import load_study

EVERY_CELL = {"accelerate", "torch", "transformers", "triton"}


def cells(project: Path, platform: str, *experiments: str) -> dict[str, Cell]:
    """By the end of their ids, from the model on."""
    study = load_study(project, {"platforms": [platform], "models": ["llama2-7b"], "suite": "full"})
    made = [cell for name in experiments for cell in study.experiments[name] if cell.canonical]
    return {"/".join([cell.stage, cell.framework, cell.method]): cell for cell in made}


def versions(cell: Cell) -> set[str]:
    return {*parse_spec(cell.canonical or "").software.versions}


@pytest.mark.parametrize(
    ("cell", "lock"),
    [
        ("pretrain/deepspeed/R+Z3", "train"),
        ("pretrain/deepspeed/F+R+Z3", "train-flash"),
        ("pretrain/megatron/Naive", "train"),
        ("finetune/deepspeed/QL+Z2", "train"),
        ("finetune/deepspeed/L+F", "train-flash"),
        ("operators/attention/sdpa_flash", "train"),
        ("operators/attention/flash_attention_2", "train-flash"),
    ],
)
def test_only_cells_that_use_flash_attn_wait_for_it(project: Path, cell: str, lock: str) -> None:
    made = cells(project, "a800", "table_II", "table_III", "table_IX", "operators_attention")[cell]
    assert made.launcher == f"envs/run {lock}@3.12 -- python"


def test_on_a_cpu_nothing_uses_flash_attn(project: Path) -> None:
    made = cells(project, "cpu", "table_III", "operators_attention").values()
    assert {cell.launcher.partition("@")[0] for cell in made} == {"envs/run train"}


def test_a_lock_of_cells_with_f_changes_no_other_cell(project: Path) -> None:
    before = cells(project, "a800", "table_III")
    lock = project / "envs/train-flash/requirements.txt"
    lock.write_text(lock.read_text().replace("torch==2.11.0", "torch==2.11.1"))
    after = cells(project, "a800", "table_III")
    moved = {name for name in before if before[name].key != after[name].key}
    assert moved == {name for name in before if "F" in name.rpartition("/")[2].split("+")}


@pytest.mark.parametrize(
    ("cell", "own"),
    [
        ("pretrain/deepspeed/Z3", {"deepspeed"}),
        ("pretrain/deepspeed/F+Z3", {"deepspeed", "flash-attn"}),
        ("pretrain/deepspeed/Q", {"deepspeed", "bitsandbytes"}),
        ("pretrain/megatron/Naive", {"megatron-core"}),
        ("finetune/deepspeed/L", {"deepspeed", "peft"}),
        ("finetune/deepspeed/QL+F", {"deepspeed", "peft", "bitsandbytes", "flash-attn"}),
        ("operators/attention/sdpa_flash", set()),
        ("operators/attention/flash_attention_2", {"flash-attn"}),
        ("inspect/system/-", set()),
    ],
)
def test_a_cell_holds_the_declared_versions_that_it_uses(project: Path, cell: str, own: set[str]) -> None:
    tables = ("table_I", "table_II", "table_III", "table_IX", "operators_attention")
    assert versions(cells(project, "h200", *tables)[cell]) == EVERY_CELL | own


def test_names_are_compared_as_installers_do() -> None:
    assert held(["Flash_Attn", "torch", "Megatron.Core"], {"megatron-core"}) == ["torch", "Megatron.Core"]
    assert "torch" not in used_by_some()


@pytest.mark.parametrize(
    ("declared", "with_f", "without"),
    [
        ("train: {lock: train-flash}", "train-flash", "train-flash"),
        ("train: {lock: train}\n  train-flash: {lock: vllm}", "vllm", "train"),
    ],
)
def test_a_platform_may_name_its_own_environment(project: Path, declared: str, with_f: str, without: str) -> None:
    file = project / "config/platforms/a800.yaml"
    file.write_text(file.read_text().replace('train: {lock: train, python: "3.12"}', declared))
    made = cells(project, "a800", "table_III")
    locks = [made[name].launcher.split("@")[0] for name in ("pretrain/deepspeed/F+Z3", "pretrain/deepspeed/Z3")]
    assert locks == [f"envs/run {with_f}", f"envs/run {without}"]
