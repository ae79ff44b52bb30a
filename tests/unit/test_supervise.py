"""How the outcome of a cell follows from its ranks, with real forked processes where processes matter."""

import errno
import multiprocessing
import os
import signal
import time
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest

import tiny_runner
from dissect.base.outcome import Phase, Status
from dissect.machine.hostload import Busy, HostLoad, others_share
from dissect.machine.suspension import GAP_S, Suspensions
from dissect.ranks.launch import Launch
from dissect.ranks.messages import RankContext, RankReport
from dissect.ranks.supervise import Ending, NodeEnd, RankEnd, conclude, supervise
from dissect.results.atomic import exit_code_of
from factories import hardware, pretrain_spec

GIB = 2**30
SPEC = pretrain_spec(hardware(device="cpu", n_gpus=2))


def report(rank: int, status: Status, reason: str | None = None, phase: Phase | None = None) -> RankReport:
    return RankReport(rank=rank, status=status, phase=phase, reason=reason)


def end(rank: int, status: Status | None, exit_code: int | None = 0, phase: Phase = Phase.BUILD) -> RankEnd:
    known = None if status is None else report(rank, status, f"reason of {rank}", Phase.FORWARD)
    return RankEnd(rank, known, exit_code, phase)


@pytest.mark.parametrize(
    ("ends", "status", "reason"),
    [
        ([end(1, Status.OK), end(0, Status.OK)], Status.OK, None),
        ([end(0, Status.FAILED, 1), end(1, Status.OOM, 1)], Status.OOM, "reason of 1"),
        ([end(0, Status.INVALID, 1), end(1, Status.OOM, 1)], Status.OOM, "reason of 1"),
        ([end(0, Status.FAILED, 1), end(1, Status.INVALID, 1)], Status.INVALID, "reason of 1"),
        ([end(0, Status.OK), end(1, Status.TIMEOUT, 1)], Status.TIMEOUT, "reason of 1"),
        ([end(1, Status.FAILED, 1), end(0, Status.FAILED, 1)], Status.FAILED, "rank 1: reason of 1"),
        (
            [end(0, Status.FAILED, 1), end(1, None, -9)],
            Status.FAILED,
            "rank 1 was killed by SIGKILL, by the kernel .*process$",
        ),
        (
            [end(0, Status.OK), end(1, None, 3)],
            Status.FAILED,
            r"rank 1 exited without a report \(exit code 3\)$",
        ),
        (
            [end(0, Status.FAILED, 1), end(1, None, exit_code_of(OSError(errno.ENOSPC, "")))],
            Status.FAILED,
            r"rank 1: its report could not be written: No space left on device: rank-1\.json",
        ),
        # A shell's and srun's code for SIGINT; errno 30 stands for something else.
        ([end(0, Status.OK), end(1, None, 130)], Status.FAILED, r"rank 1 exited without a report \(exit code 130\)"),
        ([end(0, Status.OK), end(1, None, None)], Status.FAILED, "rank 1 exited without a report"),
    ],
)
def test_one_ending_out_of_all_ranks(ends, status, reason):
    ending = conclude([NodeEnd(ends)])
    assert ending.status is status
    assert [rank_report.rank for rank_report in ending.reports] == ([0, 1] if status is Status.OK else [])
    if reason is None:
        assert ending.reason is None
    else:
        with pytest.raises(ValueError, match=reason):
            raise ValueError(ending.reason)


def ended(rank: int, at: float, status: Status = Status.FAILED, exit_code: int | None = 1) -> RankEnd:
    return RankEnd(rank, report(rank, status, f"reason of {rank}"), exit_code, Phase.BUILD, at)


STOPPED = Ending(Status.OOM, Phase.HOST, "too much", [])


@pytest.mark.parametrize(
    ("nodes", "status", "reason"),
    [
        ([NodeEnd([ended(0, 2.0)]), NodeEnd([ended(1, 1.0)])], Status.FAILED, "rank 1: reason of 1"),
        ([NodeEnd([ended(0, 1.0)]), NodeEnd([ended(1, 2.0)])], Status.FAILED, "rank 0: reason of 0"),
        ([NodeEnd([ended(0, 1.0)]), NodeEnd(stopped=STOPPED)], Status.OOM, "too much"),
        ([NodeEnd([ended(0, 1.0)]), NodeEnd(lost="nobody")], Status.FAILED, "nobody"),
        ([NodeEnd([ended(0, 1.0, Status.OK, 0)]), NodeEnd(lost="nobody")], Status.FAILED, "nobody"),
        ([NodeEnd([ended(0, 1.0, Status.OOM)]), NodeEnd(lost="nobody")], Status.OOM, "reason of 0"),
    ],
)
def test_one_ending_out_of_all_nodes(nodes, status, reason):
    assert conclude(nodes) == Ending(status, conclude(nodes).phase, reason, [])


def run(folder: Path, seconds: float = 60, memory: int = 64 * GIB, watchers=()) -> tuple[Ending, float]:
    folder.mkdir()
    start = time.monotonic()
    launch = Launch(partial(tiny_runner.run_rank, SPEC), 2, folder, start + seconds)
    return conclude([supervise(launch, memory, watchers)]), time.monotonic() - start


