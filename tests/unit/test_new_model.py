"""A model or a GPU of a new file: whoever asks about it is answered, or told which facts are lacking."""

import shutil
from pathlib import Path

import pytest

from dissect.answers import planning, recommending
from dissect.cells.study import load_study, refuse_empty_globs
from dissect.config.errors import ConfigError
from dissect.results.reference_sets import publish_references

PROJECT = Path(__file__).parents[2]
MODEL = """label: Mistral-7B
source: config.json of mistralai/Mistral-7B-v0.1
architecture:
  vocab_size: 32000
  hidden_size: 4096
  intermediate_size: 14336
  num_hidden_layers: 32
  num_attention_heads: 32
  num_key_value_heads: 8
  max_position_embeddings: 32768
  rms_norm_eps: 1.0e-5
  rope_theta: 10000.0
"""
GPU = """label: L40S node of 2
extends: rtx4090
gpu: {model: NVIDIA L40S, label: L40S-48G, memory_gib: 48}
gpus_per_node: 2
gpu_counts: [1, 2]
"""
CELLS = "finetune/h200-x2/mistral/*/L/*"


@pytest.fixture
def with_mistral(project: Path) -> Path:
    """A project with a model of its own, and the shipped cells of two H200."""
    (project / "config/models/mistral.yaml").write_text(MODEL)
    shutil.copytree(PROJECT / "config/references/h200-x2", project / "config/references/h200-x2")
    publish_references(project)
    return project


def test_the_model_of_a_question_counts_as_configured(with_mistral: Path) -> None:
    given = {"stage": "finetune", "model": "mistral", "platform": "h200-x2"}
    text = recommending.answer(load_study(with_mistral, given), with_mistral, given)
    assert "To measure: snakemake cells --config select='finetune/h200-x2/mistral/*/*/s350-b1-n2'" in text
    assert "  predicted: H200 node of 2, DeepSpeed, " in text


def test_select_finds_cells_of_a_model_that_it_names(with_mistral: Path) -> None:
    study = load_study(with_mistral, {"select": CELLS})
    assert {cell.model for cell in study.selected} == {"mistral"}
    assert {*study.selected_targets} <= study.by_path.keys()
    wild = load_study(with_mistral, {"select": "finetune/h200-x2/*/*/L/*"})
    assert {cell.model for cell in wild.selected} == {*wild.catalog.root.models}
    other = "pretrain/h200-x2/*/*/*/*"
    both = load_study(with_mistral, {"select": [CELLS, other]})
    assert {cell.model for cell in both.selected if cell.stage == "pretrain"} == {*both.catalog.root.models}
    given = {"select": "finetune/h200-x2/mistral/*/Z3/*"}
    none = load_study(with_mistral, given)
    with pytest.raises(ConfigError, match=r"matches no cell of the suite 'smoke'$"):
        refuse_empty_globs(none, with_mistral, given)


def test_a_plan_is_predicted_from_reference_results_of_other_models(with_mistral: Path) -> None:
    given = {"select": CELLS, "models": ["mistral"], "times": True}
    text = planning.answer(load_study(with_mistral, given), with_mistral, given)
    assert "GPU hours (predicted) for 2 cells" in text
    assert "not predicted" not in text


def test_tables_show_reference_results_of_configured_models_alone() -> None:
    study = load_study(PROJECT, {"models": ["llama2-13b"]})
    assert {each.cell.model for each in study.references["table_IX"]} == {"llama2-13b"}
    assert {each.cell.model for each in study.informed.references["table_IX"]} > {"llama2-7b", "llama2-13b"}
    assert (configured := load_study(PROJECT, {})).informed is configured


@pytest.mark.parametrize(("stage", "asked"), [("finetune", 8), ("serve", 10)])
def test_facts_that_predictions_of_a_gpu_lack_are_named(project: Path, stage: str, asked: int) -> None:
    lacking = "config/platforms/l40s.yaml lacks gpu.memory_bandwidth_gb_per_s and gpu.peak_tflops, from which times"
    (project / "config/platforms/l40s.yaml").write_text(GPU)
    given = {"stage": stage, "model": "llama2-7b", "platform": "l40s"}
    text = recommending.answer(load_study(project, given), project, given)
    assert f"Not predicted: {asked} × {lacking}" in text
    given = {"select": f"{stage}/l40s/llama2-7b/*/*/*", "times": True}
    assert f"\nnot predicted: {lacking}" in planning.answer(load_study(project, given), project, given)
    (project / "config/platforms/l40s.yaml").write_text(
        GPU.replace("48}", "48, memory_bandwidth_gb_per_s: 864, peak_tflops: {bf16: 362.05}, source: a datasheet}")
    )
    assert "lacks" not in planning.answer(load_study(project, given), project, given)


def test_settings_of_no_table_are_told_apart_from_those_that_were_not_measured(project: Path) -> None:
    given = {"stage": "pretrain", "model": "llama2-7b", "method": "QL"}
    text = recommending.answer(load_study(project, given), project, given)
    assert "Nothing that fits the question was measured, and no table of the stage pretrain has such settings." in text
