"""The life of a cell as real processes: scripts/measure.py with a runner that needs no torch."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dissect.cells.spec import InspectSpec, Software, canonical_spec
from dissect.metrics.training import TrainingMetrics
from dissect.results.agreement import check_samples
from dissect.results.cell_runs import read_runs
from dissect.results.store import Failure
from dissect.stages.training.other_cells import with_batch
from factories import GIB, hardware
from measure_bench import TESTS, Bench, content_of, wait_for_ranks

pytestmark = pytest.mark.e2e


def test_measured_once_then_published_at_once(bench):
    spec = bench.spec()
    code, out, _ = bench.measure(spec)
    assert (code, out) == (0, f"{bench.entry(spec).name}: ok\n")
    result = bench.result(spec)
    assert isinstance(result.metrics, TrainingMetrics)
    assert result.metrics.tokens_per_step == 2 * 350
    assert result.provenance is not None
    assert str(result.provenance.gpus).startswith(("no NVML: ", "none is used"))
    assert result.durations.total_s > result.durations.window_s > 0
    assert [anchor.launches_per_s for anchor in result.provenance.anchors] == [1, 2]
    assert result.provenance.start is not None
    assert result.provenance.start.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (run,) = bench.runs(spec)
    check_samples(result, {"steps.jsonl": (run / "steps.jsonl").read_bytes()})
    lines = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["warmup"] * 3 + ["measured"] * 5
    assert all(len(line["seconds"]) == 2 for line in lines)
    bench.output(spec).unlink()
    assert bench.measure(spec)[0] == 0
    assert bench.result(spec) == result
    assert bench.measured() == 1


def test_publishing_imports_nothing_heavy(bench, monkeypatch):
    spec = bench.spec()
    bench.measure(spec)
    bench.output(spec).unlink()
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    assert not re.search(r"\b(torch|psutil|multiprocessing|numpy|pandas)$", bench.measure(spec)[2], re.MULTILINE)


def test_only_declared_thread_counts_reach_a_cell(bench, monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    spec = bench.spec(OMP_NUM_THREADS="1")
    bench.measure(spec)
    threads = {name: value for name, value in bench.result(spec).provenance.environment.items() if "THREADS" in name}
    assert threads == {"OMP_NUM_THREADS": "1"}


def test_byte_code_is_kept_where_an_image_switched_that_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    status, out, err = bench.measure(bench.spec(), cwd=bench.folder)
    assert status == 0, out + err
    kept = [path.name for path in (bench.folder / ".cache/bytecode").rglob("*.pyc")]
    assert any(name.startswith(("psutil", "attempt")) for name in kept), kept


def test_two_at_once_measure_once(bench):
    spec = bench.spec(TINY_STEP_S="0.2")
    first, second = bench.start(spec), bench.start(spec)
    outs = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outs
    assert bench.measured() == 1
    assert sum("waiting for another process" in err for _, err in outs) == 1


def test_the_budget_starts_after_the_preparation(bench):
    spec = bench.spec(budget_s=3.0, TINY_PREPARE_S="4")
    assert bench.measure(spec)[0] == 0
    assert bench.result(spec).status == "ok"


def test_a_suspension_costs_no_budget_and_is_a_flag(bench):
    spec = bench.spec(budget_s=6.0, TINY_STEPS="8", TINY_STEP_S="0.3")
    process = bench.start(spec)
    job = [psutil.Process(process.pid), *wait_for_ranks(bench, spec, process)]
    for each in job:
        each.suspend()
    time.sleep(7)
    for each in job:
        each.resume()
    process.communicate(timeout=60)
    result = bench.result(spec)
    assert result.status == "ok", result.reason
    assert "suspended" in result.flags


def test_failure_names_reason_and_log_and_is_counted(bench):
    spec = bench.spec(TINY_FAULT="SIGKILL")
    for attempt in (1, 2):
        code, _, err = bench.measure(spec)
        assert code == 1
        last = err.strip().splitlines()[-1]
        assert "rank 1 was killed by SIGKILL, by the kernel" in last
        assert str(bench.entry(spec) / "log.txt") in last
        failure = Failure.model_validate_json((bench.entry(spec) / "failure.json").read_bytes())
        assert failure.attempt == attempt
    log = (bench.entry(spec) / "log.txt").read_text()
    assert log.count("=== attempt") == 2
    assert "rank 0 runs batch 1" in log


def test_timeout_is_a_result(bench):
    spec = bench.spec(budget_s=2.0, TINY_FAULT="hang")
    code, out, _ = bench.measure(spec)
    assert code == 0
    assert "timeout (the budget was spent in phase forward)" in out
    assert bench.result(spec).phase == "forward"


def test_another_run_leaves_the_first_as_it_is(bench):
    spec = bench.spec()
    bench.measure(spec)
    (first,) = bench.runs(spec)
    before = content_of(first)
    assert bench.measure(spec, "--runs", "2")[0] == 0
    assert bench.measured() == 2
    assert len(bench.runs(spec)) == len(read_runs(bench.output(spec)).runs) == 2
    assert content_of(first) == before


@pytest.mark.parametrize("options", [(), ("--fork",)])
def test_several_runs_do_not_need_what_launched_the_first(bench, options):
    spec = bench.spec()
    assert bench.measure(spec, "--runs", "2", "--launcher", "only-outside exec stack.sif python", *options)[0] == 0
    assert bench.measured() == len(bench.runs(spec)) == 2


def test_search_lists_its_trials_and_siblings_learn_from_it(bench):
    search = bench.spec("max", TINY_LIMIT="11")
    assert bench.measure(search)[0] == 0
    result = bench.result(search)
    assert isinstance(result.metrics, TrainingMetrics)
    assert result.metrics.batch == 11
    tried = {trial.batch: trial.status for trial in result.metrics.trials}
    assert (tried[11], tried[12]) == ("ok", "oom")
    larger = with_batch(search, 12)
    _, out, _ = bench.measure(larger)
    assert "skipped_oom (the search for the largest batch of the same cell ran out of memory at batch 12" in out
    assert bench.result(larger).provenance is None
    similar = bench.spec("max", TINY_LIMIT="11", budget_s=61.0)
    bench.measure(similar)
    found = bench.result(similar).metrics
    assert isinstance(found, TrainingMetrics)
    assert [trial.batch for trial in found.trials] == [11, 12], "the hint of the other cell"


def test_search_that_fits_nothing_is_oom_and_smaller_batches_speak_for_larger(bench):
    search = bench.spec("max", TINY_LIMIT="0")
    _, out, _ = bench.measure(search)
    assert "oom (batch 1: the tiny memory is full)" in out
    assert "skipped_oom" in bench.measure(with_batch(search, 3))[1]
    two = bench.spec(2, TINY_LIMIT="1")
    assert ": oom (the tiny memory is full)" in bench.measure(two)[1]
    assert "skipped_oom (batch 2 of the same cell already ran out of memory" in bench.measure(with_batch(two, 5))[1]
    assert ": ok" in bench.measure(with_batch(two, 1))[1]
    one = bench.spec(1, TINY_LIMIT="0", budget_s=61.0)
    bench.measure(one)
    before = bench.measured()
    largest = bench.measure(with_batch(one, "max"))[1]
    assert "skipped_oom (batch 1 of the same cell already ran out of memory" in largest
    assert bench.measured() == before


def test_states_beyond_the_memory_need_no_run(bench):
    spec = bench.spec()
    small = spec.model_copy(update={"hardware": spec.hardware.model_copy(update={"device_memory_bytes": GIB})})
    _, out, _ = bench.measure(small)
    assert "skipped_oom (parameters, gradients and optimizer states alone take" in out
    assert bench.measured() == 0


def test_several_nodes_need_a_job_that_holds_them(bench, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    spec = bench.spec()
    wide = spec.model_copy(update={"hardware": spec.hardware.model_copy(update={"n_nodes": 2})})
    code, _, err = bench.measure(wide)
    assert code == 1
    assert "failed: the cell needs 2 nodes, but no Slurm job holds them" in err
    assert bench.measured() == 0


def test_declared_version_that_is_not_installed_is_invalid(bench):
    spec = bench.spec().model_copy(update={"software": Software(versions={"pydantic": "0.0.1"})})
    code, out, _ = bench.measure(spec)
    assert code == 0
    assert "invalid (pydantic 0.0.1 is declared, " in out
    assert bench.measured() == 0


def test_inspect_goes_the_same_way(bench):
    spec = InspectSpec(framework="system", hardware=hardware(device="cpu"), software=Software(), protocol=1)
    assert bench.measure(spec)[0] == 0
    result = bench.result(spec)
    assert result.metrics is not None
    assert result.metrics.kind == "inspect"
    assert result.provenance is not None


@pytest.mark.parametrize(
    ("spec", "publish", "message"),
    [
        ("{", "x.json", "--spec: the whole: Invalid JSON"),
        (
            '{"stage": "pretrain"}',
            "x.json",
            "--spec: the whole: Input tag 'pretrain/None' found using _tag() does not match",
        ),
        (None, "x.json", "--publish: x.json is not "),
    ],
)
def test_bad_arguments_exit_with_two(bench, spec, publish, message):
    text = spec or canonical_spec(bench.spec())
    command = [sys.executable, str(TESTS / "measure_tiny.py"), "--spec", text, "--publish", publish]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bench.folder)
    assert done.returncode == 2
    assert message in done.stderr
