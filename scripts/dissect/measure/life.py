"""The life of a cell: lock, publish what is there, else decide, measure, write and publish."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import InspectSpec, OperatorSpec, ServeSpec, Spec, TrainingSpec, canonical_spec, spec_key
from dissect.measure.attempt_process import Interrupted, interruptible, output_to
from dissect.results.activity import activity_of, announced, killed_attempts, next_attempt, times_requeued
from dissect.results.cell_runs import CellRuns
from dissect.results.result import Result, ResultError, Round, parse_result
from dissect.results.store import Entry, Failure, Store

if TYPE_CHECKING:
    from dissect.machine.node import Node
    from dissect.ranks.measurement import Measurement

_LOG = logging.getLogger(__name__)
LATE_LOOK_S = 1.0
KILLED_LIMIT = 2
"""Attempts that may be killed in a row in one job: Slurm requeues a job without end when its nodes go down."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a measurement."""

    runs: int = 1
    """Runs that the cell needs."""
    round: Round | None = None
    """Where in a pass over several cells the run is measured."""
    again: bool = False
    """Whether an outcome other than ``ok`` is measured as well."""
    fresh: str | None = None
    """Name under which earlier runs are set aside first, once; None: they count."""
    forked: bool = False
    """Whether this process was forked from one that had imported the libraries."""
    late_s: float = 0.0
    """Seconds by which files of an earlier try may appear late, as on NFS; 0 in the first try."""


class CellFailed(RuntimeError):
    """The cell was not measured; the message says why, and the log more."""

    def __init__(self, reason: str, phase: Phase | None = None) -> None:
        super().__init__(reason)
        self.phase = phase


def measure_cell(spec: Spec, store: Store, output: Path, asked: Asked, launcher: str) -> CellRuns:
    """Measure one run of the cell if it lacks runs, and publish the cell once it lacks none; returns its runs.

    ``launcher`` is the command that starts this Python, for the cell's other nodes.

    Raises:
        CellFailed: it was not measured; the failure is recorded and nothing is published.
        KeyCollision: the store has another spec under the key.
        ResultError: a later version of the project measured it.
    """
    canonical = canonical_spec(spec)
    entry = store.entry(spec_key(canonical))
    with entry.locked():
        entry.claim(canonical)
        if asked.fresh:
            entry.set_aside_runs(asked.fresh)
        _wait_for_late_files(entry, asked)
        _check(entry)
        if entry.lacks_runs(asked.runs, asked.again):
            attempt = next_attempt(entry)
            _refuse_if_it_kills(entry, attempt)
            with announced(entry, output, attempt):
                _measure_and_store(spec, store, entry, asked, attempt, launcher)
        if not entry.lacks_runs(asked.runs, asked.again):
            entry.publish(output)
        known = entry.peek()
    assert known is not None, "a run was measured, or one was there"
    return known


def _wait_for_late_files(entry: Entry, asked: Asked) -> None:
    """Wait until the store shows the run of an earlier try, or why there is none; measuring twice costs more."""
    until, said = time.monotonic() + asked.late_s, False
    while time.monotonic() < until and entry.lacks_runs(asked.runs, asked.again) and next_attempt(entry) == 1:
        if not said:
            _LOG.info("%s: waiting %g s for late files: no trace of an earlier try", entry.key, asked.late_s)
        said = True
        time.sleep(LATE_LOOK_S)


def _check(entry: Entry) -> None:
    """Set broken runs aside; one of a later version of the project is recorded as a failure.

    Raises:
        ResultError: a later version of the project measured the cell.
    """
    try:
        entry.runs()
    except ResultError as error:
        entry.write_failure(_failed(entry, next_attempt(entry), str(error), None))
        raise


def _refuse_if_it_kills(entry: Entry, attempt: int) -> None:
    """Fail in a job that Slurm requeues again and again because each node goes down under the cell.

    Raises:
        CellFailed: too many attempts were killed in a row, the last of them in this job.
    """
    killed, last, job = killed_attempts(entry), activity_of(entry), os.environ.get("SLURM_JOB_ID")
    if killed < KILLED_LIMIT or not (job and last and last.slurm_job == job):
        return
    if killed - times_requeued(job) >= KILLED_LIMIT:
        reason = f"{killed} attempts in a row were killed before they could record why: does the cell take nodes down?"
        entry.write_failure(_failed(entry, attempt, reason, None))
        raise CellFailed(reason)


