"""What the registered devices say of themselves."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from dissect.base.registry import DEVICES
from dissect.cells.spec import Hardware
from dissect.machine.cpu import CpuDevice
from dissect.machine.vendor import hidden_gpus, own_device, shown_gpus, vendors
from factories import hardware
from forked_ranks import in_fork

SCRIPTS = Path(__file__).parents[2] / "scripts"
LIGHT = """
import sys
from dissect.machine.vendor import vendors
assert vendors()
print(*sorted({"torch", "pynvml", "psutil"} & sys.modules.keys()))
"""


def test_a_vendors_module_imports_neither_torch_nor_its_driver() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def test_a_process_sees_the_gpus_of_its_cell_alone() -> None:
    assert shown_gpus(hardware(), [2, 0]) == {"CUDA_VISIBLE_DEVICES": "2,0"}
    assert shown_gpus(hardware(device="cpu"), []) == {"CUDA_VISIBLE_DEVICES": ""} == hidden_gpus()


class PinnableDevice(CpuDevice):
    """A device next to some cores of this machine, and to one that it does not have."""

    near: ClassVar[frozenset[int]] = frozenset()

    def __init__(self) -> None:
        """Leave torch's threads alone: there is no torch in this environment."""

    def near_cores(self) -> frozenset[int]:
        return self.near


def cores_of_a_rank(on: Hardware, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Cores that a rank on this hardware may use; this process keeps its own."""
    vendor = replace(vendors()["cpu"], open_device=lambda *_: PinnableDevice())
    monkeypatch.setattr("dissect.machine.vendor.vendors", lambda: {"cpu": vendor})
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def cores() -> set[int]:
        own_device(on)
        return os.sched_getaffinity(0)

    found: set[int] = in_fork(cores)
    return found


def test_a_rank_is_pinned_to_the_cores_next_to_its_device_where_that_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    first = min(allowed)
    monkeypatch.setattr(PinnableDevice, "near", frozenset({first, 100_000}))
    on = hardware(device="cpu")
    pinned = on.model_copy(update={"pinning": "gpu"})
    assert cores_of_a_rank(on, monkeypatch) == allowed
    assert cores_of_a_rank(pinned, monkeypatch) == {first}
    monkeypatch.setattr(PinnableDevice, "near", frozenset())
    assert cores_of_a_rank(pinned, monkeypatch) == allowed, "a device that is next to none"
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize("device", DEVICES)
def test_whoever_has_gpus_can_name_and_hide_them(device: str) -> None:
    vendor = vendors()[device]
    assert bool(vendor.driver) == bool(vendor.visible) == (device != "cpu")
