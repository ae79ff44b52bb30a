"""A cell of several nodes: on every other node srun starts a follower, a parent that forks the ranks of its node.

The parent on the first node of the job is the leader: it holds the cell's lock and publishes, and it starts new
followers for each attempt. A follower imports and compiles, reports on its standard output that it is ready, waits for
the start signal on its standard input, and reports in the end how its ranks ended; all other output goes to standard
error. When its standard input closes, for whatever reason, its leader is gone, and the follower ends with all its
ranks. Nodes exchange no clock times and no files, only the seconds that are left.
"""

import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import IO, Final, Self

from pydantic import PositiveInt, ValidationError

from dissect.base.model import Model
from dissect.base.outcome import Phase, Status
from dissect.cells.any_spec import AnySpec, parse_spec
from dissect.cells.spec import Hardware, OperatorSpec, Spec, TrainingSpec, canonical_spec
from dissect.machine.idle import look_once_free
from dissect.machine.node import too_few_gpus
from dissect.machine.node_monitor import NodeMonitor, NodeObservation, monitor_of
from dissect.ranks.launch import Launch, Rendezvous
from dissect.ranks.messages import RankEntry
from dissect.ranks.parent_death import die_with
from dissect.ranks.runner import load_operator_runner, load_runner
from dissect.ranks.supervise import GRACE_S, Ending, NodeEnd, OtherNodes, RankEnd, conclude, supervise, window_of
from dissect.results.installed import installed, software_mismatch

SRUN: Final = ("srun", "--export=ALL", "--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none")
SCRIPT: Final = "scripts/measure_node.py"
REPORT_S = 2 * GRACE_S
"""Seconds that a follower has to report once the attempt has ended here: it gives its own ranks ``GRACE_S``."""
READY_LOOK_S = 0.1
"""Seconds between two polls of followers that prepare."""
READY: Final = b"llm-dissect: ready"
ENDED: Final = b"llm-dissect: ended "
"""What a follower writes to its standard output; its report follows the second."""
END_S = 10.0
"""Seconds that srun has to end once its follower was told to."""


class Order(Model):
    """What a follower is told to measure."""

    spec: AnySpec
    node: PositiveInt
    """Its place in the job; the leader's is 0."""
    port: PositiveInt
    """Port of the process group's rendezvous, on the leader's node."""
    workdir: Path
    """Folder for the reports of its ranks, which it alone reads."""
    probe_steps: PositiveInt | None

    @property
    def ranks(self) -> range:
        """Numbers of the ranks of its node."""
        count = ranks_per_node(self.spec.hardware)
        return range(self.node * count, (self.node + 1) * count)


class Report(Model):
    """What a follower reports: how its ranks ended, and what it saw of its node."""

    end: NodeEnd
    observation: NodeObservation


def ranks_per_node(hardware: Hardware) -> int:
    """How many of the cell's ranks a node has."""
    return hardware.n_gpus // hardware.n_nodes


def orders(
    spec: TrainingSpec | OperatorSpec, workdir: Path, probe_steps: int | None, meeting: Rendezvous
) -> list[Order]:
    """What the followers do while the leader runs its ranks; none on a single node."""
    return [
        Order(
            spec=parse_spec(canonical_spec(spec)),
            node=node,
            port=meeting.port,
            workdir=workdir / f"node-{node}",
            probe_steps=probe_steps,
        )
        for node in range(1, spec.hardware.n_nodes)
    ]


def why_no_others(n_nodes: int) -> str | None:
    """Why a cell of so many nodes cannot be measured from here, in one sentence; None if it can."""
    if n_nodes == 1:
        return None
    if not {"SLURM_JOB_ID", "SLURMD_NODENAME"} <= os.environ.keys():
        return f"the cell needs {n_nodes} nodes, but no Slurm job holds them: measure it with --profile profiles/slurm"
    if shutil.which("srun") is None:
        return f"the cell needs {n_nodes} nodes, but its environment has no srun that could start the others' ranks"
    return None


