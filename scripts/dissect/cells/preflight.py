"""Check each distinct request with the batch system once, before hundreds of jobs are submitted."""

import logging
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dissect.cells.resources import NAMES

_OPTIONS = {
    "clusters": "--clusters={}", "slurm_partition": "--partition={}", "slurm_account": "--account={}",
    "qos": "--qos={}", "constraint": "--constraint={}", "runtime": "--time={}", "mem_mb": "--mem={}",
    "nodes": "--nodes={}", "tasks": "--ntasks={}", "gres": "--gres={}",
}  # fmt: skip
_HOPELESS = re.compile(
    "(BadConstraints|PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|InvalidAccount|InvalidQOS"
    "|AccountNotAllowed|QOSNotAllowed|(QOS|Assoc)Max[A-Za-z]+Per(Job|Node)(Limit)?|QOSMin[A-Za-z]+)$"
    "|.* (so it can't|not permitted to) use this partition"
)
"""Reasons of squeue for a pending job that will never start: limits of one job, not those of all jobs of a user."""
_REASON_S = 3.0
"""How long a new job may have no reason yet."""


def refuse_what_cannot_run(requests: Iterable[Mapping[str, Any]]) -> None:
    """Exit before the run starts if the batch system is not there, or would never run one of the requests."""
    try:
        sentences = refusals(requests)
    except FileNotFoundError as error:
        sys.exit(
            f"llm-dissect: {error.filename}: command not found; profiles/slurm submits jobs from a login node of a "
            "Slurm cluster: run it there, or measure on this machine with 'snakemake all'"
        )
    if sentences:
        sys.exit("\n".join(f"llm-dissect: the batch system refuses: {sentence}" for sentence in sentences))


def refusals(requests: Iterable[Mapping[str, Any]]) -> list[str]:
    """One sentence per distinct request that the batch system will never run."""
    distinct = {sbatch_options({name: request.get(name) for name in NAMES}) for request in requests}
    sentences = ((options, _refusal(options)) for options in sorted(distinct))
    return [f"sbatch {shlex.join(options)}: {sentence}" for options, sentence in sentences if sentence]


def sbatch_options(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Options of sbatch for a request, as the executor writes them."""
    options = [form.format(request[name]) for name, form in _OPTIONS.items() if request.get(name) is not None]
    if (request.get("cpus_per_task") or 0) > 0:
        options.append(f"--cpus-per-task={request['cpus_per_task']}")
    if request.get("gpu"):
        model = request.get("gpu_model")
        options.append(f"--gpus={f'{model}:' if model else ''}{request['gpu']}")
    return (*options, *shlex.split(request.get("slurm_extra") or ""))


def _refusal(options: tuple[str, ...]) -> str | None:
    """Reason why the batch system would never run a job with these options, or None.

    A real job which does nothing tells it. ``--test-only`` also fails while all suitable nodes are down, when a job may
    well wait for them, and accepts accounts and QOS that a partition does not allow, the user's default ones too.
    """
    account = next((option.split("=", 1)[1] for option in options if option.startswith("--account=")), None)
    if account and (sentence := _account_refusal(account)):
        return sentence
    submitted = _run("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap=true")
    if submitted.returncode != 0:
        return " ".join(submitted.stderr.split())
    job, *cluster = submitted.stdout.strip().split(";")
    where = [f"--clusters={name}" for name in cluster]
    reason = _reason(job, where)
    _run("scancel", *where, job)
    return f"the job would never start, its pending reason is {reason}" if _HOPELESS.match(reason) else None


def _reason(job: str, where: Sequence[str]) -> str:
    """Why a new job is pending, in Slurm's words; empty if it is not."""
    end = time.monotonic() + _REASON_S
    while True:
        shown = _run("squeue", "--noheader", *where, f"--jobs={job}", "--states=PENDING", "--format=%r").stdout
        reason = shown.strip().rpartition("\n")[2]
        if reason != "None" or time.monotonic() > end:
            return reason
        time.sleep(0.25)


def _account_refusal(account: str) -> str | None:
    """Reason why the executor refuses an account, which it checks with sacctmgr or sshare; None if it does not."""
    from snakemake_executor_plugin_slurm.accounts import validate_account
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        validate_account(account, logging.getLogger(__name__))
    except WorkflowError as error:
        return " ".join(str(error).split())
    return None


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)
