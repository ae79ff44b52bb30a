"""Cells that are killed, retried, or meet a full disk, as real processes."""

import os
import re
import resource
import signal
import time

import pytest

from dissect.results.cell_runs import read_runs
from dissect.results.store import Failure
from dissect.stages.training.deepspeed.spec import PretrainSpec
from measure_bench import Bench, content_of, wait_for_ranks, wait_until_gone
from small_disk import small_disk

pytestmark = pytest.mark.e2e


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


def kill_twice(bench: Bench, spec: PretrainSpec) -> None:
    for attempt in (1, 2):
        process = bench.start(spec)
        ranks = wait_for_ranks(bench, spec, process, attempts=attempt)
        process.kill()
        process.communicate()
        wait_until_gone(ranks)


def test_a_cell_that_is_killed_in_each_requeued_job_is_given_up_in_that_job(bench, monkeypatch):
    spec = bench.spec(TINY_STEP_S="0.5")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    kill_twice(bench, spec)
    code, _, err = bench.measure(spec)
    assert code == 1
    assert "2 attempts in a row were killed" in err
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert bench.measure(spec)[0] == 0
    assert bench.result(spec).attempts == 4


def test_a_job_that_was_preempted_again_and_again_is_not_given_up(bench, monkeypatch):
    spec = bench.spec(TINY_STEP_S="0.5")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    kill_twice(bench, spec)
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
    assert any("waiting 6 s for late files" in line for line in process.stderr)
    if late_s < 6:
        time.sleep(late_s)
        unseen.rename(runs)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert bench.measured() == measured
    assert bench.result(spec).attempts == 1


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


def test_a_signal_after_the_last_step_loses_no_run(bench, monkeypatch):
    """What describes the machine may take seconds, such as git on a slow file system."""
    spec, asked = bench.spec(), bench.folder / "asked"
    git = bench.folder / "bin/git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\ntouch {asked}\nsleep 2\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    process = bench.start(spec)
    while not asked.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert len(bench.runs(spec)) == 1
    assert not (bench.entry(spec) / "failure.json").exists()
    assert bench.measure(spec)[0] == 0
    assert bench.measured() == 1
