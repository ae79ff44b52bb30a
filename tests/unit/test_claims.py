"""Verdicts on claims about numbers: every kind of check and every verdict."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claim_cases import DROP, FAILS, FASTER, HOLDS, NOT_MEASURED, SLOWER, UNCLEAR, cell, claim, ended, manifest, only
from dissect.base.outcome import Flag, Status
from dissect.config.claims import ValueCheck
from dissect.present.claims.claims_table import build_claims, check_text, findings
from dissect.present.claims.claims_text import claims_text
from dissect.present.claims.evidence import evidence_of, question_of
from dissect.present.claims.select import measure_of
from dissect.present.tables.over_runs import RUN_VALUES, ValueOfRun
from dissect.present.tables.views import VIEWS
from dissect.statistics.bounds import check_all
from dissect.statistics.numbers import Number, Verdict, change, detectable_words, difference, ratio, together, within


@pytest.mark.parametrize(
    ("z2", "naive", "verdict", "text"),
    [
        (0.1, 0.2, HOLDS, "14,000 tokens/s > 7,000 tokens/s, 2.000 [1.998–2.002] × (runs 5 and 5; "),
        (0.2, 0.1, FAILS, "7,000 tokens/s < 14,000 tokens/s, 0.500 [0.499–0.501] × (runs 5 and 5; "),
        (0.2, 0.2, UNCLEAR, "7,000 tokens/s against 7,000 tokens/s, 1.000 [0.999–1.001] × (runs 5 and 5; "),
    ],
)
def test_an_ordering_is_decided_by_the_interval_of_the_ratio(
    tmp_path: Path, z2: float, naive: float, verdict: Verdict, text: str
) -> None:
    cells = [cell(tmp_path, "Z2", z2), cell(tmp_path, "Naive", naive)]
    found = only(tmp_path, manifest(cells, claim(FASTER))).cases[0]
    assert (found.verdict, found.text[: len(text)]) == (verdict, text)
    assert found.text.endswith("known starts 1 and 1; 5 shared rounds of 1 start, this start only; detectable 1.00 ×)")
    assert found.keys == (cells[0].key, cells[1].key)
    sides = ",".join(f"pretrain/h200/llama2-7b/deepspeed/{method}/seq350-bs1-gpus4" for method in ("Z2", "Naive"))
    command = f"snakemake remeasure --config select='[{sides}]' suite=smoke more=5"
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


@pytest.mark.parametrize(
    ("seconds", "kind", "told"),
    [(0.1, "change", r"50\.0 \[4\d\.\d+–5\d\.\d+\] % shorter \("), (0.3, "change", r"50\.0 \[.*\] % longer \("),
     (0.1, "difference", r"100\.0 \[.*\] ms shorter \(")],
)  # fmt: skip
def test_the_sign_of_a_change_is_a_word(tmp_path: Path, seconds: float, kind: str, told: str) -> None:
    cells = [cell(tmp_path, "Z2", seconds), cell(tmp_path, "Naive", 0.2)]
    [case] = only(tmp_path, manifest(cells, claim(DROP | {"kind": kind, "high": 1000}))).cases
    assert re.match(told, case.text), case.text


def test_each_end_of_a_change_that_may_be_none_has_its_word(tmp_path: Path) -> None:
    """Rather than "-20 % shorter": the runs say neither that steps are shorter nor that they are longer."""
    spread = (0.5, 2.0, 1.0, 0.7, 1.4)
    cells = [cell(tmp_path, "Z2", 0.19, spread=spread), cell(tmp_path, "Naive", 0.2, spread=spread[::-1])]
    [case] = only(tmp_path, manifest(cells, claim(DROP | {"high": 0}))).cases
    assert re.match(r"5\.\d+ % shorter \[from \d\S* % shorter to \d\S* % longer\] \(", case.text), case.text


@pytest.mark.parametrize("kind", ["difference", "change", "ratio"])
def test_numbers_of_different_starts_tell_nothing_of_their_cells(tmp_path: Path, kind: str) -> None:
    """How starts differ is in neither interval, whatever the kind of the check."""
    cells = [cell(tmp_path, "Z2", 0.1, start="a"), cell(tmp_path, "Naive", 0.2, start="b")]
    found = only(tmp_path, manifest(cells, claim(DROP | {"kind": kind, "high": 1000}))).cases[0]
    assert found.verdict is UNCLEAR
    assert found.evidence
    assert found.evidence.result.low is None
    assert "share" in found.evidence.basis


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


def test_no_share_exceeds_the_whole() -> None:
    """Two runs tell little of a share, but not that the GPU may be idle for more than all of the time."""
    values = [ValueOfRun(share, "a", None) for share in (0.6, 0.8)]
    row = {"idle_share": 0.7, RUN_VALUES: {"idle_share": values}}
    side = measure_of("idle_share", VIEWS["phases"]).read([row])
    assert side is not None
    check = ValueCheck(kind="value", quantity="idle_share", high=10)
    question = question_of(check, [side])
    assert question is not None
    [answer] = check_all([question])
    assert answer.high is not None
    assert answer.high > 1
    assert evidence_of(check, [side], answer).result.high == 100


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Number(1.37, 1.0024, 1.88), "1.370 [1.002–1.880] ×"),
        (Number(1.37, 1.03, 1.88), "1.37 [1.03–1.88] ×"),
        (Number(1.37, 0.9999, 5e22), "1.3700 [0.9999–∞] ×"),
        (Number(1.37, 0.5, math.inf), "1.37 [0.50–∞] ×"),
    ],
)
def test_an_end_that_decides_is_told_from_one_and_a_far_one_says_nothing(number: Number, text: str) -> None:
    assert number.show("×", bound=1) == text


@pytest.mark.parametrize(
    ("ratio", "words"), [(None, ""), (1.256, "detectable 1.26 ×"), (99.996, "not even 100 × detectable")]
)
def test_what_would_have_been_detected_in_words(ratio: float | None, words: str) -> None:
    assert detectable_words(ratio) == words


def test_the_best_of_several_settings_is_compared_and_named(tmp_path: Path) -> None:
    asked = {"kind": "ordering", "quantity": "tokens_per_s", "more": {"method": "Naive"}, "less": {"method": "Z2"}}
    asked["best"] = {"more": [{"method": "Q"}, {"method": "R"}]}
    cells = [cell(tmp_path, "Naive", 0.3), cell(tmp_path, "Z2", 0.2), cell(tmp_path, "Q", 0.1)]
    cells.append(ended(tmp_path, "R", Status.OOM))
    found = only(tmp_path, manifest(cells, claim(asked)))
    assert check_text(found.claim) == "Throughput (tokens/s): Naive or Q or R above Z2"
    assert (found.verdict, [case.label for case in found.cases]) == (HOLDS, ["Q"])
    assert {*found.cases[0].keys} == {cells[1].key, cells[2].key}
    assert only(tmp_path, manifest(cells[1:2], claim(asked))).verdict is NOT_MEASURED


def test_the_best_of_several_settings_is_not_known_before_all_are_measured(tmp_path: Path) -> None:
    asked = {"kind": "ordering", "quantity": "tokens_per_s", "more": {"method": "Naive"}, "less": {"method": "Z2"}}
    asked["best"] = {"more": [{"method": "Q"}, {"method": "R"}]}
    cells = [cell(tmp_path, "Naive", 0.3), cell(tmp_path, "Z2", 0.2), ended(tmp_path, "R", Status.OOM)]
    (case,) = only(tmp_path, manifest(cells, claim(asked))).cases
    assert case.verdict is NOT_MEASURED
    assert case.gap is not None
    assert case.gap.missing == ("pretrain/h200/llama2-7b/*/Q/*-b1-*",)


def test_the_table_says_it_all(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "Z2", 0.1, flags=[Flag.THROTTLED]), cell(tmp_path, "Naive", 0.2)]
    between = claim(FASTER | {"more": {"platform": "h200"}, "less": {"platform": "a800"}}, where={"method": "Z2"})
    table = build_claims(manifest(cells, claim(FASTER), between), tmp_path)
    row = next(line for line in table.markdown.splitlines() if line.startswith("| H00"))
    assert "holds: 14,000 tokens/s \\> 7,000 tokens/s, 2.000 [1.998–2.002] ×" in row
    assert "5 shared rounds of 1 start, this start only; detectable 1.00 ×)<sup>a</sup>" in row
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


NOISY = (0.8, 1.25, 1.0, 0.9, 1.1)
"""Runs that wall time cannot tell from others."""


def traced(seconds: float, runs: int = 5) -> list[float]:
    """Device times of so many runs."""
    return [seconds * factor for factor in (1.0, 1.001, 0.999, 1.0005, 0.9995)[:runs]]


@pytest.mark.parametrize(
    ("check", "z2", "naive", "verdict"),
    [
        (FASTER, 0.05, 0.06, HOLDS),
        (FASTER, 0.06, 0.05, FAILS),
        (FASTER, 0.05, 0.05, UNCLEAR),
        # It orders speeds; how far apart wall times are it does not say.
        (SLOWER | {"low": 0.8, "high": 0.9}, 0.05, 0.06, UNCLEAR),
        (SLOWER | {"low": 0.5, "high": 0.7}, 0.05, 0.06, UNCLEAR),
        (DROP | {"high": -10}, 0.05, 0.06, UNCLEAR),
    ],
)
def test_device_time_decides_where_wall_time_cannot_tell(
    tmp_path: Path, check: dict[str, Any], z2: float, naive: float, verdict: Verdict
) -> None:
    cells = [
        cell(tmp_path, "Z2", 0.2, spread=NOISY, device=traced(z2)),
        cell(tmp_path, "Naive", 0.2, spread=NOISY[::-1], device=traced(naive)),
    ]
    [case] = only(tmp_path, manifest(cells, claim(check))).cases
    assert case.verdict is verdict
    assert case.evidence is not None
    assert ("; on device time: " in case.text) is (verdict is not UNCLEAR)
    assert case.evidence.basis.startswith("on device time: 5 shared rounds") is (verdict is not UNCLEAR)
    assert bool(case.remedy) is (verdict is UNCLEAR)


def test_what_wall_time_tells_stands(tmp_path: Path) -> None:
    cells = [
        cell(tmp_path, "Z2", 0.1, device=traced(0.06)),
        cell(tmp_path, "Naive", 0.2, device=traced(0.05)),
    ]
    [case] = only(tmp_path, manifest(cells, claim(FASTER))).cases
    assert case.verdict is HOLDS
    assert "device" not in case.text


def test_runs_are_those_that_have_the_number(tmp_path: Path) -> None:
    """Five runs have a wall time, three and four of them a device time."""
    cells = [
        cell(tmp_path, "Z2", 0.2, spread=NOISY, device=traced(0.05, 3)),
        cell(tmp_path, "Naive", 0.2, spread=NOISY[::-1], device=traced(0.06, 4)),
    ]
    [case] = only(tmp_path, manifest(cells, claim(FASTER))).cases
    assert case.verdict is HOLDS
    assert case.evidence is not None
    assert case.evidence.runs == (3, 4)
    wall, device = case.text.split("; on device time: ")
    assert "(runs 5 and 5;" in wall
    assert "(runs 3 and 4;" in device


def test_device_time_tells_nothing_where_the_host_does_a_part_of_the_step(tmp_path: Path) -> None:
    cells = [
        cell(tmp_path, "Z2", 0.2, spread=NOISY, device=traced(0.05), offload_optimizer=True),
        cell(tmp_path, "Naive", 0.2, spread=NOISY[::-1], device=traced(0.06)),
    ]
    assert only(tmp_path, manifest(cells, claim(FASTER))).verdict is UNCLEAR


def test_cases_with_another_verdict_than_their_claim_show_it(tmp_path: Path) -> None:
    where = {"model": ["llama2-7b", "llama2-13b", "llama2-70b"], "batch": 1}
    times = {"llama2-7b": (0.1, 0.2), "llama2-13b": (0.2, 0.2)}
    cells = [
        cell(tmp_path, method, time, model=model)
        for model, both in times.items()
        for method, time in zip(("Z2", "Naive"), both, strict=True)
    ]
    found = only(tmp_path, manifest(cells, claim(FASTER, where=where)))
    assert found.verdict is UNCLEAR
    assert [case.label for case in found.others] == ["llama2-7b"], "70B is not measured"
    assert claims_text([found]).splitlines()[3].endswith("Z2 above Naive (holds for llama2-7b)")
    table = build_claims(manifest(cells, claim(FASTER, where=where)), tmp_path).markdown
    assert "cannot tell: llama2-7b: holds, 14,000 tokens/s " in table
    assert "; llama2-13b: cannot tell, 7,000 tokens/s against " in table
    alike = only(tmp_path, manifest(cells[:2], claim(FASTER, where=where)))
    assert claims_text([alike]).splitlines()[3].endswith("Z2 above Naive")
    table = build_claims(manifest(cells[:2], claim(FASTER, where=where)), tmp_path).markdown
    assert "holds: llama2-7b: 14,000 " in table
    more = replace(found, cases=[*found.cases[1:2], *found.cases[:1] * 3])
    assert claims_text([more]).splitlines()[3].endswith("(holds for 3 of 4 cases)")
