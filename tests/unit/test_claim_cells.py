"""Which cells decide a claim: outcomes, cases, platforms, and what is missing."""

from pathlib import Path

import pytest

import factories as make
from claim_cases import FAILS, FASTER, HOLDS, NOT_MEASURED, OOM, UNCLEAR, cell, claim, ended, manifest, only
from dissect.base.outcome import Phase, Status
from dissect.present.claims.claims_table import build_claims, findings
from dissect.present.claims.select import MORE_GPUS, OTHER_GPUS
from dissect.statistics.numbers import Verdict


@pytest.mark.parametrize(("others", "told"), [("ab", False), ("bc", False), ("cd", True), ("", False)])
def test_cells_of_different_gpus_are_told(tmp_path: Path, others: str, told: bool) -> None:
    """A difference between two machines of one platform must not pass for one between methods."""
    cells = [cell(tmp_path, "Z2", 0.1, gpus="ab"), cell(tmp_path, "Naive", 0.2, gpus=others)]
    found = only(tmp_path, manifest(cells, claim(FASTER)))
    assert found.verdict is HOLDS
    assert (OTHER_GPUS in found.cases[0].flags) is told


@pytest.mark.parametrize(("n_gpus", "told"), [(4, False), (8, True)])
def test_sides_of_different_numbers_of_gpus_are_told(tmp_path: Path, n_gpus: int, told: bool) -> None:
    cells = [cell(tmp_path, "Z2", 0.1, n_gpus=n_gpus), cell(tmp_path, "Naive", 0.2)]
    assert (MORE_GPUS in only(tmp_path, manifest(cells, claim(FASTER))).cases[0].flags) is told


def test_a_claim_must_say_which_cell_it_means(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    check = {"kind": "value", "quantity": "tokens_per_s", "low": 0}
    gap = only(tmp_path, manifest(cells, claim(check))).cases[0].gap
    assert gap is not None
    assert (gap.reason[:13], len(gap.missing)) == ("several cells", 2)


def test_what_is_said_of_a_machine_is_said_of_all_its_gpus(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1, n_gpus=1), cell(tmp_path, "Z2", 0.1, n_gpus=4), cell(tmp_path, "Naive", 0.2)]
    found = only(tmp_path, manifest(cells, claim(FASTER)))
    assert found.cases[0].keys == (cells[1].key, cells[2].key)


@pytest.mark.parametrize(
    ("status", "phase", "verdict", "text"),
    [
        (Status.OOM, Phase.BACKWARD, HOLDS, "OOM (backward)"),
        (Status.SKIPPED_OOM, None, HOLDS, "OOM: for a reason"),
        (Status.OK, None, FAILS, "it runs"),
        (Status.TIMEOUT, Phase.FORWARD, NOT_MEASURED, ""),
    ],
)
def test_running_out_of_memory_is_decided_from_outcomes(
    tmp_path: Path, status: Status, phase: Phase | None, verdict: Verdict, text: str
) -> None:
    one = cell(tmp_path, "Naive") if status is Status.OK else ended(tmp_path, "Naive", status, phase)
    found = only(tmp_path, manifest([one], claim(OOM)))
    assert (found.verdict, found.cases[0].text) == (verdict, text)
    opposite = only(tmp_path, manifest([one], claim(OOM | {"outcome": "ok"})))
    assert opposite.verdict is {HOLDS: FAILS, FAILS: HOLDS}.get(verdict, verdict)


@pytest.mark.parametrize(
    ("memory_gib", "status", "verdict"),
    [(24, Status.OOM, HOLDS), (24, Status.OK, UNCLEAR), (200, Status.OOM, UNCLEAR), (200, Status.OK, FAILS)],
)
def test_only_memory_that_tells_decides_whether_it_suffices(
    tmp_path: Path, memory_gib: int, status: Status, verdict: Verdict
) -> None:
    one = cell(tmp_path, "Naive") if status is Status.OK else ended(tmp_path, "Naive", status, Phase.BACKWARD)
    check = OOM | {"memory_gib": memory_gib}
    for outcome, expected in (("oom", verdict), ("ok", {HOLDS: FAILS, FAILS: HOLDS}.get(verdict, verdict))):
        found = only(tmp_path, manifest([one], claim(check | {"outcome": outcome})))
        assert found.verdict is expected
        assert ("141 GiB, which does not tell" in found.cases[0].text) is (verdict is UNCLEAR)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Naive")]
    gap = only(tmp_path, manifest(cells, claim(FASTER))).cases[0].gap
    assert gap is not None
    assert (gap.reason, gap.missing) == ("no experiment plans such a cell", ("pretrain/h200/llama2-7b/*/Z2/*-b1-*",))


@pytest.mark.parametrize("status", [Status.OOM, Status.TIMEOUT, Status.INVALID])
def test_an_outcome_in_place_of_a_number_decides_no_number(tmp_path: Path, status: Status) -> None:
    cells = [cell(tmp_path, "Naive"), ended(tmp_path, "Z2", status, Phase.BACKWARD)]
    found = only(tmp_path, manifest(cells, claim(FASTER)))
    assert found.verdict is NOT_MEASURED
    assert found.cases[0].gap is not None
    assert found.cases[0].gap.missing == (cells[1].id,)


