"""Who measures a cell right now: a small file beside the result, believed only as long as it can be true.

The lock of the key says whether somebody measures, and dies with the process; the file says who and since when. Where
the lock of another host cannot be seen (``flock`` is local on some shared file systems), Slurm knows whether the job is
still there, and without Slurm the cell's budget says how long the file can be true.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import PositiveInt, ValidationError

from dissect.base.model import Model
from dissect.results.atomic import write_atomically
from dissect.results.store import Entry

FILE = "running.json"
MARGIN_S = 600
"""What a cell may take beyond its budget: imports before it, writing after it."""


class Activity(Model):
    """One attempt that is under way, or was when its process was killed."""

    publishes: str
    """The path that the result is for; cells of two names may share one key."""
    attempt: PositiveInt
    started_at: str
    """UTC, ISO 8601."""
    host: str
    pid: PositiveInt
    slurm_job: str | None

    def seconds(self, now: datetime) -> float:
        """Seconds since the attempt started."""
        return (now - datetime.fromisoformat(self.started_at)).total_seconds()


@contextmanager
def announced(entry: Entry, publishes: Path, attempt: int) -> Iterator[None]:
    """Leave the file while the block runs; the caller holds the key's lock. Measuring never fails for it."""
    path = entry.folder / FILE
    activity = Activity(
        publishes=str(publishes), attempt=attempt, started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        host=platform.node(), pid=os.getpid(), slurm_job=os.environ.get("SLURM_JOB_ID"),
    )  # fmt: skip
    with suppress(OSError):
        write_atomically(path, activity.model_dump_json(indent=1).encode() + b"\n")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def activity_of(entry: Entry) -> Activity | None:
    """The attempt that the file records, alive or not; None without a file."""
    try:
        return Activity.model_validate_json((entry.folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def next_attempt(entry: Entry) -> int:
    """Number of the next attempt since the last result: 1, or one more than the last that failed or was killed."""
    return _last_failed(entry) + killed_attempts(entry) + 1


def killed_attempts(entry: Entry) -> int:
    """Attempts in a row whose process was killed before it could record why; the caller holds the lock of the key."""
    activity = activity_of(entry)
    return max(0, activity.attempt - _last_failed(entry)) if activity else 0


def _last_failed(entry: Entry) -> int:
    failure = entry.failure()
    return failure.attempt if failure else 0


def is_true(
    activity: Activity, locked: bool, budget_s: float, now: datetime, jobs: Callable[[], Set[str] | None]
) -> bool:
    """Whether the process behind the file can still be at work.

    ``locked`` is what this host sees of the key's lock; ``jobs`` gives the ids of Slurm's running jobs, None where
    Slurm does not answer, and is asked only if need be.
    """
    if locked or activity.host == platform.node():
        return locked
    if activity.slurm_job is not None and (running := jobs()) is not None:
        return activity.slurm_job in running
    return activity.seconds(now) < budget_s + MARGIN_S


def is_measured_elsewhere(entry: Entry) -> bool:
    """Whether a process of another host can still measure the cell; the caller holds the lock of the key here."""
    activity = activity_of(entry)
    return activity is not None and is_true(activity, False, _budget_s(entry), datetime.now(UTC), slurm_jobs)


def under_way(entry: Entry, jobs: Callable[[], Set[str] | None]) -> Activity | None:
    """The attempt that a process is at now, as far as this host can tell; None without one. ``jobs`` as above."""
    activity = activity_of(entry)
    if activity and is_true(activity, entry.held(), _budget_s(entry), datetime.now(UTC), jobs):
        return activity
    return None


def _budget_s(entry: Entry) -> float:
    return (entry.spec() or {}).get("sampling", {}).get("budget_s") or 0.0


def slurm_jobs() -> Set[str] | None:
    """Ids of the jobs that run now, of all users; None where Slurm does not answer."""
    command = ["squeue", "--noheader", "--format=%A", "--states=RUNNING"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(done.stdout.split()) if done.returncode == 0 else None


def times_requeued(job: str) -> int:
    """How often a job was preempted, or requeued by a user: the cell did not cause it. 0 without accounting."""
    command = ["sacct", "--noheader", "--allocations", "--duplicates", "--parsable2", "--format=State", f"--jobs={job}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith(("PREEMPTED", "REQUEUED")) for line in done.stdout.splitlines())
