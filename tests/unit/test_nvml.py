"""What is made of the driver's readings; the driver itself is asked where there is a GPU."""

import sys

import pytest

from dissect.machine.node import look_at_node, mismatch
from dissect.machine.nvml import Device, GpuLoad, NoNvml, Reading, devices, throttled, visible, within
from factories import hardware

GIB = 2**30
UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


def device(index: int = 0, name: str = "NVIDIA H200", memory: int = 140 * GIB, pids: tuple[int, ...] = ()) -> Device:
    return Device(index, name, UUIDS[index], "580.1", memory, 700.0, {}, frozenset(pids))


def reading(
    at: float, power_w: float | None = 500.0, reasons: int = 0, used: int = GIB, pids: tuple[int, ...] = ()
) -> Reading:
    return Reading(at, power_w, 1980.0, 3201.0, 50.0 + at, reasons, used, frozenset(pids))


@pytest.mark.parametrize(
    ("setting", "chosen"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("2,0", [2, 0]),
        (" 1 , 2", [1, 2]),
        ("GPU-cc33", [2]),
        ("GPU-ab,0", [1, 0]),
        ("GPU-a", []),  # two match
        ("0,-1,2", [0]),
        ("0,7,2", [0]),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(setting, chosen):
    assert visible(setting, UUIDS) == chosen


def test_window_is_what_counts():
    load = GpuLoad(
        [device()], {0: [reading(1, 100, reasons=0x80), reading(2, 600, reasons=0x4), reading(3, 700), reading(9, 90)]}
    )
    (gpu,) = load.gpus(1.5, 3.5)
    assert gpu.mean_power_w == 650
    assert gpu.temperature_c == 53
    assert gpu.throttle_reasons == ["power cap"]


def test_a_window_between_two_readings_takes_the_nearest():
    readings = [reading(1), reading(2), reading(3)]
    assert within(readings, 1.8, 1.9) == [readings[1]]
    assert within([], 0, 1) == []


def test_what_the_driver_does_not_know_stays_unknown():
    (gpu,) = GpuLoad([device()], {0: [reading(1, power_w=None)]}).gpus(0, 2)
    assert gpu.mean_power_w is None
    (gpu,) = GpuLoad([device()]).gpus(0, 2)
    assert gpu.temperature_c is None


def test_an_idle_gpu_or_set_clocks_are_no_throttling():
    (gpu,) = GpuLoad([device()], {0: [reading(1, reasons=0x1 | 0x2 | 0x10 | 0x100)]}).gpus(0, 2)
    assert gpu.throttle_reasons == []


@pytest.mark.parametrize(
    ("reasons", "flagged"), [(0x4, False), (0x4 | 0x20, True), (0x8, True), (0x40, True), (0x80, True)]
)
def test_heat_and_brakes_are_flagged_the_power_limit_is_only_recorded(reasons, flagged):
    gpus = GpuLoad([device()], {0: [reading(1, reasons=reasons)]}).gpus(0, 2)
    assert gpus[0].throttle_reasons != []
    assert throttled(gpus) is flagged


def test_others_on_the_gpu_are_named():
    load = GpuLoad([device()], {0: [reading(1, pids=(10, 99)), reading(5, pids=(10, 77))]}, own_pids={10})
    assert load.others(0, 2) == ("other processes on the GPUs during the window: [99]", True)
    assert GpuLoad([device()], {0: [reading(1, pids=(10,))]}, own_pids={10}).others(0, 2)[1] is False


def test_foreign_process_ids_of_a_container_are_not_taken_for_others():
    seen = {0: [reading(1, pids=(4000, 5000))]}
    assert GpuLoad([device(pids=(5000,))], seen, own_pids={10}).others(0, 2) == (
        "other processes on the GPUs during the window: [5000]",
        True,
    )
    assert GpuLoad([device()], seen, own_pids={10}).others(0, 2)[1] is False


def test_peak_is_over_the_whole_run():
    load = GpuLoad([device(0), device(1)], {0: [reading(1, used=5)], 1: [reading(1, used=7), reading(2, used=6)]})
    assert load.peak_bytes() == 7
    assert GpuLoad([device()]).peak_bytes() is None


def test_declared_and_found_hardware():
    found = [device(0), device(1)]
    assert mismatch(found, "NVIDIA H200", 2, 141 * GIB) is None
    assert mismatch(found, "NVIDIA H200", 4, 141 * GIB) == "4 GPUs are declared, 2 found"
    assert "GPU 0 is 'NVIDIA H200', 'A800' is declared" in (mismatch(found, "A800", 2, 141 * GIB) or "")
    assert "has 140.0 GiB, 80.0 GiB are declared" in (mismatch(found, "NVIDIA H200", 2, 80 * GIB) or "")


def test_without_nvml_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoNvml, match="no NVML: the nvidia-ml-py package is not installed"):
        devices()
    on_cpu = look_at_node(hardware(device="cpu"))
    assert str(on_cpu.gpus).startswith("no NVML: ")
    assert on_cpu.mismatch is None
    assert str(look_at_node(hardware()).mismatch).startswith("no NVML: "), "declared GPUs that nobody can see"


@pytest.mark.gpu
def test_the_driver_here_answers():
    pytest.importorskip("pynvml")
    try:
        found = devices()
    except NoNvml as error:
        pytest.skip(str(error))
    load = GpuLoad(found)
    load.look([1])
    load.look([1])
    load.close()
    assert [gpu.name for gpu in load.gpus(0, float("inf"))] == [gpu.name for gpu in found]
    assert load.peak_bytes() is not None
