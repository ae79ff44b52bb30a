"""Verdicts on claims: every kind of check, every verdict, and every reason why there is none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.manifest import Manifest, ManifestCell
from dissect.cells.study import load_study
from dissect.config.claims import Claim
from dissect.config.errors import ConfigError
from dissect.present.claims.claims_table import build_claims, findings
from dissect.present.claims.decide import Finding
from dissect.present.claims.select import OTHER_GPUS, measure_of
from dissect.present.tables.over_runs import RUN_VALUES, ValueOfRun
from dissect.present.tables.views import VIEWS
from dissect.statistics.numbers import Number, Verdict, change, difference, ratio, together, within

HOLDS, FAILS, UNCLEAR, NOT_MEASURED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNCLEAR, Verdict.NOT_MEASURED
PAPER = "config/references/paper.yaml"
FASTER = {"kind": "ordering", "quantity": "tokens_per_s", "more": {"method": "Z2"}, "less": {"method": "Naive"}}
SLOWER = {"kind": "ratio", "quantity": "tokens_per_s", "of": {"method": "Naive"}, "to": {"method": "Z2"}}
DROP = {"kind": "change", "quantity": "step_time_s", "of": {"method": "Z2"}, "to": {"method": "Naive"}}
OOM = {"kind": "outcome", "outcome": "oom"}


def claim(check: dict[str, Any], **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "item": "Table III", "says": "Z2 is faster.", "stated_for": "A800", "certainty": "S", "source": "S1",
        "stage": "pretrain", "where": {"model": "llama2-7b", "batch": 1}, "check": check,
    }  # fmt: skip
    return Claim.model_validate(fields | changes)


def manifest(cells: list[ManifestCell], *claims: Claim, stand_ins: Sequence[str] = ()) -> Manifest:
    made = make.manifest("claims", cells, {})
    layout = {
        "kind": "claims",
        "claims": {f"H{number:02}": each.model_dump() for number, each in enumerate(claims)},
        "stand_ins": {platform: list(stand_ins) for platform in made.platforms},
    }
    return made.model_copy(update={"layout": layout})


def cell(project: Path, method: str, step_time_s: float = 0.2, **changes: Any) -> ManifestCell:
    """A cell in five runs on each start, in rounds, whose step times lie within 1 % of this one times the start's."""
    platform, model = changes.pop("platform", "h200"), changes.pop("model", "llama2-7b")
    flags, on = changes.pop("flags", None) or [], make.hardware(n_gpus=changes.pop("n_gpus", 4))
    gpus, spread = [make.gpu(uuid) for uuid in changes.pop("gpus", ())], changes.pop("spread", make.SPREAD)
    names = changes.pop("start", "a")
    factors = changes.pop("factors", (1.0,) * len(names))
    zero = 2 if method == "Z2" else 0
    spec = make.pretrain_spec(on, zero_stage=zero, quantization="nf4" if method == "Q" else "none", **changes)
    found = []
    for name, factor in zip(names, factors, strict=True):
        found += make.in_rounds(make.training_runs(spec, step_time_s * factor, spread), name)
    runs = []
    for run in found:
        provenance = run.provenance and run.provenance.model_copy(update={"gpus": gpus})
        runs.append(run.model_copy(update={"flags": flags, "provenance": provenance}))
    return make.published_cell(project, *runs, platform=platform, method=method, model=model)


def ended(project: Path, method: str, status: Status, phase: Phase | None = None, batch: int = 1) -> ManifestCell:
    spec = make.pretrain_spec(zero_stage=2 if method == "Z2" else 0, batch=batch)
    result = make.ended_result(spec, status, phase, "for a reason")
    return make.published_cell(project, result, platform="h200", method=method)


def only(project: Path, made: Manifest) -> Finding:
    (finding,) = findings(made, project)
    return finding


