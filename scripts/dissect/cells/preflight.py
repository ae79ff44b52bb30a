"""Check each distinct request with the batch system once, before hundreds of jobs are submitted."""

import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from dissect.cells.resources import NAMES

_OPTIONS = {
    "slurm_partition": "--partition={}", "slurm_account": "--account={}", "qos": "--qos={}",
    "constraint": "--constraint={}", "slurm_extra": "{}", "runtime": "--time={}", "mem_mb": "--mem={}",
    "nodes": "--nodes={}", "tasks": "--ntasks={}", "gres": "--gres={}",
}  # fmt: skip
_HOPELESS = re.compile(
    "(BadConstraints|PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|InvalidAccount|InvalidQOS"
    "|AccountNotAllowed|QOSNotAllowed)$|.* so it can't use this partition"
)
"""Reasons of squeue for a pending job that will never start."""


def refuse_what_cannot_run(requests: Iterable[Mapping[str, Any]]) -> None:
    """Exit before the run starts if the batch system would never run one of the requests."""
    if sentences := refusals(requests):
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
    return tuple(options)


def _refusal(options: tuple[str, ...]) -> str | None:
    """Reason why the batch system would never run a job with these options, or None.

    ``--test-only`` also fails while all suitable nodes are down, when a job may well wait for them; a real job which
    does nothing tells the two apart. Some jobs that can never run are accepted all the same, and the test also accepts
    accounts and QOS that a partition does not allow.
    """
    account = next((option.split("=", 1)[1] for option in options if option.startswith("--account=")), None)
    if account and (sentence := _account_refusal(account)):
        return sentence
    by_name = any(option.startswith(("--account=", "--qos=")) for option in options)
    if _sbatch("--test-only", *options).returncode == 0 and not by_name:
        return None
    real = _sbatch("--parsable", "--output=/dev/null", *options)
    if real.returncode != 0:
        return " ".join(real.stderr.split())
    job = real.stdout.strip().split(";")[0]
    reason = _run("squeue", "--noheader", f"--jobs={job}", "--format=%r").stdout.strip()
    _run("scancel", job)
    return f"the job would never start, its pending reason is {reason}" if _HOPELESS.match(reason) else None


def _account_refusal(account: str) -> str | None:
    """Reason why the executor refuses an account, which it checks with sacctmgr or sshare; None if it does not."""
    from snakemake_executor_plugin_slurm.accounts import validate_account
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        validate_account(account, logging.getLogger(__name__))
    except WorkflowError as error:
        return " ".join(str(error).split())
    return None


def _sbatch(*options: str) -> subprocess.CompletedProcess[str]:
    return _run("sbatch", *options, "--wrap=true")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)
