"""What measuring needs to know of each ``device`` that a platform may declare; ``base/registry.py`` has the list."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import cast

from dissect.base.registry import DEVICES
from dissect.cells.spec import Hardware
from dissect.machine.device import Device
from dissect.machine.gpus import GpuInfo, Reader


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """Of one value of ``device``: its driver, its devices, and the names that its libraries use."""

    torch_type: str
    """torch's type of the device; frameworks call the accelerator the same."""
    open_device: Callable[[int, int], Device]
    """(local rank, ranks per node) -> the device of a rank; called in the rank itself, as a GPU survives no fork."""
    find_gpus: Callable[[], list[GpuInfo]]
    """The GPUs that this process may use; raises ``NoGpus``. Nothing of the driver stays open."""
    reader: Reader
    """Reads GPUs while the ranks run."""
    driver: str = ""
    """Name of what sees the GPUs, in sentences and (in lower case) as the source of readings; empty without GPUs."""
    visible: str = ""
    """Environment variable that lists the GPUs which a process may use; empty without GPUs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that every measuring process gets before it imports a library."""
    close_driver: Callable[[], None] = lambda: None
    """Closes the driver as often as libraries opened it when they were imported, before this process forks."""
    device_files: str = ""
    """How the paths of its device files begin: a process that forks has none of them open; empty without GPUs."""
    idle_threads: str = ""
    """Regular expression of the names of threads that its libraries leave in a process without open device files."""
    container_options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Container runtime -> options that pass the GPUs on."""
    out_of_memory: str = ""
    """Regular expression of what its libraries say when a GPU's memory ran out; empty where torch says it all."""
    no_memory_for_kernel: str = ""
    """Regular expression of what they raise where a GPU has no memory for the code of a kernel.

    In a log it tells nothing: a program that tries kernels goes on with another.
    """
    errors: str = ""
    """Regular expression of what its libraries say when a GPU, or a link between two, failed; empty without GPUs."""
    variables: Sequence[str] = ()
    """Prefixes of environment variables that steer its libraries, for the provenance."""
    distributions: Sequence[str] = ()
    """Prefixes of its Python distributions, for the provenance."""


@cache
def vendors() -> Mapping[str, Vendor]:
    """All registered vendors by device."""
    return {device: cast(Vendor, import_module(module).VENDOR) for device, module in DEVICES.items()}


def vendor_of(hardware: Hardware) -> Vendor:
    """The vendor of the device on which a cell computes."""
    return vendors()[hardware.device]


def own_device(hardware: Hardware) -> Device:
    """Open the device of this rank, by its LOCAL_RANK; pins the rank to cores next to it where the spec says so."""
    device = vendor_of(hardware).open_device(int(os.environ["LOCAL_RANK"]), hardware.n_gpus // hardware.n_nodes)
    allowed = os.sched_getaffinity(0)
    if hardware.pinning == "gpu" and (near := device.near_cores() & allowed):
        os.sched_setaffinity(0, near)
    return device


def shown_gpus(hardware: Hardware, indices: Sequence[int]) -> dict[str, str]:
    """Variables that leave a process these GPUs; on a device without GPUs it sees no vendor's."""
    name = vendor_of(hardware).visible
    return {name: ",".join(map(str, indices))} if name else hidden_gpus()


def hidden_gpus() -> dict[str, str]:
    """Variables that leave a process no GPU of any vendor."""
    return {vendor.visible: "" for vendor in vendors().values() if vendor.visible}
