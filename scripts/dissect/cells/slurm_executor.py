"""Snakemake's executor for Slurm, which forgets no job and polls none for ever.

snakemake-executor-plugin-slurm 2.8.0 drops all active jobs when a status check fails (slurmctld or the accounting is
down), polls for ever what ended as PREEMPTED or NODE_FAIL or is no longer known, and gives a job up when slurmctld does
not answer at its submission. tests/unit/test_slurm_executor.py fails once a version of it needs none of this.
"""

import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import snakemake_executor_plugin_slurm as plugin
from snakemake_executor_plugin_slurm import Executor
from snakemake_executor_plugin_slurm.job_status_query import (
    is_query_tool_available,
    query_job_status,
    query_job_status_sacct,
)
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

ENDED: Final = (
    "PREEMPTED", "NODE_FAIL", "CANCELLED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE",
)  # fmt: skip
"""States of jobs that will not go on; Slurm shows the first two also for a moment while it requeues a job."""
COMPLETED: Final = "COMPLETED"
UNSEEN_CHECKS = 5
"""Checks in which squeue answers and does not know a new job, after which Slurm counts as having forgotten it."""
PING_S = 10.0
"""Between two questions whether slurmctld answers again."""
File = tuple[int, int]
Job = Any
"""A job as the plugin knows it (SubmittedJobInfo)."""


class SteadyExecutor(Executor):  # type: ignore[misc]
    """The plugin's executor, and what became of the jobs on which it has no word."""

    def __init__(self, workflow: Any, logger: Any) -> None:
        self._told: set[str] = set()
        self._known: set[str] = set()
        self._unseen: Counter[str] = Counter()
        self._ended_before: dict[str, str] = {}
        self._outputs_before: dict[str, File | None] = {}
        super().__init__(workflow, logger)

    def report_job_success(self, job_info: Job) -> None:
        """Tell Snakemake that a job has succeeded."""
        self._told.add(job_info.external_jobid)
        super().report_job_success(job_info)

    def report_job_error(self, job_info: Job, msg: str | None = None, **keywords: Any) -> None:
        """Tell Snakemake that a job has failed."""
        self._told.add(job_info.external_jobid)
        super().report_job_error(job_info, msg=msg, **keywords)

    def run_job(self, job: Any) -> None:
        """Submit a job, once slurmctld answers."""
        while self.wait and not _answers():
            self.logger.warning(f"slurmctld does not answer; the next question is in {PING_S:g} s")
            time.sleep(PING_S)
        self._outputs_before |= {path: _file(path) for path in job.output}
        super().run_job(job)

    async def check_active_jobs(self, active_jobs: Sequence[Job]) -> AsyncIterator[Job]:
        """Report the jobs that have ended; yields the others."""
        checked = super().check_active_jobs(active_jobs)
        kept = {job.external_jobid async for job in checked}
        ended = await self._ended({job.external_jobid for job in active_jobs}) if active_jobs else {}
        for job in active_jobs:
            identity = job.external_jobid
            if identity in self._told:
                continue
            gone = ended.get(identity) if ended.get(identity) == self._ended_before.get(identity) else None
            if gone == COMPLETED or ((gone or identity not in kept) and self._has_outputs(job)):
                self.report_job_success(job)
            elif gone:
                message = f"SLURM-job '{identity}' failed, SLURM status is: '{gone}'. "
                self.report_job_error(job, msg=message, aux_logs=[str(job.aux.get("slurm_logfile"))])
            else:
                if identity in ended:  # the next check confirms it
                    settings = self.workflow.executor_settings
                    self.next_seconds_between_status_checks = settings.init_seconds_before_status_checks
                yield job
        self._ended_before = ended

    def _has_outputs(self, job: Job) -> bool:
        """Whether all outputs are there, other than at its submission: each is published as a whole."""
        return all(_file(path) not in (None, self._outputs_before.get(path)) for path in job.job.output)

    async def _ended(self, active: set[str]) -> dict[str, str]:
        """Job -> state, of those that will not go on unless Slurm requeues them; none where squeue does not answer."""
        # The plugin's name for the query knows of another cluster (slurm_cluster_choice.py).
        states, _ = await query_job_status(plugin.query_job_status_squeue(self.run_uuid), self.logger)
        if states is None:
            return {}
        self._unseen.update(active - self._known - states.keys())
        self._known |= states.keys() | {job for job in active if self._unseen[job] >= UNSEEN_CHECKS}
        forgotten = self._known - states.keys() - self._told
        accounted: dict[str, str] | None = None
        if forgotten and is_query_tool_available("sacct"):
            accounted, _ = await query_job_status(query_job_status_sacct(self.run_uuid), self.logger)
        ended = {job: state.split()[0] for job, state in states.items() if state.startswith((*ENDED, COMPLETED))}
        # Accounting tells how a job ended that squeue has forgotten, but not that it goes on.
        said = {
            job: state.split()[0] for job, state in (accounted or {}).items() if state.startswith((*ENDED, COMPLETED))
        }
        return ended | {job: said.get(job, "no longer known") for job in forgotten}


def _answers() -> bool:
    try:
        return b" UP" in subprocess.run(["scontrol", "ping"], capture_output=True, timeout=60, check=False).stdout
    except FileNotFoundError:
        return True  # nobody to ask: sbatch tells
    except (OSError, subprocess.TimeoutExpired):
        return False


def _file(path: str) -> File | None:
    """What tells a file from the one that replaces it; None without a file."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def late_option(words: Sequence[str]) -> str:
    """Option of the measuring program in a retry, out of the arguments that the executor gives Snakemake in a job."""
    given = dict(pairwise(words))
    return f" --late-s {given.get('--latency-wait', 0)}" if int(given.get("--attempt", 1)) > 1 else ""


def install() -> None:
    """Have Snakemake use it in the plugin's place (``--executor slurm``)."""
    ExecutorPluginRegistry().get_plugin("slurm").executor = SteadyExecutor
