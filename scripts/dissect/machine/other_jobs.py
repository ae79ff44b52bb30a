"""Which other jobs Slurm had on this node while a cell was measured: a node that is not exclusive is shared unseen."""

import os
import subprocess
import time

_TIMEOUT_S = 10
_RUNNING = "RUNNING,SUSPENDED,COMPLETING,COMPLETED,CANCELLED,FAILED,TIMEOUT,OUT_OF_MEMORY,NODE_FAIL,PREEMPTED"


def other_jobs(start: float, end: float) -> list[str] | None:
    """Ids of the other jobs on this node between two moments, CLOCK_MONOTONIC; empty outside a job, None if unknown.

    What Slurm does not show is not found: jobs of others where they are private.
    """
    own, node = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME")
    if own is None or node is None:
        return []
    command = ["squeue", "--noheader", f"--nodelist={node}", f"--states={_RUNNING}", "--format=%A %S %e"]
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    try:
        shown = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    booted = time.time() - time.monotonic()
    jobs = (line.split() for line in shown.splitlines())
    return sorted({
        job for job, began, ended in jobs
        if job != own and began.isdigit() and int(began) < booted + end
        and not (ended.isdigit() and int(ended) < booted + start)
    })  # fmt: skip