@dataclass
class Followers(OtherNodes):
    """The followers of one attempt; leaving the ``with`` block ends every one of them."""

    orders: Sequence[Order]
    launcher: str
    """Command that starts the Python of the cell."""
    observations: list[NodeObservation] = field(default_factory=list)
    """What those saw that reported, once :meth:`ends` was asked."""
    _steps: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _said: list[IO[bytes]] = field(default_factory=list)
    """What each says on its standard output: files of this node, since a full pipe would block a follower."""

    def __enter__(self) -> Self:
        for order in self.orders:
            python = [*shlex.split(self.launcher), SCRIPT, order.model_dump_json()]
            command = [*SRUN, f"--relative={order.node}", *python]
            self._said.append(tempfile.TemporaryFile())
            self._steps.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._said[-1]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for step in self._steps:
            if step.stdin:
                step.stdin.close()
        for step in self._steps:
            try:
                step.wait(END_S)
            except subprocess.TimeoutExpired:
                step.kill()
                step.wait()
        for place, file in enumerate(self._said):
            for line in self._lines(place):
                if not line.startswith((READY, ENDED)):  # of what starts its Python
                    print(line.decode(errors="replace"), file=sys.stderr)
            file.close()

    def wait_until_ready(self) -> float:
        """Wait until each follower has prepared or ended; returns the seconds that it took."""
        start = time.monotonic()
        while any(step.poll() is None and READY not in self._lines(at) for at, step in enumerate(self._steps)):
            time.sleep(READY_LOOK_S)
        return time.monotonic() - start if self._steps else 0.0

    def release(self, deadline: float) -> None:
        """Let the followers start their ranks; ``deadline`` is the time here at which the budget is spent."""
        for step in self._steps:
            if step.stdin:
                with suppress(BrokenPipeError):  # it ended, and is asked why
                    step.stdin.write(f"{deadline - time.monotonic()}\n".encode())
                    step.stdin.flush()

    def _lines(self, place: int) -> list[bytes]:
        """Whole lines that a follower has said so far."""
        number = self._said[place].fileno()
        return os.pread(number, os.fstat(number).st_size, 0).split(b"\n")[:-1]

    def running(self) -> bool:
        """Whether a follower is still running."""
        return any(step.poll() is None for step in self._steps)

    def failed(self) -> bool:
        """Whether a follower ended with an error."""
        return any(step.poll() not in (None, 0) for step in self._steps)

    def ends(self) -> list[NodeEnd]:
        """How each follower ended; waits for those that are about to end."""
        deadline = time.monotonic() + REPORT_S
        for step in self._steps:
            with suppress(subprocess.TimeoutExpired):
                step.wait(max(0.0, deadline - time.monotonic()))
        return [self._end(place, order, self._steps[place].poll()) for place, order in enumerate(self.orders)]

    def _end(self, place: int, order: Order, code: int | None) -> NodeEnd:
        if code is None:
            return NodeEnd([RankEnd(rank, None, None, Phase.BUILD, math.inf) for rank in order.ranks])
        try:
            last = next(line for line in reversed(self._lines(place)) if line.startswith(ENDED))
            report = Report.model_validate_json(last.removeprefix(ENDED))
        except (StopIteration, ValidationError):
            sentence = f"node {order.node} of the job (from 0) ended without a report, srun with {code}: see the log"
            return NodeEnd(lost=sentence)
        self.observations.append(report.observation)
        return report.end


def follow(order: Order) -> int:
    """The life of a follower; its exit status, 0 if all its ranks passed."""
    word, answer = _bound_to_leader(), os.dup(1)
    os.dup2(2, 1)
    spec, hardware = order.spec, order.spec.hardware
    node = look_once_free(hardware)
    watch = monitor_of(node, hardware)
    start = time.monotonic()
    if sentence := software_mismatch(spec.software, installed()):
        end = NodeEnd(stopped=Ending(Status.INVALID, None, sentence, []))
    elif sentence := too_few_gpus(hardware, node):
        end = NodeEnd(stopped=Ending(Status.FAILED, None, sentence, []))
    else:
        entry = _entry(spec)
        os.write(answer, READY + b"\n")
        end = _run_ranks(order, entry, time.monotonic() + float(word.readline()), watch)
    ending = conclude([end])
    passed = ending.status is Status.OK
    window = window_of(ending.reports) if passed and order.probe_steps is None else (start, time.monotonic())
    report = Report(end=end, observation=watch.observe(*window, end.suspensions))
    with os.fdopen(answer, "wb") as file:
        file.write(ENDED + report.model_dump_json().encode() + b"\n")
    return 0 if passed else 1


def _run_ranks(order: Order, entry: RankEntry, deadline: float, watch: NodeMonitor) -> NodeEnd:
    spec = order.spec
    order.workdir.mkdir(parents=True, exist_ok=True)
    launch = Launch(
        entry,
        len(order.ranks),
        order.workdir,
        deadline,
        order.probe_steps,
        Rendezvous(spec.hardware.n_gpus, order.ranks[0], os.environ["SLURM_LAUNCH_NODE_IPADDR"], order.port),
    )
    return supervise(launch, spec.hardware.host_memory_bytes, watch.watchers)


def _entry(spec: Spec) -> RankEntry:
    """What the ranks call, its libraries imported and compiled."""
    if isinstance(spec, OperatorSpec):
        operator = load_operator_runner(spec)
        operator.import_libraries(spec)
        return partial(operator.run_rank, spec)
    if not isinstance(spec, TrainingSpec):
        raise TypeError(f"the stage {spec.stage} has no ranks")
    runner = load_runner(spec)
    runner.import_libraries(spec)
    runner.prepare(spec)
    return partial(runner.run_rank, spec)


def _bound_to_leader() -> IO[bytes]:
    """Have this process killed once its leader closes standard input, or dies; returns what the leader sends.

    A child waits for the end and hands on what comes before.
    """
    follower = os.getpid()
    word, hand_on = os.pipe()
    if os.fork() == 0:
        die_with(follower)
        while sent := os.read(0, 4096):
            os.write(hand_on, sent)
        os.kill(follower, SIGKILL)
        os._exit(0)
    os.close(hand_on)
    return os.fdopen(word, "rb")
