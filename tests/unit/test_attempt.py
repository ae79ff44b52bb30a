"""What becomes of an attempt whose machine others use."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import tiny_runner
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.spec import canonical_spec
from dissect.machine import node_monitor
from dissect.machine.gpus import GpuInfo, GpuLoad, NoGpus, Read
from dissect.machine.lease import Neighbours
from dissect.machine.node import Node
from dissect.machine.node_monitor import NodeMonitor
from dissect.machine.vendor import vendors
from dissect.metrics.training import TrainingMetrics, Trial
from dissect.predict.outlook import LargestBatch
from dissect.ranks.attempt import Attempt, run_attempt
from dissect.ranks.supervise import Ending
from dissect.results.result import Durations
from dissect.results.store import Store
from dissect.stages.training import measure, other_cells
from factories import GIB, hardware, measured_at, ok_result, pretrain_spec, training_metrics

HELD = "GPU 0 has 30.0 GiB of its memory in use"
GPU = GpuInfo(0, "NVIDIA H200", "GPU-aa11", "580.1", 140 * GIB, None, {}, frozenset())


@contextmanager
def no_readings(_: Sequence[int]) -> Iterator[Read]:
    yield dict


@contextmanager
def lost_driver(_: Sequence[int]) -> Iterator[Read]:
    raise NoGpus("the driver is gone")
    yield


def test_an_attempt_that_is_broken_off_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_monitor, "vendor_of", lambda _: replace(vendors()["cuda"], reader=lost_driver))
    spec = pretrain_spec(hardware(), batch=2)
    entry, deadline = partial(tiny_runner.run_rank, spec), time.monotonic() + 60
    with pytest.raises(NoGpus):
        run_attempt(spec, entry, Node([GPU], None), tmp_path / "ranks", deadline, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("batch", "limit", "held", "status", "reason"),
    [
        (2, 1, [], Status.OOM, "the tiny memory is full"),
        (2, 1, [HELD], Status.FAILED, f"the tiny memory is full; before the launch: {HELD}"),
        ("max", 0, [], Status.OOM, "batch 1: the tiny memory is full"),
        ("max", 0, [HELD], Status.FAILED, f"batch 1: the tiny memory is full; before the launch: {HELD}"),
        ("max", 2, [], Status.OK, None),
        ("max", 2, [HELD], Status.OK, None),
    ],
)
def test_memory_that_others_had_is_not_missing_for_good(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int | str,
    limit: int,
    held: list[str],
    status: Status,
    reason: str | None,
) -> None:
    """What runs out of memory then is no result, but a search ends, with a batch that is flagged."""
    monkeypatch.setenv("TINY_LIMIT", f"{limit}")
    monkeypatch.setattr(node_monitor, "vendor_of", lambda _: replace(vendors()["cuda"], reader=no_readings))
    monkeypatch.setattr(measure, "load_runner", lambda _: tiny_runner)
    monkeypatch.setattr(other_cells, "largest_batch", lambda _: LargestBatch(2, 2, 2))
    spec = pretrain_spec(hardware(n_gpus=1), batch=batch)
    found = measure.measure_training(spec, Node([GPU], None, held), Store(tmp_path), tmp_path / "ranks", "")
    assert (found.status, found.reason) == (status, reason)
    assert (Flag.OTHER_PROCESSES in found.flags) is (status is Status.OK and bool(held))
    if status is Status.OK:
        assert isinstance(found.metrics, TrainingMetrics)
        assert {trial.batch: trial.status for trial in found.metrics.trials} == {2: Status.OK, 3: Status.OOM}


@pytest.mark.parametrize(("phase", "status"), [(Phase.BACKWARD, Status.FAILED), (Phase.HOST, Status.OOM)])
def test_memory_of_every_node_counts(phase: Phase, status: Status) -> None:
    here, there = (
        NodeMonitor(Node([GPU], None, held), GpuLoad([GPU], no_readings), None, Neighbours([]))
        .observe(0, 1, [])
        .model_copy(update={"name": name})
        for name, held in (("cn1", []), ("cn2", [HELD]))
    )
    attempt = Attempt(Ending(Status.OOM, phase, "full", []), 0.0, [], [here, there], 0.0, {})
    judged = attempt.judged(attempt.measurement(Durations())[0])
    assert judged.status is status
    assert judged.reason == ("full" if status is Status.OOM else f"full; before the launch: {HELD} on cn2")


@pytest.mark.parametrize(("device", "certain"), [("cuda", False), ("cpu", True)])
def test_a_search_beside_others_rules_no_batch_out(tmp_path: Path, device: str, certain: bool) -> None:
    spec, store = pretrain_spec(hardware(device=device), batch="max"), Store(tmp_path)
    trials = [Trial(batch=2, status=Status.OK), Trial(batch=3, status=Status.OOM)]
    metrics = training_metrics(spec).model_copy(update={"trials": trials})
    for flags in ([Flag.OTHER_PROCESSES], []):
        result = ok_result(spec, metrics, flags)
        (entry := store.entry(result.key)).claim(canonical_spec(spec))
        entry.write_run(measured_at(result, entry.count()), [])
        expected = certain or not flags
        assert ("at batch 3" in str(other_cells.certain_oom(other_cells.with_batch(spec, 3), store))) is expected
