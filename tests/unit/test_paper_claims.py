"""The paper's claims as the file has them: names, the cells that they read, and what they decide of servers."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import factories as make
from claim_cases import (
    FASTER,
    HOLDS,
    NOT_MEASURED,
    SLOWER,
    UNCLEAR,
    claim,
    manifest,
)
from dissect.cells.manifest import ManifestCell
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.present.claims.claims_table import check_text, findings

PAPER = "config/references/paper.yaml"


@pytest.mark.parametrize(
    ("check", "changes", "says"),
    [
        (SLOWER, {}, "expected either 'about'"),
        (SLOWER | {"about": 1}, {}, "need each other"),
        (SLOWER | {"about": 1, "tolerance": 1, "low": 1}, {}, "expected either 'about'"),
        (FASTER, {"stage": "inspect"}, "has no view 'training'"),
        (FASTER, {"where": {"platform": "cpu"}}, "on both sides"),
        (FASTER | {"more": {"platform": "cpu"}}, {}, "on both sides"),
    ],
)
def test_a_claim_that_cannot_be_checked_is_refused(check: dict[str, Any], changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        claim(check, **changes)


def edit(project: Path, file: str, old: str, new: str) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("platform: rtx4090", "platform: rtx409", "claims.H04: unknown platform 'rtx409'"),
        ("model: llama2-7b", "model: llama2", "claims.H01: unknown model 'llama2'"),
        ("method: Q", "method: QQ", "claims.H01: unknown letter 'QQ'"),
        ("framework: megatron", "framework: nemo", "claims.H06: unknown framework 'nemo'"),
        ("tolerance: 2", "tolerence: 2", "unknown key 'tolerence'"),
    ],
)
def test_names_of_claims_are_checked(project: Path, old: str, new: str, says: str) -> None:
    edit(project, PAPER, old, new)
    with pytest.raises(ConfigError, match=rf"^{PAPER}: .*{says}" if "key" in says else rf"^{PAPER}: {says}"):
        load_study(project, {})


def test_claims_read_the_cells_of_the_tables_that_are_asked_for(project: Path) -> None:
    assert load_study(project, {}).wanted("table")[-1] == "claims"
    study = load_study(project, {"tables": ["table_II", "claims"], "figures": ["fig_4"]})
    read = {(c.framework, c.method, c.batch, c.n_gpus) for c in study.manifest("claims").cells}
    assert read == {
        *((*cell, batch, 2) for batch in (1, 2, "max") for cell in (
            ("megatron", "Naive"), ("deepspeed", "BS"), ("ddp", "Naive")
        )),
        ("deepspeed", "Q", 2, 1), ("deepspeed", "Q", 2, 2),
    }  # fmt: skip
    assert set(study.paths_of("claims")) <= set(study.targets)
    fewer = load_study(project, {"tables": ["table_III"], "figures": []})
    assert "claims" not in fewer.wanted("table")
    assert {c.method for c in fewer.manifest("claims").cells} == {"Naive"}
    assert load_study(project, {"tables": ["claims"], "figures": []}).paths_of("claims") == []


def test_claims_about_serving_read_one_load_per_engine_and_model(project: Path) -> None:
    """The paper's burst with engines at their defaults, also where tables have other loads and policies."""
    study = load_study(project, {"platforms": ["a800"], "figures": ["fig_6", "fig_10"]})
    read = [cell for cell in study.manifest("claims").cells if cell.stage == "serve"]
    assert {(cell.framework, cell.model) for cell in read} == {
        (engine, model) for engine in ("vllm", "lightllm", "tgi") for model in ("llama2-7b", "llama2-13b", "llama2-70b")
    }
    assert len(read) == 9
    assert all("-burst-n" in cell.workload and cell.method == "tuned" for cell in read)


def served(project: Path, engine: str, model: str, seconds: float) -> ManifestCell:
    spec = make.serve_spec(engine=engine, aligned=False, requests=1000)
    runs = make.serving_runs(spec, seconds)
    return make.published_cell(project, *runs, platform="h200", method="tuned", model=model)


@pytest.mark.parametrize(
    ("seconds", "hold", "unclear"),
    [
        ({"tgi": 120, "lightllm": 60, "vllm": 62}, {"H19-TGI", "H20-equal", "H23"}, set()),
        ({"tgi": 60, "lightllm": 60, "vllm": 120}, {"H19-vLLM", "H20-vLLM", "H23", "H25-vLLM", "H26"},
         {"H20-LightLLM", "H25-LightLLM"}),
        ({"tgi": 115, "lightllm": 120, "vllm": 125},
         {"H20-vLLM", "H20-LightLLM", "H20-equal", "H21", "H22", "H23", "H25-vLLM", "H25-LightLLM", "H26"}, set()),
    ],
)  # fmt: skip
def test_claims_about_serving_are_decided(
    project: Path, seconds: dict[str, float], hold: set[str], unclear: set[str]
) -> None:
    """Bursts that take so long with each engine, and 13.3 times as long with Llama2-70B."""
    longer = {"llama2-7b": 1, "llama2-13b": 1, "llama2-70b": 40 / 3}
    cells = [
        served(project, engine, model, s * times) for engine, s in seconds.items() for model, times in longer.items()
    ]
    layout = load_study(project, {}).manifest("claims").layout | {"stand_ins": {"h200": []}}
    made = manifest(cells).model_copy(update={"layout": layout})
    found = {finding.claim_id: finding.verdict for finding in findings(made, project) if finding.claim.stage == "serve"}
    assert {name for name, verdict in found.items() if verdict is HOLDS} == hold
    assert {name for name, verdict in found.items() if verdict is UNCLEAR} == unclear
    assert len(found) == 11
    assert NOT_MEASURED not in found.values()


def test_claims_that_say_the_same_are_checked_in_other_words(project: Path) -> None:
    known = load_study(project, {}).catalog.claims.claims.values()
    told = [(claim.item, claim.says, check_text(claim)) for claim in known]
    assert len(set(told)) == len(told)
    assert len({(item, says) for item, says, _ in told}) < len(told)


def test_an_experiment_cannot_take_the_name_of_the_claims(project: Path) -> None:
    experiments = project / "config/experiments"
    (experiments / "table_III.yaml").rename(experiments / "claims.yaml")
    with pytest.raises(ConfigError, match=r"^config/experiments/claims.yaml: "):
        load_study(project, {})


def test_letters_of_a_claim_may_stand_in_any_order(project: Path) -> None:
    edit(project, PAPER, "method: Q", "method: R+F")
    claims = load_study(project, {}).manifest("claims").layout["claims"]
    assert claims["H01"]["where"]["method"] == "F+R"
