"""Runs on another Slurm cluster than that of the submitting host.

snakemake-executor-plugin-slurm 2.8.0 submits and cancels there, but its query by squeue sees the own cluster alone, and
it knows jobs by numbers, which two clusters give out independently.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any


def use_one_cluster(requests: Iterable[Mapping[str, Any]]) -> None:
    """Let the executor see the jobs of the cluster that a run's requests name; exits where they name several."""
    names = {request.get("clusters") for request in requests}
    if len(names) > 1:
        shown = ", ".join(sorted(name or "that of this host" for name in names))
        sys.exit(
            f"llm-dissect: this run has cells for several Slurm clusters ({shown}), whose jobs the executor cannot "
            "tell apart: run the platforms of each by itself, with --config 'platforms=[…]' or 'select=…'"
        )
    if name := next(iter(names), None):
        _ask(name)


def _ask(cluster: str) -> None:
    import snakemake_executor_plugin_slurm as executor

    query = executor.query_job_status_squeue
    executor.query_job_status_squeue = lambda run: f"{query(run)} --clusters={cluster}"
