"""A runner without torch, for tests of what surrounds a runner: each rank holds memory and 'trains' by sleeping.

Knobs come from environment variables that a spec's hardware may declare:
TINY_PREPARE_S seconds of preparation, TINY_STEPS measured steps of TINY_STEP_S seconds, TINY_LIMIT is the largest batch
that fits, TINY_UNTIL a file that the first step waits for, TINY_FAULT is what goes wrong on the last rank: always, or
until the file TINY_ONCE exists, which the fault itself leaves.
"""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import TrainingSpec
from dissect.ranks.messages import RankContext, RankReport
from dissect.results.result import Anchor


def import_libraries(_: TrainingSpec) -> None:
    """There are none; TINY_THREAD starts a thread in their place."""
    if os.environ.get("TINY_THREAD"):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def prepare(_: TrainingSpec) -> None:
    if marks := os.environ.get("TINY_MARKS"):  # counts measurements across processes
        (Path(marks) / f"{os.getpid()}").touch()
    time.sleep(float(os.environ.get("TINY_PREPARE_S", "0")))


def run_rank(spec: TrainingSpec, context: RankContext) -> RankReport:
    rank = int(os.environ["RANK"])
    last = rank == int(os.environ["WORLD_SIZE"]) - 1
    context.enter(Phase.FORWARD)
    assert isinstance(spec.workload.batch, int)
    print(f"rank {rank} runs batch {spec.workload.batch}")
    if spec.workload.batch > int(os.environ.get("TINY_LIMIT", "1000000")):
        return RankReport(rank=rank, status=Status.OOM, phase=Phase.FORWARD, reason="the tiny memory is full")
    fault = _fault_of_today()
    if fault == "disk":
        _fill_disk(context.workdir / f"{rank}")
    elif fault and last:
        _break(fault)
    elif fault:
        time.sleep(60)  # hangs, as in a collective whose peer is gone
    while (until := os.environ.get("TINY_UNTIL")) and not Path(until).exists():
        time.sleep(0.1)
    ready, step_s = time.monotonic(), float(os.environ.get("TINY_STEP_S", "0.01"))
    steps = int(os.environ.get("TINY_STEPS", "5"))
    for _ in range(3 + steps):
        time.sleep(step_s)
    return RankReport(
        rank=rank, status=Status.OK, warmup_step_times_s=[step_s] * 3, step_times_s=[step_s] * steps,
        warmup_settled=True, stopped_by="interval", losses=[2.0] * (3 + steps),
        peak_memory_bytes=1000 + 10 * spec.workload.batch, driver_memory_bytes=2000, parameters=1,
        trainable_parameters=1, attention_kernel="eager", ready_at=ready, built_at=ready, window_start=ready,
        window_end=time.monotonic(), anchor=Anchor(launches_per_s=1 + rank, matmul_tflops=1),
    )  # fmt: skip


def _fill_disk(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _fault_of_today() -> str | None:
    fault, once = os.environ.get("TINY_FAULT"), os.environ.get("TINY_ONCE")
    return None if once and Path(once).exists() else fault


def _break(fault: str) -> None:
    if once := os.environ.get("TINY_ONCE"):
        Path(once).touch()
    if fault == "raise":
        raise ValueError("the first line says it\nand this is advice")
    if fault == "hang":
        time.sleep(60)
    if fault == "memory":
        held = bytearray(400 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(60)
    os.kill(os.getpid(), getattr(signal, fault))
