"""What becomes of an attempt whose machine others use."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import tiny_runner
from dissect.base.outcome import Phase, Status
from dissect.machine import node_monitor
from dissect.machine.gpus import GpuInfo, NoGpus, Read
from dissect.machine.node import Node, taken
from dissect.machine.vendor import vendors
from dissect.ranks.attempt import run_attempt
from factories import hardware, pretrain_spec

GIB = 2**30


@contextmanager
def no_readings(_: Sequence[int]) -> Iterator[Read]:
    yield dict


@contextmanager
def lost_driver(_: Sequence[int]) -> Iterator[Read]:
    raise NoGpus("the driver is gone")
    yield


def test_an_attempt_that_is_broken_off_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_monitor, "vendor_of", lambda _: replace(vendors()["cuda"], reader=lost_driver))
    gpu = GpuInfo(0, "NVIDIA H200", "GPU-aa11", "580.1", 140 * GIB, None, {}, frozenset())
    spec = pretrain_spec(hardware(), batch=2)
    entry, deadline = partial(tiny_runner.run_rank, spec), time.monotonic() + 60
    with pytest.raises(NoGpus):
        run_attempt(spec, entry, Node([gpu], None), tmp_path / "ranks", deadline, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("used", "status", "reason"),
    [
        (GIB, Status.OOM, "the tiny memory is full"),
        (
            30 * GIB,
            Status.FAILED,
            "the tiny memory is full; before the launch: GPU 0 has 30.0 GiB of its memory in use",
        ),
    ],
)
def test_memory_that_others_had_is_not_missing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: int, status: Status, reason: str
) -> None:
    monkeypatch.setenv("TINY_LIMIT", "1")
    monkeypatch.setattr(node_monitor, "vendor_of", lambda _: replace(vendors()["cuda"], reader=no_readings))
    gpu = GpuInfo(0, "NVIDIA H200", "GPU-aa11", "580.1", 140 * GIB, None, {}, frozenset(), used_bytes=used)
    spec = pretrain_spec(hardware(), batch=2)
    entry, deadline = partial(tiny_runner.run_rank, spec), time.monotonic() + 60
    node = Node([gpu], None, [*taken([gpu], 140 * GIB)])
    ending = run_attempt(spec, entry, node, tmp_path / "ranks", deadline, "").ending
    assert (ending.status, ending.phase, ending.reason) == (status, Phase.FORWARD, reason)
