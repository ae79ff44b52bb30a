"""The table of repeatability: which numbers it has, and that rows of runs lead back to it."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from bench.repeatability import reference_set
from dissect.cells.references import SETS_DIR
from dissect.cells.spec import canonical_spec
from dissect.present.repeatability import ALL_CELLS, from_rows, repeatability, repeated_of, run_rows
from dissect.results.cell_runs import run_id
from dissect.results.exchange import Shared
from dissect.results.reference_sets import add_to_set
from dissect.results.result import Anchor
from dissect.results.run_files import RESULT
from factories import cell_runs, in_rounds, ok_result, operator_metrics, operator_spec, pretrain_spec, training_runs

TRAINING = "pretrain/h200/llama2-7b/deepspeed/Q/s350-b1-n4"
COPIES = "operators/h200/-/memcpy/device_to_device/bf16-b1-n1"
RUNS = training_runs(pretrain_spec(), 0.2)
COPY = operator_spec("device_to_device")
CALLS = [ok_result(COPY, operator_metrics(COPY, (0.001, time_s))) for time_s in (0.004, 0.0041)]
CELLS = [(TRAINING, cell_runs(*RUNS)), (COPIES, cell_runs(*in_rounds(CALLS)))]


def test_a_cell_has_its_throughput_and_an_operator_its_largest_size() -> None:
    throughput, call = repeated_of(CELLS)
    assert (throughput.cell, throughput.quantity, len(throughput.runs)) == (TRAINING, "tokens_per_s", 5)
    assert (call.cell, call.quantity, [run.value for run in call.runs]) == (COPIES, "call_time_s", [0.004, 0.0041])


def test_one_run_is_no_repetition() -> None:
    assert repeated_of([(TRAINING, cell_runs(RUNS[0]))]) == []


def test_anchors_stand_beside_the_numbers_of_their_cell() -> None:
    ranks = [Anchor(launches_per_s=rate, matmul_tflops=rate / 1e3) for rate in (4e5, 3e5)]
    runs = []
    for run in RUNS:
        assert run.provenance is not None
        told = run.provenance.model_copy(update={"anchors": ranks})
        runs.append(run.model_copy(update={"provenance": told}))
    _, launches, product = repeated_of([(TRAINING, cell_runs(*runs))])
    assert (launches.quantity, product.quantity) == ("anchor_launches_per_s", "anchor_matmul_tflops")
    assert launches.runs[0] == replace(product.runs[0], value=3e5), "of the slowest rank"
    assert len(repeated_of([(TRAINING, cell_runs(RUNS[0], *runs[1:]))])) == 1, "a run has none"


def test_rows_of_runs_lead_back_to_the_numbers() -> None:
    numbers, file = repeated_of(CELLS), io.StringIO()
    writer = csv.DictWriter(file, list(run_rows(numbers)[0]))
    writer.writeheader()
    writer.writerows(run_rows(numbers))
    file.seek(0)
    assert from_rows(csv.DictReader(file)) == numbers


def test_the_trials_of_all_cells_are_counted_per_quantity() -> None:
    cell, _, both = repeatability(repeated_of([CELLS[0], (TRAINING.replace("/Q/", "/Z2/"), CELLS[0][1])]))
    assert (cell["cell"], cell["known_start_trials"], cell["differences_trials"]) == (TRAINING, 5, 1)
    assert (both["cell"], both["known_start_trials"], both["differences_trials"]) == (ALL_CELLS, 10, 2)


def test_a_set_of_references_is_read_without_measuring(tmp_path: Path) -> None:
    records = {run_id(record): record for record in (run.model_dump_json().encode() for run in RUNS)}
    files = {identity: {RESULT: record} for identity, record in records.items()}
    shared = Shared(TRAINING, canonical_spec(RUNS[0].spec), CELLS[0][1], files)
    add_to_set(tmp_path / SETS_DIR / "lab", {RUNS[0].key: shared})
    [cell] = reference_set(tmp_path, "lab").values()
    assert repeated_of([(cell.id, cell.runs)]) == repeated_of(CELLS[:1])
    with pytest.raises(SystemExit, match="config/references has no such set; there are lab"):
        reference_set(tmp_path, "elsewhere")
