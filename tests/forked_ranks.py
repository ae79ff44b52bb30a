"""Two real ranks on a tiny Llama, forked by the test as a cell's parent forks them."""

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from dissect.cells.spec import ModelArchitecture, Sampling, TrainingSpec
from dissect.ranks.launch import Launch
from dissect.ranks.messages import RankContext, RankReport
from dissect.ranks.runner import TrainingRunner
from dissect.ranks.supervise import Ending, conclude, supervise

TINY = ModelArchitecture(
    vocab_size=512, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0,
)  # fmt: skip
SAMPLING = Sampling(
    warmup_min_steps=2, warmup_max_steps=4, min_steps=3, max_steps=4, interval_target=0.01, budget_s=120.0
)
S = TypeVar("S", bound=TrainingSpec)


def shortened(spec: S, dtype: str) -> S:
    """The same cell in this dtype, over a few steps."""
    workload = spec.workload.model_copy(update={"dtype": dtype})
    return spec.model_copy(update={"workload": workload, "sampling": SAMPLING})


def run_ranks(
    runner: TrainingRunner,
    spec: S,
    run_rank: Callable[[S, RankContext], RankReport],
    *,
    probe_steps: int | None = None,
    budget_s: float = 120.0,
) -> Ending:
    """Import and prepare here, then fork the ranks of the spec and wait for them."""
    runner.import_libraries(spec)
    runner.prepare(spec)
    with TemporaryDirectory() as folder:
        deadline = time.monotonic() + budget_s
        launch = Launch(partial(run_rank, spec), spec.hardware.n_gpus, Path(folder), deadline, probe_steps)
        return conclude([supervise(launch, 1 << 40, [])])


def in_fork(compute: Callable[[], Any]) -> Any:
    """Run in a child: a parent that has used autograd cannot fork ranks that use it."""

    def send(pipe: Connection) -> None:
        pipe.send(compute())

    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=send, args=(sender,))
    child.start()
    sender.close()
    value = receiver.recv()
    child.join()
    return value