@pytest.mark.parametrize(
    ("z2", "naive", "verdict", "text"),
    [
        (0.1, 0.2, HOLDS, "14,000 tokens/s > 7,000 tokens/s, 2.000 [1.998–2.002] × (runs 5 and 5; "),
        (0.2, 0.1, FAILS, "7,000 tokens/s < 14,000 tokens/s, 0.500 [0.499–0.501] × (runs 5 and 5; "),
        (0.2, 0.2, UNCLEAR, "7,000 tokens/s ≈ 7,000 tokens/s, 1.000 [0.999–1.001] × (runs 5 and 5; "),
    ],
)
def test_an_ordering_is_decided_by_the_interval_of_the_ratio(
    tmp_path: Path, z2: float, naive: float, verdict: Verdict, text: str
) -> None:
    cells = [cell(tmp_path, "Z2", z2), cell(tmp_path, "Naive", naive)]
    found = only(tmp_path, manifest(cells, claim(FASTER))).cases[0]
    assert (found.verdict, found.text[: len(text)]) == (verdict, text)
    assert found.text.endswith("known starts 1 and 1; shared rounds; detectable 1.00 ×)")
    assert found.keys == (cells[0].key, cells[1].key)
    sides = ",".join(f"pretrain/h200/llama2-7b/deepspeed/{method}/seq350-bs1-gpus4" for method in ("Z2", "Naive"))
    command = f"snakemake remeasure --config select='[{sides}]' more=5"
    assert found.remedy == (command if verdict is UNCLEAR else "")


@pytest.mark.parametrize("spread", [(1.0,), (0.8, 1.25, 1.0, 0.9, 1.1)])
def test_what_runs_do_not_tell_is_not_decided(tmp_path: Path, spread: tuple[float, ...]) -> None:
    """One run, or runs that differ by more than the cells: however far the two values are apart."""
    cells = [cell(tmp_path, "Z2", 0.19, spread=spread), cell(tmp_path, "Naive", 0.2, spread=spread[::-1])]
    bound = {"kind": "value", "quantity": "tokens_per_s", "low": 1}
    one, value = findings(
        manifest(cells, claim(FASTER), claim(bound, where={"model": "llama2-7b", "method": "Z2"})), tmp_path
    )
    assert one.verdict is UNCLEAR
    assert one.cases[0].remedy.startswith("snakemake remeasure ")
    assert value.verdict is (UNCLEAR if len(spread) == 1 else HOLDS)
    assert ("a side has one run" in one.cases[0].text) is (len(spread) == 1)


def test_no_decided_number_has_an_interval_of_no_width(tmp_path: Path) -> None:
    """Equal to the byte in all runs, as memory is: it is not believed beyond the resolution of runs."""
    check = {"kind": "value", "quantity": "peak_memory_gib", "low": 61, "high": 62}
    found = only(tmp_path, manifest([cell(tmp_path, "Z2")], claim(check))).cases[0]
    assert found.verdict is HOLDS
    assert found.evidence is not None
    assert found.evidence.result.low is not None
    assert found.evidence.result.high is not None
    assert found.evidence.result.low < found.evidence.result.high


def test_many_claims_are_decided_with_more_caution_than_one(tmp_path: Path) -> None:
    """The error rate is one of the table: a claim that alone holds by a little is not clear beside many that do not."""
    apart = (0.98, 1.02, 1.0, 0.99, 1.01)
    near = [cell(tmp_path, "Z2", 0.1968, spread=apart), cell(tmp_path, "Naive", 0.2, spread=apart[::-1])]
    assert only(tmp_path, manifest(near, claim(FASTER))).verdict is UNCLEAR
    clearer = [cell(tmp_path, "Z2", 0.19, spread=apart), cell(tmp_path, "Naive", 0.2, spread=apart[::-1])]
    alone = only(tmp_path, manifest(clearer, claim(FASTER)))
    assert alone.verdict is HOLDS
    others = [cell(tmp_path, method, 0.2, batch=2, spread=s) for method, s in (("Z2", apart), ("Naive", apart[::-1]))]
    open_ones = [claim(FASTER, where={"model": "llama2-7b", "batch": 2}) for _ in range(20)]
    first, *rest = findings(manifest([*clearer, *others], claim(FASTER), *open_ones), tmp_path)
    assert {each.verdict for each in rest} == {UNCLEAR}
    assert first.verdict is UNCLEAR


