"""Two sets of cells side by side: verdicts, what differs, and what is read as a side."""

import json
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.any_spec import parse_spec
from dissect.cells.spec import TrainingSpec, canonical_spec
from dissect.cells.study import load_study
from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.metrics.serving import RequestSamples
from dissect.present.compare.comparison_text import (
    DIFFERENCE_COLUMNS,
    LINE_COLUMNS,
    differences_frame,
    lines_frame,
    page,
    terminal_text,
)
from dissect.present.compare.pairs import Compared, PairVerdict, compare
from dissect.present.compare.readings import MeasuredRun, run_of
from dissect.present.compare.reasons import differences
from dissect.present.compare.sides import Side, read_side
from dissect.results.exchange import ExchangeError
from dissect.results.result import Result
from dissect.statistics.comparison import Sample, p_above, p_difference, p_equivalence
from dissect.statistics.quantiles import quantile_interval

CELL = "pretrain/h200/llama2-7b/deepspeed/{}/s350-b1-n4"
MARGIN = 0.05


def steps(times: Sequence[float], **axes: Any) -> bytes:
    what = axes or {"part": "measured"}
    rows = [{"step": n, "seconds": [time / 2, time], **what} for n, time in enumerate(times)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def run(times: Sequence[float], method: str = "Naive", platform: str = "h200", **provenance: Any) -> MeasuredRun:
    """A pre-training cell whose steps lasted so long."""
    spec = make.pretrain_spec(recompute=method != "Naive")
    metrics = make.training_metrics(spec, sorted(times)[len(times) // 2])
    result = make.ok_result(spec, metrics)
    changed = make.provenance().model_copy(update={"measured_at": f"{random.random()}", **provenance})
    cell_id = CELL.format(method).replace("h200", platform)
    return run_of(cell_id, result.model_copy(update={"provenance": changed}), steps(times))


def times(median: float, n: int = 40, noise: float = 0.02, seed: int = 0) -> list[float]:
    """Right-skewed, as step times are."""
    chance = random.Random(seed)
    return [median * (1 + noise * chance.expovariate(1)) for _ in range(n)]


def side(*runs: MeasuredRun, name: str = "side") -> Side:
    cells: dict[str, list[MeasuredRun]] = {}
    for one in runs:
        cells.setdefault(one.id, []).append(one)
    return Side(name, cells)


def verdict_of(left: Sequence[MeasuredRun], right: Sequence[MeasuredRun], margin: float = MARGIN) -> PairVerdict:
    found = compare(side(*left), side(*right), margin)
    [verdict] = [line.verdict for line in found.lines if line.quantity == "tokens_per_s"]
    return verdict


# Statistics


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.3, PairVerdict.SLOWER), (1 / 1.3, PairVerdict.FASTER), (1.0, PairVerdict.NONE), (1.05, PairVerdict.UNCLEAR)],
)
def test_verdicts_on_samples_that_are_so(factor: float, expected: PairVerdict) -> None:
    assert verdict_of([run(times(0.2, seed=1))], [run(times(0.2 * factor, seed=2))]) is expected


def test_noise_and_few_samples_cannot_tell() -> None:
    assert verdict_of([run(times(0.2, noise=1, seed=1))], [run(times(0.22, noise=1, seed=2))]) is PairVerdict.UNCLEAR
    assert verdict_of([run([0.2] * 3)], [run([0.9] * 3)]) is PairVerdict.UNCLEAR


def test_repeated_measurements_widen() -> None:
    """One pair of runs would say slower; a second run of the left side lies where the right one does."""
    left, right = run(times(0.2, seed=1)), run(times(0.23, seed=2))
    assert verdict_of([left], [right]) is PairVerdict.SLOWER
    again = [left, run(times(0.235, seed=3))]
    assert verdict_of(again, [right]) is PairVerdict.UNCLEAR
    [line] = [line for line in compare(side(*again), side(right), MARGIN).lines if line.quantity == "tokens_per_s"]
    assert line.spreads[0] == pytest.approx(0.235 / 0.2 - 1, rel=0.1)
    assert line.spreads[1] is None
    assert line.left.low < line.right.value < line.left.high


