"""The rates that tell machines apart, on this machine's CPU."""

import time

import pytest

torch = pytest.importorskip("torch")

from dissect.machine.cpu import CpuDevice  # noqa: E402
from dissect.ranks.anchor import FREE_BYTES, measure_anchor  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]


class SlowCpu(CpuDevice):
    """A device that needs 100 ms more to come to rest."""

    def synchronize(self) -> None:
        time.sleep(0.1)


class BrokenCpu(CpuDevice):
    """A device whose memory another process has taken."""

    def synchronize(self) -> None:
        raise torch.OutOfMemoryError("out of memory")


def test_rates_are_those_of_timed_calls() -> None:
    anchor = measure_anchor(CpuDevice(1), 1 << 40)
    assert anchor is not None
    number, start = torch.zeros(1), time.perf_counter()
    for _ in range(1000):
        number.add_(1)
    per_s = 1000 / (time.perf_counter() - start)
    assert per_s / 20 < anchor.launches_per_s < per_s * 20


def test_the_device_must_be_idle_before_the_clock_stops() -> None:
    anchor = measure_anchor(SlowCpu(1), 1 << 40)
    assert anchor is not None
    assert anchor.launches_per_s < 500 / 0.1


def test_an_anchor_that_fails_loses_no_measured_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_anchor(BrokenCpu(1), 1 << 40) is None
    assert "there is no anchor" in capsys.readouterr().err


def test_a_full_device_has_no_anchor() -> None:
    device = CpuDevice(1)
    assert measure_anchor(device, device.driver_memory_bytes() + FREE_BYTES - 1) is None
