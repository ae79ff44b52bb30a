"""What is made of a driver's readings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

import pytest

from dissect.base.outcome import Flag
from dissect.machine.gpus import GpuInfo, GpuLoad, Read, Reading, Slowdown, power_capped, throttled, within
from dissect.machine.lease import Neighbours
from dissect.machine.node import Node, mismatch
from dissect.machine.node_monitor import NodeMonitor
from dissect.results.result import Gpu

GIB = 2**30
UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


def device(index: int = 0, name: str = "NVIDIA H200", memory: int = 140 * GIB, pids: tuple[int, ...] = ()) -> GpuInfo:
    return GpuInfo(index, name, UUIDS[index], "580.1", memory, 700.0, {}, frozenset(pids))


def reading(
    at: float, power_w: float | None = 500.0, *slowed_by: Slowdown, used: int = GIB, pids: tuple[int, ...] = ()
) -> Reading:
    return Reading(at, power_w, 1980.0, 3201.0, 50.0 + at, frozenset(slowed_by), used, frozenset(pids))


def no_driver(_: Sequence[int]) -> NoReturn:
    raise AssertionError("what was read already needs no driver")


def load(known: list[GpuInfo], readings: dict[int, list[Reading]] | None = None, own: tuple[int, ...] = ()) -> GpuLoad:
    return GpuLoad(known, no_driver, readings or {}, set(own))


def test_window_is_what_counts():
    seen = [reading(1, 100, Slowdown.POWER_BRAKE), reading(2, 600, Slowdown.POWER_CAP), reading(3, 700), reading(9, 90)]
    (gpu,) = load([device()], {0: seen}).gpus([(1.5, 3.5)])
    assert gpu.mean_power_w == 650
    assert gpu.temperature_c == 53
    assert gpu.throttle_reasons == ["power cap"]


def test_a_window_between_two_readings_takes_the_nearest():
    readings = [reading(1), reading(2), reading(3)]
    assert within(readings, 1.8, 1.9) == [readings[1]]
    assert within([], 0, 1) == []


def test_what_the_driver_does_not_know_stays_unknown():
    (gpu,) = load([device()], {0: [reading(1, power_w=None)]}).gpus([(0, 2)])
    assert gpu.mean_power_w is None
    (gpu,) = load([device()]).gpus([(0, 2)])
    assert gpu.temperature_c is None


@pytest.mark.parametrize(
    ("slowed_by", "flagged"),
    [
        ([], False),
        ([Slowdown.POWER_CAP], False),
        ([Slowdown.POWER_CAP, Slowdown.THERMAL_BY_DRIVER], True),
        ([Slowdown.HARDWARE], True),
        ([Slowdown.THERMAL_BY_HARDWARE], True),
        ([Slowdown.POWER_BRAKE], True),
    ],
)
def test_heat_and_brakes_throttle_the_power_limit_does_not(slowed_by, flagged):
    gpus = load([device()], {0: [reading(1, 500, *slowed_by)]}).gpus([(0, 2)])
    assert gpus[0].throttle_reasons == [slowdown.value for slowdown in slowed_by]
    assert throttled(gpus) is flagged


@pytest.mark.parametrize(
    ("slowed_by", "most_mhz", "flagged"),
    [
        ([Slowdown.POWER_CAP], 2100.0, True),  # the readings say 1980
        ([Slowdown.POWER_CAP], 2000.0, False),  # for moments only
        ([Slowdown.POWER_CAP], None, True),
        ([Slowdown.THERMAL_BY_DRIVER], 2100.0, False),
        ([], 2100.0, False),
    ],
)
def test_a_power_limit_that_costs_clock_is_flagged(slowed_by, most_mhz, flagged):
    known = replace(device(), max_sm_clock_mhz=most_mhz)
    gpus = load([known], {0: [reading(1, 700, *slowed_by)]}).gpus([(0, 2)])
    assert gpus[0].max_sm_clock_mhz == most_mhz
    assert power_capped(gpus) is flagged


def test_energy_needs_a_window_of_ten_seconds():
    counted = [replace(reading(at), energy_j=500.0 * at) for at in (0, 9, 12)]
    assert load([device()], {0: counted}).energy_j(0, 12) == pytest.approx(6000)
    assert load([device()], {0: counted}).energy_j(0, 9) is None


@pytest.mark.parametrize("seen_at", [(-8, 3, 20), (0, 17, 28)])
def test_energy_is_unknown_where_nobody_read_the_counter_near_an_end(seen_at):
    counted = [replace(reading(at), energy_j=500.0 * at) for at in seen_at]
    assert load([device()], {0: counted}).energy_j(0, 20) is None


def test_others_on_the_gpu_are_named():
    seen = load([device()], {0: [reading(1, pids=(10, 99)), reading(5, pids=(10, 77))]}, own=(10,))
    assert seen.others(0, 2) == ("other processes on the GPUs during the window: [99]", True)
    assert load([device()], {0: [reading(1, pids=(10,))]}, own=(10,)).others(0, 2)[1] is False


def test_foreign_process_ids_of_a_container_are_not_taken_for_others():
    seen = {0: [reading(1, pids=(4000, 5000))]}
    assert load([device(pids=(5000,))], seen, own=(10,)).others(0, 2) == (
        "other processes on the GPUs during the window: [5000]",
        True,
    )
    assert load([device()], seen, own=(10,)).others(0, 2)[1] is False


def test_without_a_reading_nobody_was_looked_for():
    assert load([device()]).others(0, 2) == ("not looked at: it ended before the first look at the GPUs", False)


def test_peak_is_over_the_whole_run():
    seen = load([device(0), device(1)], {0: [reading(1, used=5)], 1: [reading(1, used=7), reading(2, used=6)]})
    assert seen.peak_bytes() == 7
    assert load([device()]).peak_bytes() is None


def test_memory_of_a_trace_after_the_window_is_not_the_cells():
    seen = load([device()], {0: [reading(1, used=3), reading(2, used=5), reading(3, used=9)]})
    monitor = NodeMonitor(Node([device()], None), seen, None, Neighbours([]))
    assert monitor.observe(1.5, 2.5, []).peak_memory_bytes == 5


def test_clocks_of_the_pauses_between_bursts_hide_no_power_cap():
    capped = replace(reading(1, 690, Slowdown.POWER_CAP), sm_clock_mhz=1600.0)
    known = replace(device(), max_sm_clock_mhz=1980.0)
    seen = load([known], {0: [capped, *map(reading, range(2, 9)), replace(capped, at=9)]})
    monitor = NodeMonitor(Node([known], None), seen, None, Neighbours([]))
    assert monitor.observe(0, 10, []).doubts()[Flag.POWER_CAPPED] is False
    observed = monitor.observe(0, 10, [], busy=[(0, 1.5), (8.5, 10)])
    assert observed.doubts()[Flag.POWER_CAPPED] is True
    assert [(gpu.sm_clock_mhz, gpu.mean_power_w) for gpu in observed.gpus if isinstance(gpu, Gpu)] == [(1600, 690)]


def test_memory_that_others_had_before_the_launch_is_flagged():
    held, seen = "GPU 0 has 30.0 GiB of its memory in use", {0: [reading(1), reading(2)]}
    observed, plain = (
        NodeMonitor(Node([device()], None, before), load([device()], seen), None, Neighbours([])).observe(1, 2, [])
        for before in ([held], [])
    )
    assert [each.doubts()[Flag.OTHER_PROCESSES] for each in (observed, plain)] == [True, False]
    assert (observed.held, plain.held) == ([held], [])
    assert observed.other_processes == f"{plain.other_processes}; before the launch: {held}"


def test_declared_and_found_hardware():
    found = [device(0), device(1)]
    assert mismatch(found, "NVIDIA H200", 2, 141 * GIB) is None
    assert mismatch(found, "NVIDIA H200", 4, 141 * GIB) == "4 GPUs are declared, 2 found"
    assert "GPU 0 is 'NVIDIA H200', 'A800' is declared" in (mismatch(found, "A800", 2, 141 * GIB) or "")
    assert "has 140.0 GiB, 80.0 GiB are declared" in (mismatch(found, "NVIDIA H200", 2, 80 * GIB) or "")


def test_the_driver_is_open_between_the_first_look_and_the_close():
    events = []

    @contextmanager
    def reader(indices: Sequence[int]) -> Iterator[Read]:
        events.append(f"opened for {indices}")
        yield lambda: {index: reading(1) for index in indices}
        events.append("closed")

    watcher = GpuLoad([device(0), device(2)], reader)
    assert events == []
    for _ in range(2):
        watcher.look([1])
    watcher.close()
    watcher.close()
    assert events == ["opened for [0, 2]", "closed"]
    assert {index: len(seen) for index, seen in watcher.readings.items()} == {0: 2, 2: 2}