def test_the_margin_is_what_does_not_matter() -> None:
    left, right = [run(times(0.2, seed=1))], [run(times(0.22, seed=2))]
    assert [verdict_of(left, right, margin) for margin in (0.0, 0.05, 0.2)] == [
        PairVerdict.SLOWER, PairVerdict.SLOWER, PairVerdict.NONE,
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.7, 1.4), st.integers(3, 40), st.integers(3, 40), st.floats(0.001, 0.3))
def test_swapping_sides_inverts_ratio_and_verdict(seed: int, factor: float, n: int, m: int, noise: float) -> None:
    left, right = run(times(0.2, n, noise, seed)), run(times(0.2 * factor, m, noise, seed + 1))
    one, other = compare(side(left), side(right), MARGIN), compare(side(right), side(left), MARGIN)
    inverse = {PairVerdict.FASTER: PairVerdict.SLOWER, PairVerdict.SLOWER: PairVerdict.FASTER}
    for mine, theirs in zip(one.lines, other.lines, strict=True):
        assert theirs.verdict is inverse.get(mine.verdict, mine.verdict)
        assert theirs.ratio.value == pytest.approx(1 / mine.ratio.value)
        assert theirs.ratio.low == pytest.approx(1 / mine.ratio.high if mine.ratio.high else 0)
        assert theirs.chances == mine.chances


def test_equal_sets_differ_as_rarely_as_promised() -> None:
    """Whole comparisons of 20 equal cells; without a margin, so that nothing but the statistics holds them back."""
    false_alarms = 0
    for trial in range(100):
        left = [run(times(0.2, 20, 0.3, 10_000 * trial + 2 * n), f"m{n}") for n in range(20)]
        right = [run(times(0.2, 20, 0.3, 10_000 * trial + 2 * n + 1), f"m{n}") for n in range(20)]
        found = compare(side(*left), side(*right), 0.0)
        false_alarms += any(line.verdict in (PairVerdict.FASTER, PairVerdict.SLOWER) for line in found.lines)
    assert false_alarms <= 10, "of 100 comparisons 5 are expected at most"


def test_a_single_test_is_no_more_often_wrong_than_its_level() -> None:
    """Without the adjustment: far quantiles and unequal numbers of samples included."""
    for share, n, m in ((0.5, 12, 30), (0.9, 60, 80)):
        found = []
        for trial in range(400):
            left, right = (Sample(tuple(sorted(times(1, k, 1, 2 * trial + s))), share) for s, k in enumerate((n, m)))
            found.append(p_difference([right], [left], 0.0))
        assert sum(p <= 0.05 for p in found) <= 0.05 * 400 + 2 * (0.05 * 0.95 * 400) ** 0.5
        assert sum(p <= 0.5 for p in found) > 0, "it is no test that never finds anything"


def test_equivalence_needs_both_sides_within_the_margin() -> None:
    one, near, far = (Sample(tuple(sorted(times(x, 40, 0.01, s)))) for s, x in enumerate((1, 1.01, 1.06)))
    assert p_equivalence([near], [one], 0.05) < 0.001
    assert p_equivalence([far], [one], 0.05) > 0.5


def test_the_interval_is_that_of_the_tables() -> None:
    ordered = sorted(times(1.0, 200, 1, 7))
    for share in (0.5, 0.9, 0.99):
        low, high = quantile_interval(ordered, share)
        sample = Sample(tuple(ordered), share)
        assert sample.low == low
        assert sample.high in (high, float("inf")), "beyond the last sample nothing is certain"


def test_bounds_of_the_smallest_samples() -> None:
    assert p_above([Sample((2.0,) * 3)], [Sample((1.0,) * 3)], 1.0) == pytest.approx(2 / 8)
    assert p_above([Sample((1.0,) * 3)], [Sample((1.0,) * 3)], 1.0) == 1.0


def test_a_difference_among_many_comparisons_is_less_certain() -> None:
    """Benjamini and Hochberg: the smallest chance of ten counts ten times."""
    left, right = (
        [run(times(seconds, seed=seed)), *(run(times(0.2, seed=seed), f"m{n}") for n in range(9))]
        for seed, seconds in enumerate((0.2, 0.23))
    )
    alone = compare(side(left[0]), side(right[0]), MARGIN).lines[0].chances
    among = compare(side(*left), side(*right), MARGIN).lines[0].chances
    assert alone is not None
    assert among is not None
    assert among[0] == pytest.approx(10 * alone[0])


