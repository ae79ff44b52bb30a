"""Which errors and which lines of a log mean that memory ran out."""

import errno

import pytest

from dissect.machine.out_of_memory import IN_A_LOG, is_host_out_of_memory, is_out_of_memory, is_thread_failure

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
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("cuModuleLoadData failed: CUDA_ERROR_OUT_OF_MEMORY"),
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
        RuntimeError("out of resource: shared memory, Required: 262144, Hardware limit: 232448"),
        RuntimeError("Triton Error [CUDA]: invalid argument"),
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


@pytest.mark.parametrize(
    "line",
    [
        CPU_ALLOCATOR,
        CUDA_ALLOCATOR,
        NCCL,
        "ERROR 11-20 torch.OutOfMemoryError: CUDA out of memory occurred when warming up sampler",
        "what():  CUDA error: out of memory",
        "cudaErrorMemoryAllocation",
        "MemoryError: Unable to allocate 4.00 GiB",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ],
)
def test_a_log_that_names_it(line: str) -> None:
    assert IN_A_LOG.search(f"loading weights\n{line}\nbye")


def test_a_log_of_something_else() -> None:
    assert not IN_A_LOG.search(
        "NCCL error: unhandled system error\nCUDA error: an illegal memory access\nno MemoryError:"
    )


def test_a_log_of_a_program_that_tries_kernels() -> None:
    assert not IN_A_LOG.search("W autotune: Triton Error [CUDA]: out of memory\nCUDA driver error: out of memory")


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
