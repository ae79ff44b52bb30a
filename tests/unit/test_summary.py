"""From the ranks' reports to metrics, samples, flags and durations."""

import pytest

from dissect.base.outcome import Flag, Status
from dissect.ranks.messages import RankReport
from dissect.ranks.reports import durations
from dissect.results.result import Durations
from dissect.stages.training import summary
from factories import hardware, pretrain_spec

SPEC = pretrain_spec(hardware(n_gpus=2), batch="max")


def report(rank: int, times: list[float], **changes: object) -> RankReport:
    fields: dict[str, object] = {
        "rank": rank, "status": Status.OK, "warmup_step_times_s": [1.0], "step_times_s": times, "warmup_settled": True,
        "stopped_by": "interval", "losses": [9.0] + [8.0 - i for i in range(len(times))], "energy_j": 30.0,
        "peak_memory_bytes": 100 + rank, "driver_memory_bytes": 2**30 * (rank + 1), "parameters": 10,
        "trainable_parameters": 10, "attention_kernel": "eager", "ready_at": 10.0 + rank, "built_at": 20.0 + rank,
        "window_start": 30.0 - rank, "window_end": 40.0 + rank, "traced_at": 43.0 + rank,
    }  # fmt: skip
    return RankReport.model_validate(fields | changes)


REPORTS = [report(0, [0.10, 0.12, 0.11]), report(1, [0.11, 0.10, 0.13])]


def test_a_step_lasts_as_long_as_its_slowest_rank():
    metrics = summary.training_metrics(SPEC, 4, REPORTS, [], 999)
    assert metrics.step_time_s.median == 0.12
    assert metrics.step_time_s.mean == pytest.approx(0.12)
    assert metrics.tokens_per_step == 4 * 2 * 350
    assert metrics.tokens_per_s.median == pytest.approx(2800 / 0.12)
    assert metrics.tokens_per_s.low == pytest.approx(2800 / 0.13)
    assert metrics.tokens_per_s.high == pytest.approx(2800 / 0.11)
    assert metrics.paper_tokens_per_s == pytest.approx(2800 / 0.12)
    assert metrics.peak_memory_bytes == 101
    assert metrics.peak_memory_source == "allocator"
    assert metrics.paper_memory_gib == 1.0, "rank 0's device"
    assert metrics.energy_per_step_j == pytest.approx(60 / 3)
    assert (metrics.first_loss, metrics.last_loss) == (9.0, 6.0)
    assert metrics.batch == 4
    assert metrics.nvml_peak_memory_bytes == 999


def test_energy_needs_every_gpu():
    assert (
        summary.training_metrics(SPEC, 1, [REPORTS[0], report(1, [0.1] * 3, energy_j=None)], [], 1).energy_per_step_j
        is None
    )


def test_energy_needs_a_window_of_ten_seconds():
    short = [report(rank, [0.1] * 3, window_start=30.0, window_end=39.9) for rank in (0, 1)]
    assert summary.training_metrics(SPEC, 1, short, [], 1).energy_per_step_j is None
    on_two_nodes = [report(rank, [0.1] * 3, window_start=5e3 * rank, window_end=5e3 * rank + 9.9) for rank in (0, 1)]
    assert summary.training_metrics(SPEC, 1, on_two_nodes, [], 1).energy_per_step_j is None


def traced(rank: int, **changes: object) -> RankReport:
    """A rank with steps of 100 ms, of which two were traced: it computes for 30 ms of each."""
    second = 10**9
    fields = {"steps": 2, "compute": [(0, second // 20), (second, second + second // 100)], "collectives": {}}
    return report(rank, [0.1] * 3, step_trace={**fields, "in_one_group": True, **changes})


def test_a_step_whose_gpus_idle_is_launch_bound():
    metrics = summary.training_metrics(SPEC, 1, [traced(0), traced(1)], [], 1)
    assert metrics.compute_time_s == metrics.device_time_s == pytest.approx(0.03)
    assert (metrics.communication_time_s, metrics.collective_wait_s) == (0, 0)
    assert Flag.LAUNCH_BOUND in summary.flags(metrics, REPORTS, {})
    busy = [traced(rank, compute=[(0, 170_000_000)]) for rank in (0, 1)]
    assert Flag.LAUNCH_BOUND not in summary.flags(summary.training_metrics(SPEC, 1, busy, [], 1), REPORTS, {})


def test_what_was_not_traced_is_not_known():
    metrics = summary.training_metrics(SPEC, 1, [traced(0), report(1, [0.1] * 3)], [], 1)
    assert (metrics.compute_time_s, metrics.device_time_s) == (None, None)
    assert Flag.LAUNCH_BOUND not in summary.flags(metrics, REPORTS, {})


def test_raw_samples_number_all_steps():
    samples = summary.raw_samples(REPORTS)
    assert samples[0] == {"step": 0, "part": "warmup", "seconds": [1.0, 1.0], "loss": 9.0}
    assert samples[3] == {"step": 3, "part": "measured", "seconds": [0.11, 0.13], "loss": 6.0}
    assert len(samples) == 4


@pytest.mark.parametrize(("times", "unstable"), [([0.1] * 5, False), ([0.1, 0.1, 0.1, 0.1, 0.3], True)])
def test_variation_above_a_fifth_is_unstable(times, unstable):
    reports = [report(0, times)]
    metrics = summary.training_metrics(SPEC, 1, reports, [], None)
    assert (Flag.UNSTABLE in summary.flags(metrics, reports, {})) is unstable


def test_flags_come_in_the_order_of_the_list():
    own = [Flag.CUDA_REDIRECTED]
    reports = [report(0, [0.1] * 3, warmup_settled=False, stopped_by="budget"), report(1, [0.1] * 3, flags=own)]
    metrics = summary.training_metrics(SPEC, 1, reports, [], None)
    seen = {Flag.HARDWARE_MISMATCH: True, Flag.THROTTLED: True, Flag.OTHER_PROCESSES: False}
    assert summary.flags(metrics, reports, seen) == [
        Flag.WARMUP_NOT_SETTLED,
        Flag.INTERVAL_NOT_REACHED,
        Flag.THROTTLED,
        Flag.HARDWARE_MISMATCH,
        Flag.CUDA_REDIRECTED,
    ]


def test_durations_are_the_slowest_ranks():
    before = Durations(imports_s=4.0)
    assert durations(REPORTS, 8.5, before) == Durations(
        imports_s=4.0, launch_s=2.5, build_s=10.0, warmup_s=8.0, window_s=12.0, trace_s=3.0
    )