def children() -> list[psutil.Process]:
    """Processes that these tests have started, and no tracker that multiprocessing keeps for an earlier test's."""
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)  # type: ignore[attr-defined]
    return [each for each in psutil.Process().children(recursive=True) if each.pid != tracker]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "rank 1: ValueError: the first line says it"),
        ("SIGKILL", "rank 1 was killed by SIGKILL"),
        ("SIGSEGV", "rank 1 was killed by SIGSEGV"),
    ],
)
def test_a_rank_that_fails_ends_the_others_soon(tmp_path, monkeypatch, fault, reason):
    monkeypatch.setenv("TINY_FAULT", fault)
    ending, seconds = run(tmp_path / "w")
    assert (ending.status, ending.phase) == (Status.FAILED, Phase.FORWARD)
    assert ending.reason is not None
    assert ending.reason.startswith(reason)
    assert seconds < 45, "the other rank sleeps for 60 s"
    assert children() == []


def killed_while_it_writes(context: RankContext) -> RankReport:
    for shared in (context.phase, context.deadline):
        if lock := getattr(shared, "get_lock", None):
            lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it is dead")


@pytest.mark.timeout(60)
def test_a_rank_that_is_killed_while_it_writes_its_phase_blocks_nobody(tmp_path):
    launch = Launch(killed_while_it_writes, 1, tmp_path, time.monotonic() + 60)
    ending = conclude([supervise(launch, 64 * GIB, [])])
    assert str(ending.reason).startswith("rank 0 was killed by SIGKILL")


def test_budget_ends_in_timeout_with_the_phase(tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_FAULT", "hang")
    ending, seconds = run(tmp_path / "w", seconds=1)
    assert (ending.status, ending.phase) == (Status.TIMEOUT, Phase.FORWARD)
    assert ending.reason == "the budget was spent in phase forward"
    assert seconds < 45
    assert children() == []


def test_host_memory_beyond_the_declared_ends_in_oom(tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_FAULT", "memory")
    ending, _ = run(tmp_path / "w", memory=300 * 2**20)
    assert (ending.status, ending.phase) == (Status.OOM, Phase.HOST)
    assert ending.reason is not None
    assert "0.29 GiB are declared (in phase forward)" in ending.reason


def shared_memory(held: bytearray, _: RankContext) -> RankReport:
    assert sum(held[::4096]) > 0  # touch every page that the fork shares
    time.sleep(1.2)
    return report(int(os.environ["RANK"]), Status.OK)


def test_memory_shared_by_ranks_counts_once(tmp_path):
    held = bytearray(b"x") * (800 * 2**20)
    (tmp_path / "w").mkdir()
    launch = Launch(partial(shared_memory, held), 2, tmp_path / "w", time.monotonic() + 60)
    # Counted twice it would be 1600 MiB; what the ranks copy of this process's own memory takes some as well.
    assert conclude([supervise(launch, 1300 * 2**20, [])]).status is Status.OK


def test_ranks_that_pass_and_a_parent_that_sleeps(tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_STEP_S", "0.3")
    load = HostLoad()
    before = time.process_time()
    ending, seconds = run(tmp_path / "w", watchers=[load])
    assert ending.status is Status.OK
    assert [rank_report.rank for rank_report in ending.reports] == [0, 1]
    assert (time.process_time() - before) / seconds < 0.5, "the parent must not spin"
    assert len(load.seen) >= 4
    sentence, _ = load.others(ending.reports[0].window_start, ending.reports[0].window_end)
    assert "CPU cores during the window" in sentence


def test_share_of_others_is_what_neither_ranks_nor_idle_used():
    seen = [Busy(0, 0, 0), Busy(10, 15, 5), Busy(20, 50, 25), Busy(30, 90, 40)]
    assert others_share(seen, 10, 20, n_cores=4) == pytest.approx((35 - 20) / 40)
    assert others_share(seen, 12, 18, n_cores=4) == pytest.approx((35 - 20) / 40)
    assert others_share(seen, 35, 40, n_cores=4) == pytest.approx((40 - 15) / 40), "the last two looks"
    assert others_share([Busy(0, 5, 0), Busy(1, 5, 3)], 0, 1, n_cores=1) == 0, "clocks differ by a tick"
    assert others_share(seen[:1], 0, 1, n_cores=1) is None


def _notice(seconds: "multiprocessing.Queue[float]") -> None:
    with Suspensions() as suspensions:
        signal.signal(signal.SIGCONT, signal.SIG_IGN)  # as frozen by a cgroup
        suspensions.rest()
        seconds.put(0.0)
        time.sleep(0.5)
        seconds.put(suspensions.look())
        suspensions.look()
        seconds.put(float(len(suspensions.intervals)))


@pytest.mark.parametrize(("job", "count"), [("7", 1), (None, 0)])
def test_a_job_that_slurm_freezes_without_a_signal_was_suspended(
    job: str | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    context = multiprocessing.get_context("fork")
    seconds: multiprocessing.Queue[float] = context.Queue()
    frozen = context.Process(target=_notice, args=(seconds,))
    frozen.start()
    seconds.get()
    process = psutil.Process(frozen.pid)
    process.suspend()
    time.sleep(GAP_S + 1)
    process.resume()
    found = seconds.get()
    assert (found > GAP_S) is (count == 1)
    assert seconds.get() == count
    frozen.join()


class Stalled:
    """A watcher in whose first look the job is suspended for a while."""

    def __init__(self) -> None:
        self.stall_s = GAP_S + 1

    def look(self, _: object) -> None:
        time.sleep(self.stall_s)
        self.stall_s = 0.0

    def close(self) -> None:
        pass


def long_rank(_: RankContext) -> RankReport:
    time.sleep(GAP_S + 2)
    return report(int(os.environ["RANK"]), Status.OK)


def test_a_suspension_while_the_machine_is_looked_at_costs_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    found = supervise(Launch(long_rank, 1, tmp_path, time.monotonic() + GAP_S), 64 * GIB, [Stalled()])
    assert conclude([found]).status is Status.OK
    assert len(found.suspensions) == 1
