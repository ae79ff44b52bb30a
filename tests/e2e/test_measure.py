"""The life of a cell as real processes: scripts/measure.py with a runner that needs no torch, killed and crowded."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from dissect.cells.spec import InspectSpec, Software, canonical_spec, spec_key
from dissect.metrics.training import TrainingMetrics
from dissect.results.agreement import check_samples
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result
from dissect.results.store import Failure
from dissect.stages.training.deepspeed.spec import PretrainSpec
from dissect.stages.training.siblings import with_batch
from factories import GIB, hardware, pretrain_spec
from small_disk import small_disk

pytestmark = pytest.mark.e2e
TESTS = Path(__file__).parents[1]


@dataclass
class Bench:
    """One project folder, and how to measure in it."""

    folder: Path

    def spec(self, batch: int | str = 1, budget_s: float = 60.0, **environment: str) -> PretrainSpec:
        on = hardware(device="cpu", n_gpus=2).model_copy(
            update={"environment": {"OMP_NUM_THREADS": "1"} | environment, "device_memory_bytes": 900 * GIB}
        )
        spec = pretrain_spec(on, batch=batch)
        sampling = spec.sampling.model_copy(update={"budget_s": budget_s})
        return spec.model_copy(update={"sampling": sampling, "software": Software()})

    def entry(self, spec: PretrainSpec | InspectSpec) -> Path:
        return self.folder / "store" / spec_key(canonical_spec(spec))

    def output(self, spec: PretrainSpec | InspectSpec) -> Path:
        return self.folder / "cells" / f"{self.entry(spec).name}.json"

    def start(self, spec: PretrainSpec | InspectSpec, *options: str, **keywords: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(TESTS / "measure_tiny.py"), "--spec", canonical_spec(spec)]
        command += ["--publish", str(self.output(spec)), "--store", str(self.folder / "store"), *options]
        environment = {"TINY_MARKS": str(self.folder / "marks"), **os.environ}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **keywords
        )

    def measure(self, spec: PretrainSpec | InspectSpec, *options: str, **keywords: Any) -> tuple[int, str, str]:
        process = self.start(spec, *options, **keywords)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def runs(self, spec: PretrainSpec | InspectSpec) -> list[Path]:
        """Folders of the cell's whole runs in the store."""
        return sorted((self.entry(spec) / "runs").glob("[0-9a-f]" * 12))

    def measured(self) -> int:
        """How often a runner was prepared."""
        return len(list((self.folder / "marks").iterdir()))

    def result(self, spec: PretrainSpec | InspectSpec) -> Result:
        return read_runs(self.output(spec)).newest


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "marks").mkdir()
    yield Bench(tmp_path)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert left == [], "no rank outlives its test"


def wait_for_ranks(
    bench: Bench, spec: PretrainSpec, process: subprocess.Popen[str], n: int = 2, attempts: int = 1
) -> list[psutil.Process]:
    deadline = time.monotonic() + 90
    log = bench.entry(spec) / "log.txt"
    while time.monotonic() < deadline:
        # Of several runs each has processes between this one and its ranks, some of which are gone in an instant.
        with suppress(psutil.NoSuchProcess):
            ranks = [each for each in psutil.Process(process.pid).children(recursive=True) if not each.children()]
            if len(ranks) == n and log.exists() and log.read_text().count("runs batch") >= n * attempts:
                return ranks
        time.sleep(0.02)
    raise AssertionError("the ranks did not start")


def wait_until_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 60
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        assert time.monotonic() < deadline, "a rank outlives its parent"
        time.sleep(0.02)


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


def test_parent_killed_half_way_leaves_nothing_and_the_next_run_finishes(bench):
    spec = bench.spec(TINY_STEP_S="0.5")
    process = bench.start(spec)
    ranks = wait_for_ranks(bench, spec, process)
    process.kill()
    process.communicate()
    wait_until_gone(ranks)
    assert bench.runs(spec) == []
    assert not bench.output(spec).exists()
    assert bench.measure(spec)[0] == 0
    assert bench.result(spec).attempts == 2, "the killed attempt counts"
    assert not (bench.entry(spec) / "ranks").exists()


def test_a_cell_that_is_killed_in_each_requeued_job_is_given_up_in_that_job(bench, monkeypatch):
    spec = bench.spec(TINY_STEP_S="0.5")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for attempt in (1, 2):
        process = bench.start(spec)
        ranks = wait_for_ranks(bench, spec, process, attempts=attempt)
        process.kill()
        process.communicate()
        wait_until_gone(ranks)
    code, _, err = bench.measure(spec)
    assert code == 1
    assert "2 attempts in a row were killed" in err
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert bench.measure(spec)[0] == 0
    assert bench.result(spec).attempts == 4


