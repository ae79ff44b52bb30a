"""Two sets of cells side by side: verdicts, and what differs."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.answers import comparing
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.study import load_study
from dissect.present.compare.comparison_text import (
    DIFFERENCE_COLUMNS,
    LINE_COLUMNS,
    differences_frame,
    lines_frame,
    page,
    terminal_text,
)
from dissect.present.compare.pairs import Compared, PairVerdict, compare
from dissect.present.compare.readings import readings_of
from dissect.present.compare.reasons import differences
from dissect.present.compare.sides import Side
from dissect.present.remeasure_command import remeasure
from dissect.results.cell_runs import CellRuns

CELL = "pretrain/h200/llama2-7b/deepspeed/{}/s350-b1-n4"
MARGIN = 0.05
DDP = ("pretrain/cpu/*/ddp/R/*", "pretrain/cpu/*/ddp/*/*")
"""Globs of overrides that disagree about one cell, which only the full suite has."""
Cell = tuple[str, CellRuns]


def trained(
    step_time_s: float, method: str = "Naive", platform: str = "h200", spread: Sequence[float] = make.SPREAD,
    on: str = "a", flags: Sequence[Flag] = (), **provenance: Any,
) -> Cell:  # fmt: skip
    """A pre-training cell whose steps lasted so long, in runs on one start."""
    spec = make.pretrain_spec(recompute=method != "Naive")
    results = (make.ok_result(spec, make.training_metrics(spec, step_time_s * factor)) for factor in spread)
    runs = []
    for run in make.in_rounds(results, on):
        found = run.provenance and run.provenance.model_copy(update=provenance)
        runs.append(run.model_copy(update={"provenance": found, "flags": list(flags)}))
    return CELL.format(method).replace("h200", platform), make.cell_runs(*runs)


def side(*cells: Cell, name: str = "side") -> Side:
    return Side(name, dict(cells))


def verdict_of(left: Cell, right: Cell, margin: float = MARGIN) -> PairVerdict:
    found = compare(side(left), side(right), margin)
    [verdict] = [line.verdict for line in found.lines if line.left.quantity == "tokens_per_s"]
    return verdict


# Verdicts


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.3, PairVerdict.SLOWER), (1 / 1.3, PairVerdict.FASTER), (1.001, PairVerdict.NONE)],
)
def test_verdicts_on_runs_that_are_so(factor: float, expected: PairVerdict) -> None:
    other = (1.0, 0.99, 1.005, 1.01, 0.995)
    assert verdict_of(trained(0.2), trained(0.2 * factor, spread=other)) is expected


def test_noise_and_few_runs_cannot_tell() -> None:
    noisy = (0.7, 1.4, 1.0, 0.8, 1.2)
    assert verdict_of(trained(0.2, spread=noisy), trained(0.22, spread=noisy[::-1])) is PairVerdict.UNCLEAR
    assert verdict_of(trained(0.2), trained(0.9, spread=(1.0,))) is PairVerdict.UNCLEAR


def test_another_start_may_be_all_the_difference() -> None:
    """Runs of one machine differ less than machines do, and nothing tells how these two differ."""
    assert verdict_of(trained(0.2), trained(0.23, on="b")) is PairVerdict.UNCLEAR
    assert verdict_of(trained(0.2), trained(0.23)) is PairVerdict.SLOWER


@pytest.mark.parametrize(
    ("factors", "expected"), [((1.0,) * 4, PairVerdict.SLOWER), ((1, 2, 0.5, 3), PairVerdict.UNCLEAR)]
)
def test_other_cells_of_several_starts_tell_how_starts_differ(factors: Sequence[float], expected: PairVerdict) -> None:
    runs = [
        run for on, factor in zip("abcd", factors, strict=True) for run in trained(0.2 * factor, "F", on=on)[1].runs
    ]
    left, right = (CELL.format("F"), make.cell_runs(*runs)), (CELL.format("F"), make.cell_runs(*runs[1:]))
    found = compare(side(trained(0.2), left), side(trained(0.3, on="e"), right), MARGIN)
    [line] = [one for one in found.lines if one.left.quantity == "tokens_per_s" and "Naive" in one.pair.left_id]
    assert line.verdict is expected
    assert "no shared start" in page(found, [])


def test_the_margin_is_what_does_not_matter() -> None:
    left, right = trained(0.2), trained(0.202, spread=(1.0, 0.999, 1.001, 1.0, 0.9995))
    assert [verdict_of(left, right, margin) for margin in (0.001, 0.2)] == [PairVerdict.UNCLEAR, PairVerdict.NONE]


def test_swapping_sides_inverts_ratio_and_verdict() -> None:
    inverse = {PairVerdict.FASTER: PairVerdict.SLOWER, PairVerdict.SLOWER: PairVerdict.FASTER}
    for seed in range(60):
        chance = random.Random(seed)
        factor, noise = chance.uniform(0.7, 1.4), chance.uniform(0.001, 0.1)
        spreads = [[1 + chance.gauss(0, noise) for _ in range(chance.randint(1, 6))] for _ in range(2)]
        left, right = trained(0.2, spread=spreads[0]), trained(0.2 * factor, spread=spreads[1])
        one, other = compare(side(left), side(right), MARGIN), compare(side(right), side(left), MARGIN)
        for mine, theirs in zip(one.lines, other.lines, strict=True):
            assert theirs.verdict is inverse.get(mine.verdict, mine.verdict)
            assert mine.judgement is not None
            assert theirs.judgement is not None
            assert theirs.judgement.ratio == pytest.approx(1 / mine.judgement.ratio)
            if mine.judgement.high is not None:
                assert theirs.judgement.low == pytest.approx(1 / mine.judgement.high)


def test_equal_sets_differ_as_rarely_as_promised() -> None:
    """Whole comparisons of ten equal cells in five runs each."""
    false_alarms = 0
    for trial in range(100):
        chance = random.Random(trial)
        sides = [
            side(*(trained(0.2, f"m{n}", spread=[chance.lognormvariate(0, 0.1) for _ in range(5)]) for n in range(10)))
            for _ in range(2)
        ]
        found = compare(*sides, MARGIN)
        false_alarms += any(line.verdict in (PairVerdict.FASTER, PairVerdict.SLOWER) for line in found.lines)
    assert false_alarms <= 10, "of 100 comparisons 5 are expected at most"


# Cells


def test_cells_match_by_id_and_without_the_platform_between_two() -> None:
    left = side(trained(0.2), trained(0.2, "F"))
    right = side(trained(0.3, platform="a800"), trained(0.3, "R", platform="a800"))
    found = compare(left, right, MARGIN)
    assert [(pair.left_id, pair.right_id) for pair in found.pairs] == [
        (CELL.format("Naive"), CELL.format("Naive").replace("h200", "a800"))
    ]
    assert len(compare(left, side(trained(0.3, "R", platform="a800")), MARGIN).pairs) == 0
    both = Side("both", {**left.cells, **right.cells})
    assert [pair.right_id for pair in compare(left, both, MARGIN).pairs] == list(left.cells)


def test_the_same_runs_are_no_difference_however_noisy() -> None:
    noisy = trained(0.2, spread=(0.5, 2.0))
    assert verdict_of(noisy, noisy) is PairVerdict.NONE


def test_servers_are_compared_by_throughput_and_latencies() -> None:
    spec = make.serve_spec(requests=200)

    def served(seconds: float) -> Cell:
        return "serve/h200/llama2-7b/vllm/tuned/r200-n1", make.cell_runs(*make.serving_runs(spec, seconds))

    found = compare(side(served(9)), side(served(6)), MARGIN)
    verdicts = {line.left.quantity: line.verdict for line in found.lines}
    faster = ("output_tokens_per_s", "ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "latency_p50_s", "latency_p99_s")
    assert {name for name, verdict in verdicts.items() if verdict is PairVerdict.FASTER} == set(faster)
    assert verdicts["server_memory_gib"] is PairVerdict.NONE


def test_the_ratio_of_memory_is_that_of_the_numbers_shown() -> None:
    """Means of 2 and 8 against 3 and 3 GiB: 4 and 3, though the largest are 8 and 3."""

    def needed(*sizes: int) -> Cell:
        spec = make.pretrain_spec()
        metrics = (make.training_metrics(spec, peak_memory_bytes=size * 2**30) for size in sizes)
        return CELL.format("Naive"), make.cell_runs(*make.in_rounds(make.ok_result(spec, each) for each in metrics))

    found = compare(side(needed(2, 8)), side(needed(3, 3)), MARGIN)
    for line in found.lines:
        assert line.judgement is not None
        assert line.judgement.ratio == pytest.approx(line.right.number.value / line.left.number.value)
    [memory] = [line for line in found.lines if line.left.quantity == "peak_memory_gib"]
    assert (memory.left.number.value, memory.right.number.value) == pytest.approx((4, 3))
    assert memory.left.number.low is not None
    assert "Numbers are means over runs, of memory too" in page(found, [])


def test_largest_batches_that_differ_are_compared_by_throughput_alone() -> None:
    """A step of more sequences takes longer and more memory, which is no slower."""

    def largest(batch: int, step_time_s: float) -> Side:
        spec = make.pretrain_spec(batch="max")
        trained = [make.training_metrics(spec, step_time_s * each, found_batch=batch) for each in make.SPREAD]
        runs = make.in_rounds(make.ok_result(spec, metrics) for metrics in trained)
        return side((CELL.format("Naive"), make.cell_runs(*runs)))

    found = compare(largest(8, 0.2), largest(24, 0.6), MARGIN)
    assert {line.left.quantity for line in found.lines} == {"tokens_per_s", "tokens_per_joule"}
    equal = compare(largest(8, 0.2), largest(8, 0.21), MARGIN)
    assert "nvml_peak_memory_gib" in {line.left.quantity for line in equal.lines}


def test_operators_are_compared_size_by_size() -> None:
    spec = make.operator_spec("device_to_device", sizes=(1024, 4096))

    def copied(slow: float) -> Cell:
        times = [(0.001 * slow * factor, 0.004 * factor) for factor in make.SPREAD]
        results = make.in_rounds(make.ok_result(spec, make.operator_metrics(spec, each)) for each in times)
        return "operators/h200/-/memcpy/device_to_device/bf16-b1-n1", make.cell_runs(*results)

    found = compare(side(copied(1)), side(copied(2)), MARGIN)
    verdicts = {line.left.point: line.verdict for line in found.lines}
    assert verdicts == {"size_bytes=1024": PairVerdict.SLOWER, "size_bytes=4096": PairVerdict.NONE}


def test_profiles_compare_by_their_unprofiled_step_and_their_kernels() -> None:
    runs = make.cell_runs(*make.in_rounds([make.ok_result(make.profile_spec())]))
    found = readings_of("profile/h200/llama2-7b/deepspeed/Naive/s350-b1-n4", runs)
    assert set(found) >= {("step_phase=step", "unprofiled_time_s"), ("step_phase=backward", "compute_time_s")}


def test_outcomes_that_changed() -> None:
    lost = make.ended_result(make.pretrain_spec(), Status.OOM, Phase.BACKWARD, "out of memory")
    left, right = trained(0.2), (CELL.format("Naive"), make.cell_runs(lost))
    found = compare(side(left, name="old"), side(right, trained(0.2, "F"), name="new"), MARGIN)
    assert [pair.outcomes for pair in found.changed] == [("ok", "oom (backward)")]
    assert not found.lines
    text = page(found, differences(found.pairs))
    assert "Outcomes that changed" in text
    assert "oom (backward)" in text
    assert "out of memory" in text
    assert f"- `{CELL.format('F')}`" in text


def compared_machines() -> Compared:
    gpu = make.gpu()
    slower = gpu.model_copy(update={"driver": "581.2", "sm_clock_mhz": 1500.0, "memory_clock_mhz": 3190.0})
    environment = {"OMP_NUM_THREADS": "2", "SLURM_JOB_ID": "7"}
    left = [trained(0.2, name, gpus=[gpu]) for name in ("Naive", "F")]
    right = [trained(0.3, "Naive", gpus=[slower], environment=environment), trained(0.3, "F", gpus=[slower])]
    return compare(side(*left, name="old"), side(*right, name="new"), MARGIN)


def test_what_differs_for_all_is_said_once() -> None:
    found = differences(compared_machines().pairs)
    told = {difference.field: (difference.left, difference.right, len(difference.ids)) for difference in found}
    assert told == {
        "gpus.driver": ("580.1", "581.2", 2),
        "gpus.sm_clock_mhz": ("1980", "1500", 2),
        "environment.OMP_NUM_THREADS": ("1", "2", 1),
    }


def test_the_page_and_its_tables() -> None:
    compared = compared_machines()
    found = differences(compared.pairs)
    text = page(compared, found)
    for part in ("# new against old", "2 slower", "What differs for all cells", "What differs for some cells", "all 2"):
        assert part in text
    assert "1 of 2: pretrain/h200/llama2-7b/deepspeed/Naive" in text
    header = next(line for line in text.splitlines() if line.startswith("| Cell"))
    assert [name.strip() for name in header.split("|")[3:-1]] == [
        "Left", "Right", "Right / left", "Verdict", "95 % of further runs lie within",
    ]  # fmt: skip
    frame, fields = lines_frame(compared), differences_frame(compared, found)
    assert tuple(frame.columns) == LINE_COLUMNS
    assert tuple(fields.columns) == DIFFERENCE_COLUMNS
    tested = frame[frame["quantity"] == "tokens_per_s"]
    assert list(tested["verdict"]) == ["slower", "slower"]
    assert all(tested["ratio_low"] < tested["ratio"])
    assert list(tested["left_runs"]) == list(tested["right_runs"]) == [5, 5]
    assert "runs 5 and 5; 5 shared rounds of 1 start, this start only; detectable 1.0" in text
    told = terminal_text(compared, found)
    assert "2 cells are on both sides" in told
    assert "slower: pretrain/h200/llama2-7b/deepspeed/F/s350-b1-n4: tokens_per_s × 0.6" in told
    assert "differs for all cells: gpus.driver: 580.1 -> 581.2" in told
    assert "OMP_NUM_THREADS" not in told


def test_a_number_counts_the_runs_that_have_it() -> None:
    """Five runs on either side, of which three and four were traced."""

    def traced(runs: int) -> Cell:
        spec = make.pretrain_spec()
        device = [0.1, 0.101, 0.099, 0.1][:runs]
        return CELL.format("Naive"), make.cell_runs(*make.training_runs(spec, 0.2, device=device))

    left, right = traced(3), traced(4)
    frame = lines_frame(compare(side(left), side(right), MARGIN)).set_index("quantity")
    counts = frame[["left_runs", "right_runs"]]
    assert counts.loc["device_time_s"].tolist() == [3, 4]
    assert counts.loc["tokens_per_s"].tolist() == [5, 5]


def test_further_runs_are_predicted_on_the_start_and_on_others() -> None:
    """Of three starts, of which the last measured five runs around 0.3 s; one run predicts nothing."""
    starts = {"a": 0.2, "b": 0.4, "c": 0.3}
    several = [run for on, seconds in starts.items() for run in trained(seconds, on=on)[1].runs]
    cell = CELL.format("Naive"), make.cell_runs(*several)
    compared = compare(side(cell), side(trained(0.2, spread=(1.0,))), MARGIN)
    [line] = [line for line in compared.lines if line.left.quantity == "tokens_per_s"]
    rate = 4 * 350 / 0.3
    left, right = line.summaries
    assert left.next_run
    assert 0.95 * rate < left.next_run.low < rate < left.next_run.high < 1.05 * rate
    assert left.new_start
    assert left.new_start.low < 0.5 * rate
    assert right.next_run is None
    text = page(compared, [])
    assert f"left: {left.next_run.low:,.0f}–{left.next_run.high:,.0f} on the last start; " in text
    assert "right: " not in text
    [row] = lines_frame(compared).query("quantity == 'tokens_per_s'").to_dict("records")
    assert (row["left_next_run_low"], row["left_new_start_high"]) == (left.next_run.low, left.new_start.high)


def test_flags_are_footnotes() -> None:
    compared = compare(side(trained(0.2)), side(trained(0.2, flags=[Flag.THROTTLED])), MARGIN)
    assert "a GPU throttled during the measured window" in page(compared, [])


def test_one_run_says_why_it_tells_nothing_and_what_would() -> None:
    compared = compare(side(trained(0.2, spread=(1.0,))), side(trained(0.4, spread=(1.0,))), MARGIN)
    assert {line.verdict for line in compared.lines} == {PairVerdict.UNCLEAR}
    assert "a side has one run" in page(compared, [])
    how, command = (
        "without a restart in between: ",
        f"snakemake remeasure --config select='{CELL.format('Naive')}' more=5",
    )
    assert f"{how}`{command}`\n" in page(compared, [])
    assert terminal_text(compared, []).endswith(how + command)


def test_cells_of_two_platforms_that_cannot_be_told_are_both_in_the_command() -> None:
    cells = trained(0.2), trained(0.4, platform="a800", on="b")
    ids = ",".join(name for name, _ in cells)
    text = terminal_text(compare(side(cells[0]), side(cells[1]), MARGIN), [])
    assert text.endswith(f"snakemake remeasure --config select='[{ids}]' more=5")


@pytest.mark.parametrize("platforms", [("h200", "h100-x2"), ("mybox", "mybox")])
def test_sides_with_other_gpus_are_measured_each_on_its_own_machine(platforms: tuple[str, str]) -> None:
    """Also where both owners described their machine under one name."""

    def on(gpu: str, step_time_s: float, platform: str, number: int) -> Cell:
        spec = make.pretrain_spec(make.hardware(gpu_model=gpu))
        run = make.ok_result(spec, make.training_metrics(spec, step_time_s))
        return CELL.format(f"m{number}").replace("h200", platform), make.cell_runs(run)

    gpus, times_s = ("NVIDIA H200", "NVIDIA H100 80GB HBM3"), (0.2, 0.4)
    for count, rest in ((1, ""), (12, f" and {2 * len({*platforms})} cells more")):
        cells = [[on(*facts, n) for n in range(count)] for facts in zip(gpus, times_s, platforms, strict=True)]
        text = terminal_text(compare(side(*cells[0]), side(*cells[1]), MARGIN), [])
        both = " and ".join(f"{remeasure([name for name, _ in each[:10]])} more=5" for each in cells)
        assert text.endswith(f"To tell, measure each side in three starts of its own machine: {both}{rest}")


def test_the_command_names_the_suite_of_its_cells(shipped: Path) -> None:
    sides = {"left": "h200", "right": "h200-rounds"}
    text = comparing.answer(load_study(shipped, sides), shipped, sides)
    [globs] = re.findall(r"remeasure --config select='\[(.*)\]' suite=full more=5", text)
    assert not load_study(shipped, {"select": globs.split(","), "suite": "full"}).unmatched


@pytest.mark.parametrize(
    ("method", "given", "is_reference", "suite"),
    [
        ("deepspeed/Z2", {}, False, ""),
        ("deepspeed/Z2", {}, True, " suite=full"),
        ("deepspeed/Z2", {"suite": "full"}, False, " suite=full"),
        ("ddp/R", {}, False, " suite=full"),
        ("ddp/none", {}, False, ""),
        ("ddp/R", {"overrides": {glob: {"hardware": {"n_gpus": n}} for n, glob in enumerate(DDP, 1)}}, False, ""),
    ],
)
def test_the_command_names_a_suite_where_the_configured_one_is_not_enough(
    project: Path, monkeypatch: pytest.MonkeyPatch, method: str, given: dict[str, Any], is_reference: bool, suite: str
) -> None:
    cell_id = f"pretrain/cpu/llama-tiny/{method}/s128-b1-n2"
    sides = [Side("side", {cell_id: trained(time_s, spread=(1.0,))[1]}, is_reference) for time_s in (0.2, 0.4)]
    monkeypatch.setattr(comparing, "read_side", lambda *_: sides.pop())
    asked = {"left": "results", "right": "results", **given}
    text = comparing.answer(load_study(project, asked), project, asked)
    assert f"remeasure --config select='{cell_id}'{suite} more=5\n" in text


def test_what_is_told_needs_no_command() -> None:
    assert "remeasure" not in terminal_text(compare(side(trained(0.2)), side(trained(0.4)), MARGIN), [])


def test_a_command_names_no_more_cells_than_fit() -> None:
    once = (1.0,)
    left, right = (side(*(trained(s, f"m{n}", spread=once) for n in range(12))) for s in (0.2, 0.4))
    assert terminal_text(compare(left, right, MARGIN), []).endswith(" more=5 and 2 cells more")