# Cells


def test_cells_match_by_id_and_without_the_platform_between_two() -> None:
    left = side(run(times(0.2)), run(times(0.2), "F"))
    right = side(run(times(0.3), platform="a800"), run(times(0.3), "R", platform="a800"))
    found = compare(left, right, MARGIN)
    assert [(pair.left_id, pair.right_id) for pair in found.pairs] == [
        (CELL.format("Naive"), CELL.format("Naive").replace("h200", "a800"))
    ]
    assert len(compare(left, side(*right.cells[CELL.format("R").replace("h200", "a800")]), MARGIN).pairs) == 0
    both = side(*(one for runs in (*left.cells.values(), *right.cells.values()) for one in runs))
    assert [pair.right_id for pair in compare(left, both, MARGIN).pairs] == list(left.cells)


def test_the_same_measurement_is_no_difference_however_noisy() -> None:
    noisy = run(times(0.2, noise=3))
    assert verdict_of([noisy], [noisy]) is PairVerdict.NONE


def test_servers_are_compared_by_their_requests() -> None:
    spec = make.serve_spec(requests=200)

    def served(seconds: float) -> MeasuredRun:
        chance = random.Random(seconds)
        latency = [seconds * (1 + 0.01 * chance.random()) for _ in range(200)]
        samples = RequestSamples(
            sent_s=[0.0] * 200, latency_s=latency, ttft_s=[x / 2 for x in latency], tpot_s=None, inter_token_s=None
        )
        metrics = make.serving_metrics(spec, seconds, samples=samples)
        return run_of("serve/h200/llama2-7b/vllm/tuned/r200-n1", make.ok_result(spec, metrics), None)

    verdicts = {line.quantity: line.verdict for line in compare(side(served(9)), side(served(6)), MARGIN).lines}
    assert verdicts["ttft_p50_s"] is verdicts["latency_p50_s"] is PairVerdict.FASTER
    assert "tpot_p50_s" not in verdicts
    assert verdicts["output_tokens_per_s"] is verdicts["server_memory_gib"] is PairVerdict.UNTESTED


def test_operators_are_compared_size_by_size() -> None:
    spec = make.operator_spec("device_to_device", sizes=(1024, 4096))

    def copied(slow: float) -> MeasuredRun:
        samples = [steps(times(0.001 * f, seed=n), size_bytes=s) for n, (s, f) in enumerate(((1024, slow), (4096, 4)))]
        result = make.ok_result(spec, make.operator_metrics(spec, (0.001 * slow, 0.004)))
        return run_of("operators/h200/-/memcpy/device_to_device/bf16-b1-n1", result, b"".join(samples))

    found = compare(side(copied(1)), side(copied(2)), MARGIN)
    verdicts = {line.point: line.verdict for line in found.lines}
    assert verdicts["size_bytes=1024"] is PairVerdict.SLOWER
    assert verdicts["size_bytes=4096"] is PairVerdict.NONE


def test_profiles_compare_by_their_steps_and_nothing_else_is_tested() -> None:
    spec = make.profile_spec()
    cell = run_of("profile/h200/llama2-7b/deepspeed/Naive/s350-b1-n4", make.ok_result(spec), None)
    assert {name for _, name in cell.readings} >= {"tokens_per_s", "nvml_peak_memory_gib", "tokens_per_joule"}
    assert cell.readings["", "tokens_per_s"].sample is None, "its steps are missing"