def test_an_unsupported_cell_gives_its_reason(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Naive"), make.unsupported_cell("not implemented", method="Z2")]
    gap = only(tmp_path, manifest(cells, claim(FASTER))).cases[0].gap
    assert gap is not None
    assert gap.reason == "unsupported: not implemented"


def test_cases_hold_together(tmp_path: Path) -> None:
    """At batch 1 it holds, at 2 it does not, 4 is missing."""
    cells = [
        cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2),
        cell(tmp_path, "Z2", 0.3, batch=2), cell(tmp_path, "Naive", 0.2, batch=2),
    ]  # fmt: skip
    where = {"model": "llama2-7b", "batch": [1, 2, 4]}
    found = only(tmp_path, manifest(cells, claim(FASTER, where=where)))
    assert [case.verdict for case in found.cases] == [HOLDS, FAILS, NOT_MEASURED]
    assert [case.label for case in found.cases] == ["batch 1", "batch 2", "batch 4"]
    assert found.verdict is FAILS
    assert only(tmp_path, manifest(cells[:2], claim(FASTER, where=where))).verdict is HOLDS


def test_one_stand_in_for_two_models_decides_nothing(tmp_path: Path) -> None:
    check = FASTER | {"more": {"model": "llama2-7b"}, "less": {"model": "llama2-13b"}}
    made = manifest(
        [cell(tmp_path, "Z2", model="llama-tiny")], claim(check, where={"method": "Z2"}), stand_ins=["llama-tiny"]
    )
    gap = only(tmp_path, made).cases[0].gap
    assert gap is not None
    assert "runs in place of both" in gap.reason
    single = claim({"kind": "value", "quantity": "tokens_per_s", "low": 1}, where={"model": "llama2-7b"})
    assert only(tmp_path, manifest(made.cells, single, stand_ins=["llama-tiny"])).verdict is HOLDS


def test_platforms_that_a_claim_names_are_compared_once(tmp_path: Path) -> None:
    check = FASTER | {"more": {"platform": "rtx4090"}, "less": {"platform": "rtx3090"}}
    cells = [cell(tmp_path, "Z2", 0.1, platform="rtx4090"), cell(tmp_path, "Z2", 0.2, platform="rtx3090")]
    found = only(tmp_path, manifest(cells, claim(check, where={"method": "Z2"})))
    assert (found.verdict, found.platform) == (HOLDS, "rtx4090, rtx3090")
    lone = only(tmp_path, manifest(cells[:1], claim(check, where={"method": "Z2"}))).cases[0].gap
    assert lone is not None
    assert lone.missing == ("pretrain/rtx3090/*/*/Z2/*-*",)


def test_reference_results_are_a_platform_of_their_own(tmp_path: Path) -> None:
    own = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    theirs = [own[1].model_copy(update={"platform": "h200@lab", "reference": "lab"})]
    made = manifest(own, claim(FASTER))
    facts = {"h200@lab": make.PLATFORMS["h200"]}
    layout = made.layout | {"stand_ins": {"h200": [], "h200@lab": []}}
    both = made.model_copy(update={"cells": [*own, *theirs], "platforms": made.platforms | facts, "layout": layout})
    found = {f.platform: f for f in findings(both, tmp_path)}
    assert {name: each.verdict for name, each in found.items()} == {"h200": HOLDS, "h200@lab": NOT_MEASURED}
    assert found["h200@lab"].cases[0].gap.reason == "the reference results have no such cell"


def test_verdicts_on_a_platform_do_not_depend_on_results_of_others(tmp_path: Path) -> None:
    own = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.102)]
    others = [cell(tmp_path, "Z2", 0.1, platform="rtx4090"), cell(tmp_path, "Naive", 0.1, platform="rtx4090")]
    alone, beside = (
        {f.platform: f for f in findings(manifest(cells, claim(FASTER)), tmp_path)} for cells in (own, [*own, *others])
    )
    assert beside["rtx4090"].verdict is UNCLEAR
    assert alone["h200"].cases == beside["h200"].cases


def test_the_table_names_no_cells_that_reference_results_lack(tmp_path: Path) -> None:
    """A platform of theirs without a cell of any claim has no column."""
    own = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    theirs = [each.model_copy(update={"platform": "h200@lab", "reference": "lab"}) for each in own]
    other = own[1].model_copy(update={"platform": "h200@far", "reference": "far"})
    made = manifest(own, claim(FASTER), claim(FASTER | {"more": {"method": "F+Z2"}}))
    facts = {name: make.PLATFORMS["h200"].model_copy(update={"label": name}) for name in ("h200@lab", "h200@far")}
    layout = made.layout | {"stand_ins": {name: [] for name in ("h200", *facts)}}
    update = {"cells": [*own, *theirs, other], "platforms": made.platforms | facts, "layout": layout}
    page = build_claims(made.model_copy(update=update), tmp_path).markdown
    assert "h200@lab" in page
    assert "h200@far" not in page
    lacks = [line.partition("</sup> ")[2] for line in page.splitlines() if "not measured:" in line]
    assert lacks == [
        r"not measured: pretrain/h200/llama2-7b/\*/F+Z2/\*-b1-\* (no experiment plans such a cell)",
        "not measured: the reference results have no such cell",
    ]


def test_a_broken_cell_decides_nothing(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    (tmp_path / str(cells[0].path)).write_text("{")
    for given in (claim(FASTER), claim(OOM, where={"method": "Z2"})):
        finding = only(tmp_path, manifest(cells, given))
        assert finding.verdict == NOT_MEASURED
        assert finding.cases[0].gap is not None
        assert finding.cases[0].gap.reason.startswith("broken: results/cells/pretrain/h200/")
