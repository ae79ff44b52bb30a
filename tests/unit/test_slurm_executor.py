"""The executor for Slurm: what the plugin's own forgets, and what this one makes of it. Slurm is shell scripts here."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as plugin_module
from snakemake_executor_plugin_slurm import Executor
from throttler import Throttler

from dissect.cells.slurm_cluster_choice import use_one_cluster
from dissect.cells.slurm_executor import UNSEEN_CHECKS, SteadyExecutor, _answers, _file, late_option

DOWN = "echo 'Unable to contact slurm controller' >&2; exit 1"


class Desk:
    """Stands for Snakemake: it notes what it is told."""

    def __init__(self, kind: type[Executor], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, str]] = []
        self.folder = folder
        settings = SimpleNamespace(
            status_command="squeue", status_attempts=2, init_seconds_before_status_checks=3, requeue=True,
            keep_successful_logs=True,
        )  # fmt: skip
        self.executor = kind.__new__(kind)
        self.executor.__dict__ |= {
            "workflow": SimpleNamespace(
                executor_settings=settings,
                scheduler=SimpleNamespace(
                    finish_callback=lambda job: self.told.append(("success", job.name)),
                    error_callback=lambda job: self.told.append(("error", job.name)),
                ),
            ),
            "logger": logging.getLogger("desk"), "status_rate_limiter": Throttler(rate_limit=100, period=1),
            "run_uuid": "run", "print_job_error": lambda *_, **__: None, "_preemption_warning": False,
            "_status_query_calls": 0, "_status_query_failures": 0, "_status_query_total_seconds": 0.0,
            "_status_query_min_seconds": None, "_status_query_max_seconds": 0.0, "_status_query_cycle_rows": [],
            "_failed_nodes": set(), "_next_seconds_between_status_checks": 3,
            "_told": set(), "_known": set(), "_unseen": Counter(), "_ended_before": {}, "_outputs_before": {},
        }  # fmt: skip
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.program("scontrol", "echo 'MinJobAge = 300 sec'")
        self.program("sacct", "exit 1")

    def program(self, name: str, script: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / name).chmod(0o755)

    def job(self, number: int, *output: Path) -> Any:
        job = SimpleNamespace(name=str(number), output=[str(path) for path in output])
        return SimpleNamespace(job=job, external_jobid=str(number), aux={"slurm_logfile": Path("log")})

    def check(self, jobs: list[Any], squeue: str) -> list[Any]:
        """Jobs that are still active when squeue does so."""
        self.program("squeue", squeue)

        async def active() -> list[Any]:
            return [job async for job in self.executor.check_active_jobs(jobs)]

        return asyncio.run(active())


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(Executor, tmp_path, monkeypatch)


@pytest.fixture
def steady(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(SteadyExecutor, tmp_path, monkeypatch)


def test_the_plugin_still_needs_this(plugin: Desk) -> None:
    """Once this fails, a new version of the plugin does better: remove what it no longer needs."""
    job = plugin.job(1)
    assert plugin.check([job], DOWN) == [], "it forgets a job if a check fails"
    for state in ("PREEMPTED", "PREEMPTED", "NODE_FAIL", "NODE_FAIL"):
        assert plugin.check([job], f"echo '1|{state}'") == [job], "it polls for ever"
    assert plugin.check([job], "true") == [job], "it polls for ever"
    assert plugin.told == []


def test_a_failed_check_forgets_no_job_and_a_published_result_ends_its_job(steady: Desk, tmp_path: Path) -> None:
    output = tmp_path / "cell.json"
    running, done = steady.job(1, tmp_path / "other.json"), steady.job(2, output)
    output.touch()
    old = steady.job(3, tmp_path / "old.json")
    (tmp_path / "old.json").touch()
    steady.executor._outputs_before = {str(tmp_path / "old.json"): _file(str(tmp_path / "old.json"))}
    assert steady.check([running, done, old], DOWN) == [running, old], "an output from before the job tells nothing"
    assert steady.told == [("success", "2")]
    assert steady.check([running], "echo '1|RUNNING'") == [running]
    assert steady.check([running], "echo '1|COMPLETED'") == []
    assert steady.told == [("success", "2"), ("success", "1")]


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_a_job_that_slurm_does_not_requeue_has_failed(steady: Desk, tmp_path: Path, state: str) -> None:
    job = steady.job(1, tmp_path / "cell.json")
    assert steady.check([job], f"echo '1|{state}'") == [job]
    assert steady.check([job], "echo '1|PENDING'") == [job], "it was requeued"
    assert steady.check([job], f"echo '1|{state}'") == [job]
    assert steady.told == []
    assert steady.executor.next_seconds_between_status_checks == 3
    assert steady.check([job], f"echo '1|{state}'") == []
    assert steady.told == [("error", "1")]


def test_a_job_that_slurm_forgot_has_failed_unless_its_result_is_there(steady: Desk, tmp_path: Path) -> None:
    output = tmp_path / "cell.json"
    output.touch()
    lost, done, new = steady.job(1, tmp_path / "other.json"), steady.job(2, output), steady.job(3, tmp_path / "new")
    assert steady.check([lost, done], "echo '1|RUNNING'; echo '2|RUNNING'") == [lost, done]
    assert steady.check([lost, done], "true") == [lost, done]
    assert steady.check([lost, done, new], "true") == [new], "a job that was never seen may be too new"
    assert steady.told == [("error", "1"), ("success", "2")]


@pytest.mark.parametrize(("state", "told"), [("COMPLETED", "success"), ("RUNNING", "error"), ("FAILED", "error")])
def test_a_job_that_only_accounting_knows_has_ended(steady: Desk, tmp_path: Path, state: str, told: str) -> None:
    """Squeue forgets a job after MinJobAge, and the plugin may look only every three minutes."""
    job = steady.job(1, tmp_path / "late.json")
    assert steady.check([job], "echo '1|RUNNING'") == [job]
    steady.program("sacct", f"echo '1|{state}'")
    assert steady.check([job], "true") == [job]
    assert steady.check([job], "true") == []
    assert steady.told == [(told, "1")]


def test_a_job_that_squeue_never_shows_is_not_polled_for_ever(steady: Desk, tmp_path: Path) -> None:
    job = steady.job(1, tmp_path / "cell.json")
    for _ in range(UNSEEN_CHECKS):
        assert steady.check([job], DOWN) == [job], "no answer tells nothing"
        assert steady.check([job], "true") == [job]
    assert steady.check([job], "true") == []
    assert steady.told == [("error", "1")]


def test_what_became_of_a_job_is_asked_of_the_cluster_that_has_it(
    steady: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_module, "query_job_status_squeue", plugin_module.query_job_status_squeue)
    use_one_cluster([{"clusters": "other"}])
    job = steady.job(1, tmp_path / "cell.json")
    there = """case "$*" in *--clusters=other*) echo 'CLUSTER: other'; echo '1|PREEMPTED';; esac"""
    assert steady.check([job], there) == [job]
    assert steady.check([job], there) == []
    assert steady.told == [("error", "1")]


def test_a_host_without_scontrol_submits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _answers()


def test_a_retry_in_a_job_knows_how_late_files_may_be() -> None:
    words = ["snakemake", "--attempt", "2", "--latency-wait", "60"]
    assert late_option(words) == " --late-s 60"
    assert late_option(["snakemake", "--attempt", "1", "--latency-wait", "60"]) == late_option(["snakemake"]) == ""
