"""A rank on a GPU that is held to less memory than the GPU has."""

import pytest

torch = pytest.importorskip("torch")

from dissect.machine.out_of_memory import is_out_of_memory  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch, pytest.mark.gpu]
MIB = 2**20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_is_beyond_the_budget_runs_out_of_memory() -> None:
    from dissect.machine.nvidia import CudaDevice

    device = CudaDevice(0)
    device.synchronize()
    budget = device.driver_memory_bytes() + 1024 * MIB
    device.limit_memory(budget)
    fits = torch.empty(900 * MIB, dtype=torch.uint8, device=device.torch_device)
    with pytest.raises(torch.OutOfMemoryError) as error:
        torch.empty(200 * MIB, dtype=torch.uint8, device=device.torch_device)
    assert is_out_of_memory(error.value)
    device.lift_limit()
    more = torch.empty(200 * MIB, dtype=torch.uint8, device=device.torch_device)
    assert fits.numel() + more.numel() == 1100 * MIB
