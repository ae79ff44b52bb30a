"""Platforms whose processes are held to less memory than the cards have: what is told, and what their cells decide."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.frameworks import state_bytes
from dissect.cells.spec import ServeSpec, TrainingSpec
from dissect.cells.study import Study, load_study
from dissect.config.claims import Claim
from dissect.config.errors import ConfigError
from dissect.machine.gpus import GpuInfo
from dissect.machine.node import look_at_node
from dissect.machine.nvidia import allocator_share
from dissect.present.claims.claims_table import findings
from dissect.present.tables.table import build_table
from dissect.results.store import Store
from dissect.stages.training.other_cells import certain_oom
from dissect.statistics.numbers import Verdict
from factories import GIB

HELD = {
    "h100-24g": "h100", "h100-x2-24g": "h100-x2", "h100-x4-24g": "h100-x4", "h200-24g": "h200", "h200-x4-24g": "h200-x4"
}  # fmt: skip


def study(project: Path, *platforms: str) -> Study:
    return load_study(project, {"platforms": list(platforms), "suite": "full"})


def cell(made: Study, table: str, ending: str) -> Cell:
    return next(cell for cell in made.experiments[table] if cell.id.endswith(ending))


@pytest.mark.parametrize(("held", "whole"), HELD.items())
def test_a_spec_holds_what_processes_are_held_to_and_what_the_card_has(project: Path, held: str, whole: str) -> None:
    made = study(project, held, whole)
    ones, others = (
        {cell.id.replace(name, "-"): parse_spec(cell.canonical).hardware for cell in made.experiments["table_III"]
         if cell.platform == name and cell.canonical} for name in (held, whole)
    )  # fmt: skip
    assert ones.keys() == others.keys()
    for name, one in ones.items():
        assert one.device_memory_bytes == 24 * GIB
        assert one.card_memory_bytes == others[name].device_memory_bytes
        assert others[name].card_memory_bytes is None


def test_what_cannot_fit_is_told_without_trying(project: Path) -> None:
    made = study(project, "h100-x2-24g")
    spec = parse_spec(cell(made, "table_II", "llama2-7b/ddp/Naive/s350-b1-n2").canonical or "")
    assert isinstance(spec, TrainingSpec)
    assert state_bytes(spec) > 24 * GIB
    assert "24.00 GiB are available" in str(certain_oom(spec, Store(project / "store")))


def test_servers_are_told_their_share_of_the_card(project: Path) -> None:
    made = study(project, "h100-24g")
    served = [c for cells in made.experiments.values() for c in cells if c.stage == "serve" and c.canonical]
    specs = [spec for c in served if isinstance(spec := parse_spec(c.canonical or ""), ServeSpec)]
    assert specs
    assert {round(spec.settings.memory_share or 0, 6) for spec in specs} == {round(0.9 * 24 / 79.6, 6)}


def test_tables_say_so(project: Path) -> None:
    facts = study(project, "h100-24g", "h100").manifest("table_III").platforms
    assert (facts["h100-24g"].label, facts["h100-24g"].gpu_label) == ("H100 held to 24 GiB", "H100-80G held to 24 GiB")
    assert (facts["h100-24g"].memory_is_held, facts["h100"].memory_is_held) == (True, False)
    assert study(project, "h100-24g").manifest("table_I").platforms["h100-24g"].label == "H100 held to 24 GiB"


def held_cell(project: Path, status: Status = Status.OK) -> Any:
    on = make.hardware(n_gpus=2).model_copy(update={"device_memory_bytes": 24 * GIB, "card_memory_bytes": 80 * GIB})
    spec = make.pretrain_spec(on)
    full = make.ended_result(spec, Status.OOM, Phase.BACKWARD, "CUDA out of memory")
    runs = make.training_runs(spec, 0.2) if status is Status.OK else [full]
    return make.published_cell(project, *runs, platform="h100-24g", method="Naive")


def shown(made: Any, **layout: Any) -> Any:
    return make.manifest("claims" if "claims" in layout else "table_III", [made], layout)


def test_a_remark_says_what_the_numbers_are_good_for(tmp_path: Path) -> None:
    table = build_table(shown(held_cell(tmp_path), kind="pivot", rows=["method"]), tmp_path)
    assert (
        "H100 held to 24 GiB: outcomes and memory are those of a smaller card, speeds are those of no card."
        in table.markdown
    )


@pytest.mark.parametrize(
    ("check", "status", "verdict"),
    [
        ({"kind": "outcome", "outcome": "oom", "memory_gib": 24}, Status.OOM, Verdict.HOLDS),
        ({"kind": "outcome", "outcome": "ok", "memory_gib": 24}, Status.OK, Verdict.HOLDS),
        ({"kind": "value", "quantity": "paper_memory_gib", "low": 1}, Status.OK, Verdict.HOLDS),
        ({"kind": "value", "quantity": "tokens_per_s", "low": 1}, Status.OK, Verdict.NOT_MEASURED),
    ],
)
def test_claims_on_fitting_are_decided_and_claims_on_speed_never(
    tmp_path: Path, check: dict[str, Any], status: Status, verdict: Verdict
) -> None:
    fields = {"item": "Table II", "says": "It is so.", "stated_for": "RTX4090", "certainty": "S", "source": "S1"}
    where = {"model": "llama2-7b", "method": "Naive", "batch": 1}
    claim = Claim.model_validate(fields | {"stage": "pretrain", "where": where, "check": check})
    layout = {"claims": {"H1": claim.model_dump()}, "suite": "smoke", "stand_ins": {"h100-24g": []}}
    (found,) = findings(shown(held_cell(tmp_path, status), kind="claims", **layout), tmp_path)
    assert found.verdict is verdict
    if verdict is Verdict.NOT_MEASURED:
        assert found.cases[0].gap is not None
        assert found.cases[0].gap.reason == "memory is held, so the speed is that of no card"


@pytest.mark.parametrize(
    ("budget", "outside", "share"),
    [
        (24, 1, 23 / 80),  # context and NCCL's buffers count
        (24, 30, 0.0),
        (79.6, 1, None),  # a card as declared
        (73, 1, None),  # within what datasheets round
        (72, 0, 0.9),
    ],
)
def test_the_allocator_s_share_of_the_card(budget: float, outside: float, share: float | None) -> None:
    found = allocator_share(int(budget * GIB), 80 * GIB, int(outside * GIB))
    assert found == (None if share is None else pytest.approx(share))


def test_a_held_card_is_no_other_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = GpuInfo(
        index=0, name="NVIDIA H200", uuid="GPU-1", driver="580", memory_bytes=140 * GIB, power_limit_w=None, links={},
        pids=frozenset(),
    )  # fmt: skip
    monkeypatch.setattr("dissect.machine.node.vendor_of", lambda _: SimpleNamespace(find_gpus=lambda: [gpu]))
    held = {"device_memory_bytes": 24 * GIB, "n_gpus": 1}
    on = make.hardware().model_copy(update={**held, "card_memory_bytes": 140 * GIB})
    assert look_at_node(on).mismatch is None
    assert "24.0 GiB are declared" in str(look_at_node(on.model_copy(update={"card_memory_bytes": None})).mismatch)


@pytest.mark.parametrize(
    ("platform", "budget", "words"),
    [("h100", 79, "expected at most 90% of 'gpu.memory_gib' (79.6)"), ("cpu", 0.1, "is for GPUs")],
)
def test_a_wrong_budget_is_an_error(project: Path, platform: str, budget: float, words: str) -> None:
    file = project / f"config/platforms/{platform}.yaml"
    file.write_text(file.read_text() + f"memory_budget_gib: {budget}\n")
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace(")", r"\)")):
        study(project, platform)
