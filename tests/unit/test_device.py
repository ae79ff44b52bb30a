"""Which errors mean that memory ran out; and the limit on a CPU's memory, enforced for real."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from dissect.machine.device import is_host_out_of_memory, is_out_of_memory, is_thread_failure

# As the libraries word them.
CPU_ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "4194304 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA_ALLOCATOR = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.80 GiB"
NCCL = (
    "NCCL error in: ProcessGroupNCCL.cpp:77, unhandled cuda error, NCCL version 2.28.9\n"
    "Last error:\nFailed to CUDA calloc 10485760 bytes: Cuda failure 2 'out of memory'"
)


class OutOfMemoryError(RuntimeError):
    """Named as torch's, which is recognised by name."""


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(CPU_ALLOCATOR),
        MemoryError(),
        MemoryError("std::bad_alloc"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OutOfMemoryError("whatever it says"),
        RuntimeError(CUDA_ALLOCATOR),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(NCCL),
    ],
    ids=str,
)
def test_out_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: misaligned address"),
        RuntimeError("NCCL error: unhandled system error, remote process exited or there was a network error"),
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:26846"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("pin_memory: cannot pin memory of a sparse tensor"),
        RuntimeError("Resource temporarily unavailable"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("the prompt says: CUDA is out of memory"),
    ],
    ids=str,
)
def test_anything_else(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_cause_counts() -> None:
    outer = RuntimeError("engine could not be built")
    assert not is_out_of_memory(outer)
    outer.__cause__ = MemoryError()
    assert is_out_of_memory(outer)


def test_host_memory_is_told_from_the_gpus() -> None:
    assert is_host_out_of_memory(RuntimeError(CPU_ALLOCATOR))
    assert not is_host_out_of_memory(RuntimeError(CUDA_ALLOCATOR))


def test_threads() -> None:
    assert is_thread_failure(RuntimeError("Resource temporarily unavailable"))
    assert is_thread_failure(RuntimeError("can't start new thread"))
    assert not is_thread_failure(RuntimeError("read: Resource temporarily unavailable"))


LIMITED = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from dissect.machine.device import CpuDevice, is_out_of_memory
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