def _failed(entry: Entry, attempt: int, reason: str, phase: Phase | None) -> Failure:
    return Failure(
        attempt=attempt,
        phase=phase,
        reason=reason,
        log=str(entry.log_path),
        failed_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _measure_and_store(spec: Spec, store: Store, entry: Entry, asked: Asked, attempt: int, launcher: str) -> None:
    _LOG.info("%s: measuring, attempt %d; log: %s", entry.key, attempt, entry.log_path)
    with interruptible() as finish:
        try:
            with output_to(entry.log_path, attempt):
                result, measurement = _measure(spec, store, entry, attempt, launcher, finish)
            where = result.provenance and result.provenance.model_copy(update={"forked": asked.forked})
            result = result.model_copy(update={"round": asked.round, "provenance": where})
            entry.write_run(result, measurement.samples, measurement.files)
        except (Exception, Interrupted) as error:
            failure = error if isinstance(error, CellFailed) else CellFailed(_sentence(error))
            with suppress(OSError):  # a full disk must not hide the reason
                entry.write_failure(_failed(entry, attempt, str(failure), failure.phase))
            if isinstance(error, Interrupted):
                raise
            raise failure from error


def _sentence(error: BaseException) -> str:
    from dissect.ranks.messages import describe

    return str(error) if isinstance(error, Interrupted) else describe(error)


def _measure(
    spec: Spec, store: Store, entry: Entry, attempt: int, launcher: str, finish: Callable[[], None]
) -> "tuple[Result, Measurement]":
    """Run the cell; the result is read back from its own JSON, so that what is written is known to be valid.

    ``finish`` is called once there is an outcome, which is stored even if a signal asks to end.
    """
    start = time.monotonic()
    measurement = _decide_or_run(spec, store, entry, launcher)
    if measurement.status is Status.FAILED:
        raise CellFailed(measurement.reason or "no reason was given", measurement.phase)
    finish()
    from dissect.machine.vendor import vendors
    from dissect.results import provenance

    launched = measurement.status is not Status.SKIPPED_OOM
    durations = measurement.durations.model_copy(update={"total_s": time.monotonic() - start})
    result = Result(
        key=entry.key,
        spec=spec,
        status=measurement.status,
        phase=measurement.phase,
        reason=measurement.reason,
        metrics=measurement.metrics,
        flags=list(measurement.flags),
        attempts=attempt,
        durations=durations,
        provenance=provenance.collect(
            measurement.gpus,
            measurement.other_processes,
            measurement.notes,
            variables=[prefix for vendor in vendors().values() for prefix in vendor.variables],
            distributions=[prefix for vendor in vendors().values() for prefix in vendor.distributions],
            machine_gpus=measurement.machine_gpus,
            anchors=measurement.anchors,
        )
        if launched
        else None,
    )
    return parse_result(result.model_dump_json().encode()), measurement


def _decide_or_run(spec: Spec, store: Store, entry: Entry, launcher: str) -> "Measurement":
    """What can be known without running, else what running it shows."""
    from dissect.machine.idle import look_once_free
    from dissect.machine.lease import own_gpus, own_host
    from dissect.machine.node import look_at_node
    from dissect.measure.preload import set_environment
    from dissect.ranks.measurement import Measurement
    from dissect.ranks.runner import load_inspector
    from dissect.results.installed import installed, software_mismatch

    if isinstance(spec, TrainingSpec):
        from dissect.stages.training.other_cells import certain_oom

        if sentence := certain_oom(spec, store):
            return Measurement(Status.SKIPPED_OOM, reason=sentence)
    declared = spec.client if isinstance(spec, ServeSpec) else spec.software
    if sentence := software_mismatch(declared, installed()):
        return Measurement(Status.INVALID, reason=sentence)
    set_environment(spec)
    if isinstance(spec, InspectSpec):
        return load_inspector(spec).inspect(look_at_node(spec.hardware))
    alone = isinstance(spec, ServeSpec)
    with own_host(spec.hardware.device, alone), own_gpus(spec.hardware) as machine_gpus:
        # A server waits itself: for longer, and not at all where it runs already.
        node = look_at_node(spec.hardware) if alone else look_once_free(spec.hardware)
        measurement = _run(spec, store, entry, node, launcher)
        return replace(measurement, machine_gpus=machine_gpus)


def _run(
    spec: TrainingSpec | ServeSpec | OperatorSpec, store: Store, entry: Entry, node: "Node", launcher: str
) -> "Measurement":
    """Measure, each kind of cell in its way. Imports the heavy libraries at the very end."""
    workdir = entry.folder / "ranks"
    if isinstance(spec, ServeSpec):
        from dissect.stages.serving.measure import measure_server

        return measure_server(spec, node, entry.folder)
    if isinstance(spec, TrainingSpec):
        from dissect.stages.training.measure import measure_training

        return measure_training(spec, node, store, workdir, launcher)
    from dissect.stages.operators.measure import measure_operator

    return measure_operator(spec, node, workdir, launcher)
