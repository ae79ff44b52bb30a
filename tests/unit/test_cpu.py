"""The limit on a CPU's memory, enforced for real, and the caches of the machine."""

import subprocess
import sys
from pathlib import Path

from dissect.machine.cpu import host_cache_bytes

LIMITED = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from dissect.machine.cpu import CpuDevice
from dissect.machine.out_of_memory import is_out_of_memory
device = CpuDevice.__new__(CpuDevice)  # without torch, which only its threads need
device.limit_memory(64 << 20)
device.reset_peak_memory()
before = device.peak_memory_bytes()
kept = bytearray(b"x") * (48 << 20)
assert before + (40 << 20) < device.peak_memory_bytes() < before + (64 << 20), device.peak_memory_bytes() - before
assert not device.is_full()
try:
    bytearray(32 << 20)
except Exception as error:
    assert is_out_of_memory(error)
else:
    raise SystemExit("the limit let 80 MiB pass")
more = bytearray(9 << 20)
assert device.is_full()
device.lift_limit()
assert not device.is_full()
bytearray(256 << 20)
"""


def test_limit_on_a_cpu() -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    subprocess.run([sys.executable, "-c", LIMITED, str(scripts)], check=True)


def test_the_last_cache_is_the_largest(tmp_path: Path) -> None:
    assert host_cache_bytes(tmp_path) == 32 * 2**20
    for index, size in enumerate(("48K", "32768K", "1M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}/size").write_text(size + "\n")
    assert host_cache_bytes(tmp_path) == 32 * 2**20