@pytest.mark.parametrize(
    ("check", "expected", "verdict"),
    [
        (SLOWER, {"about": 0.5, "tolerance": 0.05}, HOLDS),
        (SLOWER, {"low": 0.5}, UNCLEAR),
        (SLOWER, {"low": 0.6}, FAILS),
        (SLOWER, {"low": 0.3, "high": 0.6}, HOLDS),
        (DROP, {"about": -50, "tolerance": 5}, HOLDS),
        (DROP, {"high": -60}, FAILS),
        (DROP | {"kind": "difference"}, {"about": -100, "tolerance": 10}, HOLDS),
    ],
)
def test_numbers_against_what_is_expected(
    tmp_path: Path, check: dict[str, Any], expected: dict[str, float], verdict: Verdict
) -> None:
    """The step takes 0.1 s with Z2 and 0.2 s without, so 100 ms less; units are those of tables."""
    cells = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    found = only(tmp_path, manifest(cells, claim(check | expected)))
    assert found.verdict is verdict


@pytest.mark.parametrize("kind", ["difference", "change", "ratio"])
def test_numbers_of_different_starts_tell_nothing_of_their_cells(tmp_path: Path, kind: str) -> None:
    """How starts differ is in neither interval, whatever the kind of the check."""
    cells = [cell(tmp_path, "Z2", 0.1, start="a"), cell(tmp_path, "Naive", 0.2, start="b")]
    found = only(tmp_path, manifest(cells, claim(DROP | {"kind": kind, "high": 1000}))).cases[0]
    assert found.verdict is UNCLEAR
    assert found.evidence
    assert found.evidence.result.low is None
    assert "share" in found.evidence.basis


@pytest.mark.parametrize(("others", "told"), [("ab", False), ("bc", False), ("cd", True), ("", False)])
def test_cells_of_different_gpus_are_told(tmp_path: Path, others: str, told: bool) -> None:
    """A difference between two machines of one platform must not pass for one between methods."""
    cells = [cell(tmp_path, "Z2", 0.1, gpus="ab"), cell(tmp_path, "Naive", 0.2, gpus=others)]
    found = only(tmp_path, manifest(cells, claim(FASTER)))
    assert found.verdict is HOLDS
    assert (OTHER_GPUS in found.cases[0].flags) is told


def test_a_claim_must_say_which_cell_it_means(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    check = {"kind": "value", "quantity": "tokens_per_s", "low": 0}
    gap = only(tmp_path, manifest(cells, claim(check))).cases[0].gap
    assert gap is not None
    assert (gap.reason[:13], len(gap.missing)) == ("several cells", 2)


@pytest.mark.parametrize(("eight", "verdict"), [(0.22, HOLDS), (0.3, FAILS), (0.2277, UNCLEAR)])
def test_scaling_efficiency_reads_all_counts(tmp_path: Path, eight: float, verdict: Verdict) -> None:
    """As Figure 4: per GPU at the most GPUs over the fewest; 0.2 s on one and 0.22 s on eight are 90.9 %."""
    cells = [cell(tmp_path, "Q", seconds, n_gpus=n) for n, seconds in ((8, eight), (1, 0.2), (4, 0.25))]
    check = {"kind": "value", "quantity": "scaling_efficiency", "about": 90.8, "tolerance": 3}
    found = only(tmp_path, manifest(cells, claim(check, where={"method": "Q"})))
    assert found.verdict is verdict


def test_compute_share_without_exposed_communication() -> None:
    """Of 10 ms, 2 ms only communicate and 6 ms compute: 75 %."""
    measure = measure_of("overlapped_compute_share", VIEWS["phases"])
    values = {"phase_time_s": 0.01, "communication_exposed_s": 0.002, "compute_time_s": 0.006}

    def read(**changes: float) -> Any:
        return measure.read([{RUN_VALUES: {n: [ValueOfRun(v, "a", None)] for n, v in (values | changes).items()}}])

    assert read().number.value == pytest.approx(75)
    assert [each.value for each in read().of] == pytest.approx([0.75])
    assert read(communication_exposed_s=0.01) is None


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


def test_a_broken_cell_decides_nothing(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1), cell(tmp_path, "Naive", 0.2)]
    (tmp_path / str(cells[0].path)).write_text("{")
    for given in (claim(FASTER), claim(OOM, where={"method": "Z2"})):
        finding = only(tmp_path, manifest(cells, given))
        assert finding.verdict == NOT_MEASURED
        assert finding.cases[0].gap is not None
        assert finding.cases[0].gap.reason.startswith("broken: results/cells/pretrain/h200/")