def test_outcomes_that_changed() -> None:
    lost = make.ended_result(make.pretrain_spec(), Status.OOM, Phase.BACKWARD, "out of memory")
    left, right = run(times(0.2)), run_of(CELL.format("Naive"), lost, None)
    found = compare(side(left, name="old"), side(right, run(times(0.2), "F"), name="new"), MARGIN)
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
    left = [run(times(0.2, seed=n), name, gpus=[gpu]) for n, name in enumerate(("Naive", "F"))]
    right = [
        run(times(0.3, seed=9), "Naive", gpus=[slower], environment=environment),
        run(times(0.3, seed=8), "F", gpus=[slower]),
    ]
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
    assert [name.strip() for name in header.split("|")[3:-1]] == ["Left", "Right", "Right / left", "Verdict"]
    frame, fields = lines_frame(compared), differences_frame(compared, found)
    assert tuple(frame.columns) == LINE_COLUMNS
    assert tuple(fields.columns) == DIFFERENCE_COLUMNS
    tested = frame[frame["quantity"] == "tokens_per_s"]
    assert list(tested["verdict"]) == ["slower", "slower"]
    assert all(tested["ratio_low"] < tested["ratio"])
    told = terminal_text(compared, found)
    assert "2 cells are on both sides" in told
    assert "slower: pretrain/h200/llama2-7b/deepspeed/F/s350-b1-n4: tokens_per_s × 0.6" in told
    assert "differs for all cells: gpus.driver: 580.1 -> 581.2" in told
    assert "OMP_NUM_THREADS" not in told


def test_flags_are_footnotes() -> None:
    flagged = run(times(0.2))
    result = flagged.result.model_copy(update={"flags": [Flag.THROTTLED]})
    compared = compare(side(flagged), side(run_of(flagged.id, result, steps(times(0.2)))), MARGIN)
    assert "a GPU throttled during the measured window" in page(compared, [])


# Sides


def reference_set(project: Path, result: Result, cell_id: str) -> Path:
    """A set of reference results of one cell."""
    folder = project / "config/references/theirs"
    cell = folder / "cells" / result.key
    cell.mkdir(parents=True)
    files = {
        "spec.json": canonical_spec(result.spec).encode(), "result.json": result.model_dump_json().encode(),
        "steps.jsonl": steps([0.2] * 40),
    }  # fmt: skip
    for name, data in files.items():
        (cell / name).write_bytes(data)
    hashes = {name: sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"schema_version": 1, "cells": {result.key: {"id": cell_id, "files": hashes}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def read(project: Path, given: Any, **command_line: Any) -> Side:
    return read_side("left", given, load_catalog(project, command_line), project, command_line)


def test_a_set_of_reference_results_is_a_side(project: Path) -> None:
    folder = reference_set(project, make.ok_result(make.pretrain_spec()), CELL.format("F"))
    found = read(project, "h200@theirs")
    assert list(found.cells) == [CELL.format("F")]
    assert found.name == "h200@theirs"
    assert found.cells[CELL.format("F")][0].readings["", "tokens_per_s"].sample is not None
    assert len(read(project, ["theirs", "theirs"]).cells[CELL.format("F")]) == 2
    with pytest.raises(ConfigError, match="found no finished cell in 'a800@theirs'"):
        read(project, "a800@theirs")
    with pytest.raises(ConfigError, match=r"found no finished cell in 'theirs' that 'serve/\*/\*/\*/\*/\*' matches"):
        read(project, "theirs", select="serve/*/*/*/*/*")
    next(folder.glob("cells/*/steps.jsonl")).write_text("")
    with pytest.raises(ExchangeError, match="was changed after the export"):
        read(project, "theirs")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "--config left: found nothing, expected 'results', a file"),
        ("nowhere.tar.gz", "--config left: found 'nowhere.tar.gz', expected 'results'"),
        ("h300@results", "unknown platform 'h300'; did you mean 'h200'?"),
        ("results", "found no finished cell in 'results'"),
    ],
)
def test_a_bad_side_is_one_sentence(given: str | None, sentence: str, project: Path) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as error:
        read(project, given)
    assert sentence in str(error.value)


def test_finished_cells_of_this_clone_are_a_side(project: Path) -> None:
    [cell, *_] = [cell for cell in load_study(project, {}).by_path.values() if cell.stage == "pretrain"]
    folder = project / "results/store" / str(cell.key)
    folder.mkdir(parents=True)
    spec = parse_spec(str(cell.canonical))
    assert isinstance(spec, TrainingSpec)
    (folder / "result.json").write_text(make.ended_result(spec, Status.TIMEOUT, None, "late").model_dump_json())
    assert list(read(project, "results").cells) == [cell.id]