def test_a_job_that_was_preempted_again_and_again_is_not_given_up(bench, monkeypatch):
    spec = bench.spec(TINY_STEP_S="0.5")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for attempt in (1, 2):
        process = bench.start(spec)
        ranks = wait_for_ranks(bench, spec, process, attempts=attempt)
        process.kill()
        process.communicate()
        wait_until_gone(ranks)
    sacct = bench.folder / "bin/sacct"
    sacct.parent.mkdir()
    sacct.write_text("#!/bin/sh\nprintf 'PREEMPTED\\nPREEMPTED\\nRUNNING\\n'\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sacct.parent}:{os.environ['PATH']}")
    code, _, err = bench.measure(spec)
    assert code == 0, err
    assert bench.result(spec).attempts == 3


def test_several_broken_runs_are_measured_again_in_one_job(bench):
    spec = bench.spec()
    assert bench.measure(spec, "--runs", "3")[0] == 0
    bench.output(spec).unlink()
    for run in sorted((bench.entry(spec) / "runs").iterdir())[:2]:
        (run / "result.json").write_bytes(b"truncated")
    code, _, err = bench.measure(spec, "--runs", "3")
    assert code == 0, err
    assert len(read_runs(bench.output(spec)).runs) == 3


def test_a_retry_of_several_runs_waits_for_late_files_once(bench):
    spec = bench.spec()
    code, _, err = bench.measure(spec, "--runs", "2", "--late-s", "1")
    assert code == 0
    assert err.count("for late files") == 1


@pytest.mark.parametrize(("late_s", "measured"), [(3, 1), (60, 2)], ids=["in time", "too late"])
def test_a_retry_waits_for_files_that_appear_late(bench, late_s, measured):
    spec = bench.spec()
    bench.measure(spec)
    bench.output(spec).unlink()
    runs, unseen = bench.entry(spec) / "runs", bench.folder / "unseen"
    runs.rename(unseen)
    process = bench.start(spec, "--late-s", "6")
    if late_s < 6:
        time.sleep(late_s)
        unseen.rename(runs)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "waiting 6 s for late files" in err
    assert bench.measured() == measured
    assert bench.result(spec).attempts == 1


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_ranks_and_is_recorded(bench, number):
    spec = bench.spec(TINY_STEP_S="5")
    process = bench.start(spec)
    ranks = wait_for_ranks(bench, spec, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    wait_until_gone(ranks)
    assert process.returncode == 128 + number
    assert f"ended by {number.name}" in err
    failure = Failure.model_validate_json((bench.entry(spec) / "failure.json").read_bytes())
    assert (failure.attempt, failure.reason) == (1, f"ended by {number.name}")
    assert not bench.output(spec).exists()


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


def test_truncated_result_is_measured_again(bench):
    spec = bench.spec()
    bench.measure(spec)
    (run,) = bench.runs(spec)
    (run / "result.json").write_bytes((run / "result.json").read_bytes()[:500])
    code, _, err = bench.measure(spec)
    assert code == 0
    assert f"kept as {run.name}.invalid-1" in err
    assert bench.result(spec).status == "ok"
    assert bench.measured() == 2
    assert (run.parent / f"{run.name}.invalid-1").is_dir()


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_leaves_the_runs_and_what_is_published(bench, number, monkeypatch):
    spec = bench.spec()
    assert bench.measure(spec)[0] == 0
    before, published = content_of(bench.entry(spec) / "runs"), bench.output(spec).read_bytes()
    monkeypatch.setenv("TINY_STEP_S", "5")
    process = bench.start(spec, "--runs", "2")
    ranks = wait_for_ranks(bench, spec, process, attempts=2)
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_until_gone(ranks)
    assert content_of(bench.entry(spec) / "runs") == before
    assert bench.output(spec).read_bytes() == published
    assert bench.measure(spec)[0] == 0
    assert bench.measured() == 2, "the next run measures nothing"


def _files_of_four_kilobytes() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_a_disk_that_fills_while_ranks_run_is_named(bench):
    """Then neither the ranks' reports nor the record of the failure can be written any more."""
    spec = bench.spec(TINY_FAULT="disk")
    with small_disk(bench.folder / "store"):
        code, _, err = bench.measure(spec)
        assert code == 1
        assert re.search(r": failed: rank [01]: its report could not be written: No space left on device: rank-", err)
        assert not list(bench.entry(spec).rglob("rank-*"))


def test_full_disk_fails_clearly_and_the_next_run_finishes(bench):
    bench.measure(bench.spec())  # with all byte code written, which would be cut as well
    spec = bench.spec(TINY_STEPS="100")
    code, _, err = bench.measure(spec, preexec_fn=_files_of_four_kilobytes)
    assert code == 1
    assert "File too large: " in err.splitlines()[-1]
    assert "steps.jsonl" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert bench.runs(spec) == []
    assert not list(bench.entry(spec).rglob(".*"))
    assert bench.measure(spec)[0] == 0
    assert bench.result(spec).status == "ok"


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