def test_the_table_says_it_all(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1, flags=[Flag.THROTTLED]), cell(tmp_path, "Naive", 0.2)]
    between = claim(FASTER | {"more": {"platform": "h200"}, "less": {"platform": "a800"}}, where={"method": "Z2"})
    table = build_claims(manifest(cells, claim(FASTER), between), tmp_path)
    row = next(line for line in table.markdown.splitlines() if line.startswith("| H00"))
    assert "holds: 14,000 tokens/s \\> 7,000 tokens/s, 2.000 [1.998–2.002] ×" in row
    assert "shared rounds; detectable 1.00 ×)<sup>a</sup>" in row
    assert "Throughput (tokens/s): Z2 above Naive" in row
    assert "<sup>a</sup> a GPU throttled during the measured window" in table.markdown
    assert "not measured: pretrain/a800/\\*/\\*/Z2/\\*-\\* (no experiment plans such a cell)" in table.markdown
    header, first, second = (line.split(",") for line in table.csv.splitlines())
    assert dict(zip(header, first, strict=False))["id"] == "H00"
    assert "not measured" in second
    assert table.latex.count(r"\begin{table*}") == 2


def test_arithmetic_takes_the_widest_interval() -> None:
    a, b = Number(4, 3, 5), Number(2, 1, 2.5)
    assert ratio(a, b) == Number(2, 3 / 2.5, 5)
    assert change(a, b).value == 100
    assert difference(a, b) == Number(2, 0.5, 4)
    assert ratio(a, Number(0, 0, 1)) == Number(float("inf"), 3, float("inf"))
    assert difference(a, Number(2)) == Number(2, None, None)
    assert within(Number(4), None, 5) is UNCLEAR, "no interval decides nothing"
    assert within(a, 3, 5) is HOLDS
    assert within(a, None, 2) is FAILS
    assert together([]) is NOT_MEASURED
    assert together([NOT_MEASURED, HOLDS, UNCLEAR]) is UNCLEAR


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
        *((framework, "Naive", batch, 2) for framework in ("megatron", "deepspeed") for batch in (1, 2, "max")),
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


def test_an_experiment_cannot_take_the_name_of_the_claims(project: Path) -> None:
    experiments = project / "config/experiments"
    (experiments / "table_III.yaml").rename(experiments / "claims.yaml")
    with pytest.raises(ConfigError, match=r"^config/experiments/claims.yaml: "):
        load_study(project, {})


def test_letters_of_a_claim_may_stand_in_any_order(project: Path) -> None:
    edit(project, PAPER, "method: Q", "method: R+F")
    claims = load_study(project, {}).manifest("claims").layout["claims"]
    assert claims["H01"]["where"]["method"] == "F+R"


def test_cells_of_other_starts_compare_by_how_starts_of_their_class_differ(tmp_path: Path) -> None:
    """Nothing is shared: two starts of other cells tell how far starts differ, and how little that is."""
    apart = [cell(tmp_path, "Z2", 0.1, start="a"), cell(tmp_path, "Naive", 0.2, start="b")]
    assert only(tmp_path, manifest(apart, claim(FASTER))).verdict is UNCLEAR
    several = [cell(tmp_path, "Q", 0.2, batch=batch, start="abcdef") for batch in range(1, 5)]
    found = only(tmp_path, manifest([*apart, *several], claim(FASTER)))
    assert found.verdict is HOLDS
    assert "no shared start" in found.cases[0].text
    slow = [
        cell(tmp_path, "Q", 0.2, batch=batch, start="abcdef", factors=(1, 3, 0.4, 2, 0.5, 1)) for batch in range(1, 5)
    ]
    assert only(tmp_path, manifest([*apart, *slow], claim(FASTER))).verdict is UNCLEAR
