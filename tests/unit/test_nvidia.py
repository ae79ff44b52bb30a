"""What is made of NVML's answers; the driver itself is asked where there is a GPU."""

import sys

import pytest

from dissect.machine.gpus import GpuLoad, NoGpus, Slowdown
from dissect.machine.node import look_at_node
from dissect.machine.nvidia import cores_in, find_gpus, reader, slowdowns, visible
from factories import hardware

UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


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


@pytest.mark.parametrize(
    ("reasons", "named"),
    [
        (0x1 | 0x2 | 0x10 | 0x100, set()),  # idle, or set clocks
        (0x4, {Slowdown.POWER_CAP}),
        (0x8, {Slowdown.HARDWARE}),
        (0x20 | 0x1, {Slowdown.THERMAL_BY_DRIVER}),
        (0x40 | 0x80, {Slowdown.THERMAL_BY_HARDWARE, Slowdown.POWER_BRAKE}),
    ],
)
def test_reasons_that_slow_a_busy_gpu_are_named(reasons, named):
    assert slowdowns(reasons) == named


def test_a_mask_of_cores_goes_on_in_the_next_word():
    assert cores_in([0b1011, 1 << 63, 0]) == {0, 1, 3, 127}
    assert cores_in([0]) == frozenset()


def test_without_nvml_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoGpus, match="no NVML: the nvidia-ml-py package is not installed"):
        find_gpus()
    on_cpu = look_at_node(hardware(device="cpu"))
    assert (on_cpu.gpus, on_cpu.mismatch) == ("none is used: the cell runs on the CPU", None)
    assert str(look_at_node(hardware()).mismatch).startswith("no NVML: "), "declared GPUs that nobody can see"


@pytest.mark.gpu
def test_the_driver_here_answers():
    pytest.importorskip("pynvml")
    try:
        found = find_gpus()
    except NoGpus as error:
        pytest.skip(str(error))
    load = GpuLoad(found, reader)
    load.look([1])
    load.look([1])
    load.close()
    assert [gpu.name for gpu in load.gpus([(0, float("inf"))])] == [gpu.name for gpu in found]
    assert load.peak_bytes() is not None
