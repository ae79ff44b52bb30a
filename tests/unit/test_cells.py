"""From experiments to cells: methods, stand-ins, overrides, constraints, sharing."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell, published_id
from dissect.cells.constraints import runner_constraint
from dissect.cells.frameworks import framework
from dissect.cells.runners import runners
from dissect.cells.spec import TrainingSpec
from dissect.cells.study import Study, load_study
from dissect.config.adapters.lora import Lora
from dissect.config.adapters.prompt_tuning import PromptTuning
from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.stages.training.deepspeed.spec import FinetuneSpec, PretrainSpec

ALL = ["cpu", "a800", "rtx4090", "rtx3090", "rtx3090-no-nvlink", "h200", "h200-no-nvlink"]


def study(project: Path, **options: Any) -> Study:
    return load_study(project, options)


S = TypeVar("S", bound=TrainingSpec)


def spec_of(cell: Cell, kind: type[S] = PretrainSpec) -> S:
    assert cell.canonical
    spec = parse_spec(cell.canonical)
    assert isinstance(spec, kind)
    return spec


def cell(study: Study, experiment: str, cell_id: str) -> Cell:
    return next(cell for cell in study.experiments[experiment] if cell.id == cell_id)


def set_overrides(project: Path, text: str) -> None:
    config = project / "config/config.yaml"
    config.write_text(config.read_text().replace("overrides: {}", f"overrides: {{{text}}}"))


def test_the_paper_s_24_methods(project: Path) -> None:
    cells = study(project, platforms=["a800"], models=["llama2-7b"], suite="full").experiments["table_III"]
    assert len(cells) == 24
    assert {c.method for c in cells} == {
        "+".join(part for part in (prefix, strategy) if part) or "Naive"
        for prefix in ("", "F", "R", "F+R")
        for strategy in ("", "Z2", "Z2+O", "Z3", "Z3+O", "Q")
    }
    assert not [c for c in cells if c.unsupported]


@pytest.mark.parametrize("platform", ["h100-x2", "h100-x4", "h200-x4"])
def test_nothing_that_the_paper_has_is_unsupported(project: Path, platform: str) -> None:
    made = study(project, platforms=[platform], suite="full").experiments.values()
    assert {cell.unsupported for cells in made for cell in cells} <= {
        None, "transformers serve does not support tensor parallelism", "a collective needs at least two GPUs",
    }  # fmt: skip


def test_all_training_runs_on_cpus(project: Path) -> None:
    made = study(project, platforms=["cpu"], suite="full").experiments.values()
    training = [cell for cells in made for cell in cells if cell.stage in ("pretrain", "finetune", "profile")]
    assert training
    assert {cell.unsupported for cell in training} == {None}


def test_letters_turn_their_knobs(project: Path) -> None:
    made = study(project, platforms=["a800"], models=["llama2-7b"], suite="full")
    spec = spec_of(cell(made, "table_III", "pretrain/a800/llama2-7b/deepspeed/F+R+Z3+O/s350-b1-n8"))
    assert spec.method.model_dump() == {
        "attention": "flash_attention_2", "recompute": True, "zero_stage": 3, "offload_optimizer": True,
        "offload_parameters": True, "quantization": "none", "optimizer": "deepspeed_cpu_adam",
        "stage3_sizes": "authors",
    }  # fmt: skip
    plain = spec_of(cell(made, "table_II", "pretrain/a800/llama2-7b/deepspeed/BS/s350-b1-n8"))
    assert (plain.method.attention, plain.method.zero_stage, plain.workload.seq_len) == ("eager", 0, 350)
    assert plain.method.states == "bf16"


@pytest.mark.parametrize(
    ("method", "reason"),
    [("Z2+Z3", "Z2 and Z3 both set zero_stage"), ("O", "O needs one of Z2, Z3"), ("L+Q", "LoRA on a 4-bit base is QL")],
)
def test_impossible_mixes_have_a_reason(project: Path, method: str, reason: str) -> None:
    figure = project / "config/experiments/fig_4.yaml"
    figure.write_text(figure.read_text().replace("[Q]", f"[{method}]"))
    cells = study(project).experiments["fig_4"]
    assert cells
    assert all(reason in (c.unsupported or "") and c.path is None for c in cells)


@pytest.mark.parametrize(
    ("stage", "framework", "has"),
    [("pretrain", "vllm", "stage serve"), ("finetune", "ddp", "stages pretrain and profile")],
)
def test_a_framework_of_another_stage_has_a_reason(project: Path, stage: str, framework: str, has: str) -> None:
    figure = project / "config/experiments/fig_4.yaml"
    text = figure.read_text().replace("stage: pretrain", f"stage: {stage}")
    figure.write_text(text.replace("[deepspeed]", f"[{framework}]"))
    reasons = {cell.unsupported for cell in study(project).experiments["fig_4"]}
    assert reasons == {f"{framework} is for the {has}, not for {stage}"}


def test_a_framework_of_three_stages_names_all() -> None:
    expected = "deepspeed is for the stages pretrain, finetune and profile, not for serve"
    assert runner_constraint("serve", "deepspeed") == expected


def table_ix(project: Path, methods: str) -> dict[str, Cell]:
    file = project / "config/experiments/table_IX.yaml"
    text = re.sub(r"smoke: {method: .*}", f"smoke: {{method: {{deepspeed: [{methods}]}}}}", file.read_text())
    file.write_text(text)
    return {cell.method: cell for cell in study(project).experiments["table_IX"]}


def test_the_paper_s_fine_tuning_methods(project: Path) -> None:
    cells = study(project, platforms=["a800"], models=["llama2-7b"], suite="full").experiments["table_IX"]
    prefixes = ("", "F", "R", "F+R")
    strategies = {"L": ("", "Z2", "Z2+O", "Z3", "Z3+O"), "QL": ("", "Z2", "Z2+O", "Z3", "Z3+O")}
    sharded = {("fsdp", "+".join(filter(None, ("QL", prefix, each)))) for prefix in prefixes for each in ("", "CO")}
    assert {(c.framework, c.method) for c in cells} == {
        ("deepspeed", "+".join(filter(None, (adapter, prefix, strategy))))
        for adapter, own in strategies.items()
        for prefix in prefixes
        for strategy in own
    } | {("deepspeed", "PT")} | sharded
    assert not [c.id for c in cells if c.unsupported]


def test_an_adapter_and_a_4_bit_base(project: Path) -> None:
    cells = table_ix(project, "L, QL, F+QL, PT")
    assert list(cells) == ["L", "QL", "QL+F", "PT"]
    methods = {name: spec_of(cell, FinetuneSpec).method for name, cell in cells.items()}
    assert {name: method.quantization for name, method in methods.items()} == {
        "L": "none", "QL": "nf4", "QL+F": "nf4", "PT": "none"
    }  # fmt: skip
    assert methods["L"].adapter == methods["QL"].adapter == Lora(kind="lora")
    assert methods["PT"].adapter == PromptTuning(kind="prompt_tuning", virtual_tokens=20)
    assert {facts.note for facts in study(project).manifest("table_IX").methods.values()} == {None}


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("Q", "fine-tuning needs an adapter"),
        ("L+Q", "LoRA on a 4-bit base is QL"),
        ("L+PT", "L and PT both set adapter"),
    ],
)
def test_impossible_fine_tuning_has_a_reason(project: Path, method: str, reason: str) -> None:
    (made,) = table_ix(project, method).values()
    assert reason in (made.unsupported or "")


def test_a_prompt_needs_positions_too(project: Path) -> None:
    set_overrides(project, "'finetune/cpu/*/*/*/*': {workload: {seq_len: 500}}")
    reasons = {name: cell.unsupported for name, cell in table_ix(project, "L, PT").items()}
    assert reasons == {"L": None, "PT": "a sequence of 520 tokens exceeds the model's 512 positions"}


@pytest.mark.parametrize(
    ("knob", "fault"),
    [("rank: 0", "rank"), ("dropout: 1", "dropout"), ("targets: [q, v]", "targets"), ("kind: loro", "kind"),
     ("targets: [q_proj, q_proj]", "duplicate 'q_proj'")],
)  # fmt: skip
def test_a_wrong_adapter_is_an_error(project: Path, knob: str, fault: str) -> None:
    file = project / "config/methods.yaml"
    wrong = knob if "kind" in knob else f"kind: lora, {knob}"
    file.write_text(file.read_text().replace("{kind: lora}", f"{{{wrong}}}", 1))
    with pytest.raises(ConfigError, match=fault):
        study(project)


def test_no_flash_kernel_is_a_reason(project: Path) -> None:
    cpu = project / "config/platforms/cpu.yaml"
    cpu.write_text(cpu.read_text().replace("kernels: {flash_attention: sdpa_flash}", "kernels: {}"))
    reasons = {c.method: c.unsupported for c in study(project).experiments["table_III"]}
    assert reasons["F+R"] == "the platform declares no FlashAttention kernel"
    assert reasons["Naive"] is None


def test_the_stand_in_replaces_models_and_length(project: Path) -> None:
    cells = study(project, platforms=["cpu"]).experiments["table_III"]
    assert {(c.model, c.seq_len) for c in cells} == {("llama-tiny", 128)}


def test_the_sweep_visits_the_platform_s_counts(project: Path) -> None:
    made = study(project, platforms=["cpu", "a800"]).experiments["fig_4"]
    assert [(c.platform, c.n_gpus) for c in made] == [
        ("cpu", 1), ("cpu", 2), ("a800", 1), ("a800", 2), ("a800", 4), ("a800", 8),
    ]  # fmt: skip


def test_a_node_is_looked_at_once(project: Path) -> None:
    table = project / "config/experiments/table_I.yaml"
    table.write_text(table.read_text().replace("model: none", "model: [llama2-7b]\n  batch: [1, 2]"))
    assert [c.id for c in study(project).experiments["table_I"]] == ["inspect/cpu/-/system/-/n2"]


def test_tables_share_what_is_the_same(project: Path) -> None:
    made = study(project, platforms=["a800"], suite="full")
    shared = "pretrain/a800/llama2-7b/ddp/Naive/s350-b1-n8"
    assert cell(made, "table_II", shared).path == cell(made, "table_III", shared).path
    assert all(published_id(path) == one.id for path, one in made.by_path.items())


def test_inheritance_lays_keys_over_the_parent(project: Path) -> None:
    made = study(project, platforms=ALL)
    by_platform = {c.platform: spec_of(c) for c in made.experiments["fig_4"] if c.n_gpus == 2}
    plain, switched_off = by_platform["rtx3090"].hardware, by_platform["rtx3090-no-nvlink"].hardware
    assert switched_off.environment == {**plain.environment, "NCCL_P2P_DISABLE": "1"}
    assert switched_off.gpu_model == plain.gpu_model


def test_facts_and_price_of_a_gpu_are_those_of_its_model(project: Path) -> None:
    h200, b200 = (project / f"config/platforms/{name}.yaml" for name in ("h200", "b200"))
    h200.write_text(f"{h200.read_text()}price: {{per_gpu_hour: 3, currency: EUR, source: a list, date: 2026-11}}\n")
    b200.write_text("label: B200\nextends: h200\ngpu: {model: NVIDIA B200, label: B200, memory_gib: 179}\n")
    platforms = load_catalog(project, {}).platforms
    priced = {name for name, platform in platforms.items() if platform.price}
    assert priced == {name for name, platform in platforms.items() if platform.gpu.model == "NVIDIA H200"}
    assert len(priced) > 1
    assert (platforms["b200"].gpu.peak_tflops, platforms["b200"].gpu.source) == ({}, None)
    assert platforms["b200"].interconnect == platforms["h200"].interconnect


def test_an_override_changes_what_it_matches_and_nothing_else(project: Path) -> None:
    before = {c.id: c.key for c in study(project).experiments["table_III"]}
    set_overrides(project, "'pretrain/cpu/*/deepspeed/Z2*/*': {sampling: {budget_s: 77}}")
    after = {c.id: c for c in study(project).experiments["table_III"]}
    moved = {cell_id for cell_id in before if before[cell_id] != after[cell_id].key}
    assert {cell_id.split("/")[4] for cell_id in moved} == {"Z2", "Z2+O"}
    assert all(spec_of(after[cell_id]).sampling.budget_s == 77 for cell_id in moved)


def test_numbers_inside_a_command_line_value_are_numbers(project: Path) -> None:
    # As Snakemake hands over --config overrides="{...: {sampling: {budget_s: 1e2, min_steps: 7}}}".
    overrides = {"*/cpu/*/*/Z2/*": {"sampling": {"budget_s": "1e2", "min_steps": "7"}}}
    spec = spec_of(next(c for c in study(project, overrides=overrides).experiments["table_III"] if c.method == "Z2"))
    assert (spec.sampling.budget_s, spec.sampling.min_steps) == (100, 7)


def test_a_number_in_quotes_inside_a_command_line_value_is_a_text(project: Path) -> None:
    # As Snakemake hands over --config overrides="{...: {hardware: {environment: {OMP_NUM_THREADS: \"'2'\"}}}}".
    overrides = {"*/cpu/*/*/Z2/*": {"hardware": {"environment": {"OMP_NUM_THREADS": "'2'"}}}}
    spec = spec_of(next(c for c in study(project, overrides=overrides).experiments["table_III"] if c.method == "Z2"))
    assert spec.hardware.environment["OMP_NUM_THREADS"] == "2"


def test_an_override_reaches_every_section(project: Path) -> None:
    set_overrides(
        project,
        "'*/cpu/*/*/Z2/*': {hardware: {n_gpus: 1}, method: {optimizer: deepspeed_fused_adam}, workload: {batch: 3}}",
    )
    made = next(c for c in study(project).experiments["table_III"] if c.method == "Z2")
    spec = spec_of(made)
    assert made.workload == "s128-b3-n1"
    assert (spec.hardware.n_gpus, spec.method.optimizer, spec.workload.batch) == (1, "deepspeed_fused_adam", 3)


@pytest.mark.parametrize(
    ("glob", "section"),
    [
        ("serve/cpu/*/*/*/*", "method: {attention: eager}"),
        ("operators/cpu/*/*/*/*", "method: {attention: eager}"),
        ("pretrain/cpu/*/*/*/*", "settings: {max_sequences: 8}"),
    ],
)
def test_an_override_of_what_a_cell_does_not_have_is_an_error(project: Path, glob: str, section: str) -> None:
    set_overrides(project, f"'{glob}': {{{section}}}")
    name, stage = section.partition(":")[0], glob.partition("/")[0]
    with pytest.raises(
        ConfigError, match=rf"'{re.escape(glob)}' sets the section '{name}', which the cell {stage}/cpu/.* does not"
    ):
        study(project)


def test_a_cell_needs_the_most_runs_of_what_is_wanted(project: Path) -> None:
    def runs_of(**options: Any) -> dict[str, int]:
        study = load_study(project, {"figures": [], **options})
        return {cell.id: cell.runs for cell in study.by_path.values()}

    path = project / "config/experiments/table_IV.yaml"
    (largest,) = (cell.id for cell in load_study(project, {}).experiments["table_IV"] if cell.path)
    assert set(runs_of(suite="smoke").values()) == {1}
    assert runs_of(suite="full")["inspect/cpu/-/system/-/n2"] == 1
    assert runs_of(suite="full")[largest] == 5
    assert runs_of(runs={"smoke": 3})[largest] == 3
    path.write_text(path.read_text() + "runs: 7\n")
    assert runs_of(runs=2)[largest] == 7
    other = project / "config/experiments/copy.yaml"
    other.write_text(path.read_text().replace("runs: 7", "runs: 9"))
    assert runs_of(tables=["table_IV", "copy"])[largest] == 9
    assert runs_of(tables=["table_IV"])[largest] == 7, "what is not wanted asks for nothing"


def test_points_that_a_stage_does_not_tell_apart_are_one_cell(project: Path) -> None:
    file = project / "config/experiments/operators_memcpy.yaml"
    file.write_text(
        file.read_text().replace("axes:\n", "axes:\n  arrival: [{kind: burst}, {kind: poisson, rate: 2.0}]\n", 1)
    )
    cells = study(project).experiments["operators_memcpy"]
    assert len({cell.id for cell in cells}) == len(cells) > 1


def test_pinning_is_a_choice_that_only_ranks_follow(project: Path) -> None:
    file = project / "config/platforms/cpu.yaml"
    before = study(project, suite="full").experiments
    file.write_text(file.read_text() + "pinning: none\n")
    assert study(project, suite="full").experiments == before, "the default, though written, is in no spec"
    file.write_text(file.read_text().replace("pinning: none", "pinning: gpu"))
    pinned = study(project, suite="full").experiments
    specs = {made.stage: parse_spec(made.canonical) for cells in pinned.values() for made in cells if made.canonical}
    chosen = {stage: spec.hardware.pinning for stage, spec in specs.items()}
    assert chosen == {
        "pretrain": "gpu", "finetune": "gpu", "profile": "gpu", "operators": "gpu", "serve": "none", "inspect": "none"
    }  # fmt: skip


def test_training_has_windows_of_its_own(project: Path) -> None:
    cells = [made for cells in study(project, platforms=["h200"], suite="full").experiments.values() for made in cells]
    windows = {(made.stage, parse_spec(made.canonical).sampling.window_s) for made in cells
               if made.canonical and made.stage not in ("inspect", "serve")}  # fmt: skip
    assert windows == {("pretrain", 4), ("finetune", 4), ("profile", 4), ("operators", 8)}


def test_what_a_platform_says_of_other_stages_sampling_is_left_to_them(project: Path) -> None:
    file = project / "config/platforms/cpu.yaml"
    text = file.read_text()
    assert "sampling: {" in text
    file.write_text(text.replace("sampling: {", "sampling: {ready_s: 99, ", 1))
    cells = study(project).experiments
    assert {cell.unsupported for cell in cells["table_III"]} == {None}
    served = [cell for cell in cells["table_serving"] if cell.canonical]
    assert served
    assert all('"ready_s":99' in str(cell.canonical) for cell in served)


def test_overrides_may_agree_and_their_order_does_not_count(project: Path) -> None:
    one, two = "'*/cpu/*/*/Z2/*': {workload: {seed: 1}}", "'*/*/*/*/Z2*/*': {sampling: {budget_s: 9}}"
    set_overrides(project, f"{one}, {two}")
    first = {c.id: c.key for c in study(project).experiments["table_III"]}
    config = project / "config/config.yaml"
    config.write_text(config.read_text().replace(f"{one}, {two}", f"{two}, {one}"))
    assert {c.id: c.key for c in study(project).experiments["table_III"]} == first


def test_an_override_that_matches_nothing_enabled_is_a_notice(project: Path) -> None:
    set_overrides(project, "'pretrain/h200/*/*/*/*': {sampling: {budget_s: 9}}")
    assert study(project).notices == [
        "config/config.yaml: overrides: 'pretrain/h200/*/*/*/*' matches no cell of the configured platforms"
    ]


def test_more_gpus_than_there_are_is_a_reason(project: Path) -> None:
    set_overrides(project, "'*/cpu/*/*/Q/*': {hardware: {n_gpus: 16}}")
    reasons = {c.unsupported for c in study(project).experiments["fig_4"]}
    assert reasons == {"the platform has 2 GPUs, not 16"}


def test_a_collision_of_keys_is_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dissect.cells.cell.spec_key", lambda _: "0123456789ab")
    # Ids differ, so equal keys alone are not yet equal paths; different specs under one key are never right.
    with pytest.raises(ConfigError, match="collides"):
        _ = study(project).by_path


def test_wanted_tables_limit_targets_only(project: Path) -> None:
    made = study(project, tables=["table_II"], figures=[])
    assert {path.split("/")[6] for path in made.targets} == {"Naive", "BS"}
    assert set(made.experiments) == {path.stem for path in (project / "config/experiments").glob("*.yaml")}


@pytest.mark.parametrize("declared", [True, False])
def test_a_framework_runs_in_its_own_environment_where_the_platform_has_one(
    project: Path, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    own = replace(framework("megatron"), environment="megatron")
    monkeypatch.setattr("dissect.cells.runners.framework", lambda name: own if name == "megatron" else framework(name))
    runners.cache_clear()
    if declared:
        path = project / "config/platforms/cpu.yaml"
        path.write_text(path.read_text() + "  megatron: {interpreter: own-python, versions: {torch: '2.11.0'}}\n")
    try:
        cells = load_study(project, {"suite": "full"}).experiments["table_II"]
    finally:
        runners.cache_clear()
    launchers = {cell.framework: cell.launcher for cell in cells}
    assert (launchers["megatron"] == "own-python") is declared
    assert launchers["deepspeed"].startswith("envs/run train")
