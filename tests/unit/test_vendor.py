"""What the registered devices say of themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from dissect.base.registry import DEVICES
from dissect.machine.vendor import hidden_gpus, shown_gpus, vendors
from factories import hardware

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


@pytest.mark.parametrize("device", DEVICES)
def test_whoever_has_gpus_can_name_and_hide_them(device: str) -> None:
    vendor = vendors()[device]
    assert bool(vendor.driver) == bool(vendor.visible) == (device != "cpu")
