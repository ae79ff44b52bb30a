"""The platform file of the machine at hand: what its driver and its kernel report, with the peaks of a known GPU."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from math import ceil, log2
from textwrap import wrap
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from dissect.base.units import GIB
from dissect.config.known_gpus import GPUS_FILE, KnownGpu
from dissect.machine.cuda_compiler import shown
from dissect.machine.gpus import GpuInfo
from dissect.results.installed import Installed

TRAINING = (
    "accelerate",
    "bitsandbytes",
    "deepspeed",
    "flash-attn",
    "megatron-core",
    "peft",
    "torch",
    "transformers",
    "triton",
)
"""Distributions of the environment ``train``."""
_OTHERS = {
    "client": ({"guidellm"}, ("guidellm", "torch", "transformers")),
    "transformers": ({"transformers", "uvicorn"}, ("torch", "transformers")),
    "vllm": ({"vllm"}, ("torch", "vllm")),
}
"""Environment of servers -> distributions without which it is none, and those whose versions are declared."""
_PRECOMPILED_FLASHINFER = "flashinfer-cubin"
_GIGATRANSFERS = {1: 2.5, 2: 5, 3: 8, 4: 16, 5: 32, 6: 64}
"""Generation of PCI Express -> GT/s of one lane."""
_FLASH_CAPABILITY = (8, 0)
"""Least compute capability of FlashAttention's kernels, and of bf16 units."""
_STEERING = ("NCCL_", "NVSHMEM_", "TORCH_SYMM_MEM_")
_LABELS = frozenset({"NCCL_VERSION"})
"""Variables that images carry as a label, and that steer nothing."""
_WIDTH = 120
_BULLET: dict[str, Any] = {"initial_indent": "# - ", "subsequent_indent": "#   "}
_HEADROOM = 1.2
"""Memory of a server as a multiple of its weights, at least."""


@dataclass(frozen=True)
class Machine:
    """What is found of a machine."""

    device: str
    """Value of a platform's ``device``."""
    gpus: Sequence[GpuInfo]
    cpu: str
    cores: int
    memory_bytes: int
    no_compiler: str | None
    """Why kernels cannot be compiled here, in words."""
    interpreter: str | None = None
    """Command of the machine's own Python; None for the project's locked environments."""
    installed: Installed | None = None
    """What that Python has."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of this process that steer the GPUs' communication."""

    @property
    def alike(self) -> list[GpuInfo]:
        """The GPUs that are like the first."""
        first = self.gpus[0]
        return [gpu for gpu in self.gpus if (gpu.name, gpu.memory_bytes) == (first.name, first.memory_bytes)]

    @property
    def summary(self) -> str:
        """The machine in one line."""
        gpu = self.gpus[0]
        return (
            f"{len(self.alike)} x {gpu.name} of {gpu.memory_bytes / GIB:.1f} GiB, driver {gpu.driver}; "
            f"{self.cores} cores, {self.memory_bytes // GIB} GiB of host memory"
        )


def steering_variables() -> dict[str, str]:
    """Variables of this process that steer communication between GPUs; no path, and no label of an image."""
    found = sorted(os.environ.items())
    return {
        name: value
        for name, value in found
        if name.startswith(_STEERING) and name not in _LABELS and not value.startswith("/")
    }


def platform_file(
    machine: Machine, known: Mapping[str, KnownGpu], weights: Mapping[str, int], name: str
) -> tuple[str, list[str]]:
    """Text of the platform file of a machine, and what it could not know, in sentences.

    ``weights`` has the bytes of each model in bf16, by its name.
    """
    published = known.get(machine.gpus[0].name)
    document, unknown = _document(machine, published, weights), list(_unknown(machine, published))
    _remark(document, machine)
    stream = StringIO()
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.dump(document, stream)
    head = [
        f"# {machine.alike[0].name}, as `llm-dissect describe name={name}` found it.",
        "# yaml-language-server: $schema=../schemas/platform.schema.json",
        "#",
        "# Not known:",
        *(line for sentence in unknown for line in wrap(sentence, _WIDTH, **_BULLET)),
    ]
    return "\n".join([*head, stream.getvalue()]), unknown


def _document(machine: Machine, published: KnownGpu | None, weights: Mapping[str, int]) -> CommentedMap:
    """The keys of the platform file with their values."""
    gpu, count = machine.alike[0], len(machine.alike)
    label = published.label if published else _short(gpu.name)
    flash_attention = _flash_attention(machine)
    return CommentedMap(
        {
            "label": f"{label} node of {count}" if count > 1 else label,
            "device": machine.device,
            "gpu": _gpu(gpu, published, label),
            "gpus_per_node": count,
            "gpu_counts": _flow([*(2**power for power in range(ceil(log2(count)))), count]),
            "interconnect": _interconnect(gpu, published),
            "host": {
                "cpu": f"{machine.cpu}, {machine.cores} cores",
                "memory_gib": int(machine.memory_bytes / GIB),
                "source": "this machine's kernel",
            },
            "environment": _environment(machine),
            **({"kernels": {"flash_attention": flash_attention}} if flash_attention else {}),
            **({} if machine.no_compiler is None else {"optimizer": "torch_adamw"}),
            "serving": _serving(machine, weights),
            "workload": {
                "sampling": {"warmup_max_steps": 6, "window_s": 8},
                "training": {"warmup_max_steps": 10, "window_s": 4},
            },
            **({"environments": _environments(machine)} if machine.installed else {}),
            "scheduler": {"exclusive": True, "cpus": machine.cores},
        }
    )


def _gpu(gpu: GpuInfo, published: KnownGpu | None, label: str) -> CommentedMap:
    facts = CommentedMap({"model": gpu.name, "label": label, "memory_gib": round(gpu.memory_bytes / GIB, 1)})
    facts.yaml_set_comment_before_after_key("memory_gib", f"{gpu.memory_bytes} bytes, as the driver reports.", 2)
    if published:
        facts["memory_bandwidth_gb_per_s"] = _plain(published.memory_bandwidth_gb_per_s)
        facts["peak_tflops"] = _flow({name: _plain(peak) for name, peak in published.peak_tflops.items()})
        facts["source"] = published.source
        facts.yaml_set_comment_before_after_key("memory_bandwidth_gb_per_s", f"As {GPUS_FILE} has it.", 2)
    return facts


def _interconnect(gpu: GpuInfo, published: KnownGpu | None) -> dict[str, Any]:
    if gpu.active_links:
        nvlink = published.nvlink if published else None
        if nvlink is None or published is None:
            return {"kind": "NVLink"}
        share = gpu.active_links / nvlink.links
        return {"kind": "NVLink", "gb_per_s": _plain(nvlink.gb_per_s * share), "source": published.source}
    generation, lanes = gpu.pcie or (0, 0)
    if generation not in _GIGATRANSFERS:
        return {"kind": "unknown"}
    rate = _GIGATRANSFERS[generation]
    return {
        "kind": f"PCIe {generation}.0 x{lanes}",
        "gb_per_s": _plain(2 * lanes * rate / 8),
        "source": f"PCI Express {generation}.0, {lanes} lanes of {rate:g} GT/s, both directions",
    }


def _environment(machine: Machine) -> CommentedMap:
    gpu = machine.alike[0]
    architecture = {"TORCH_CUDA_ARCH_LIST": shown(gpu.compute_capability)} if gpu.compute_capability else {}
    threads = str(max(1, machine.cores // len(machine.alike)))
    return CommentedMap({"OMP_NUM_THREADS": threads, **machine.variables, **architecture})


def _flash_attention(machine: Machine) -> str | None:
    """The package where it is installed or can be built, else PyTorch's kernel; None where no kernel runs."""
    capability = machine.alike[0].compute_capability
    if capability and capability < _FLASH_CAPABILITY:
        return None
    has_package = "flash-attn" in machine.installed.versions if machine.installed else machine.no_compiler is None
    return "flash_attention_2" if has_package else "sdpa_flash"


def _serving(machine: Machine, weights: Mapping[str, int]) -> dict[str, Any]:
    memory, most = machine.alike[0].memory_bytes, len(machine.alike)
    counts = {
        model: min(most, 2 ** max(0, ceil(log2(_HEADROOM * size / memory)))) for model, size in sorted(weights.items())
    }
    compiled = machine.installed is None or _PRECOMPILED_FLASHINFER in machine.installed.versions
    extra: dict[str, Any] = {} if compiled else {"environment": {"VLLM_USE_FLASHINFER_SAMPLER": "0"}}
    return {"gpus": _flow(counts), **extra}


def _environments(machine: Machine) -> dict[str, Any]:
    """The environments that the machine's own Python can be; those of engines that it lacks stay the locked ones."""
    found = machine.installed.versions if machine.installed else {}
    wanted = {"train": TRAINING, **{name: each for name, (needs, each) in _OTHERS.items() if needs <= found.keys()}}
    return {
        name: {"interpreter": machine.interpreter, "versions": {each: found[each] for each in names if each in found}}
        for name, names in wanted.items()
    }


def _unknown(machine: Machine, published: KnownGpu | None) -> Iterator[str]:
    gpu, others = machine.alike[0], len(machine.gpus) - len(machine.alike)
    if published is None:
        yield f"the peaks of {gpu.name}, which {GPUS_FILE} lacks: without them there is no MFU and no roofline"
    elif "bf16" not in published.peak_tflops:
        yield (
            f"a bf16 peak: {gpu.name} has no bf16 units, so bf16 is computed by others and there is no MFU; with "
            "`workload: {dtype: fp32}` cells compute in fp32"
        )
    if gpu.active_links and (published is None or published.nvlink is None):
        yield f"the bandwidth of its {gpu.active_links} NVLinks"
    if gpu.active_links and any(
        not link.startswith("NVLink") for each in machine.alike for link in each.links.values()
    ):
        yield "how much the pairs of GPUs without NVLink between them cost: traffic between these takes PCIe"
    if not gpu.active_links and gpu.pcie is None:
        yield "the links between GPUs"
    if others:
        yield f"{others} more GPUs of another kind, which this platform leaves out: hide them by CUDA_VISIBLE_DEVICES"
    if machine.installed and (lacking := [name for name in TRAINING if name not in machine.installed.versions]):
        yield f"cells that use {', '.join(lacking)}: {machine.interpreter} does not have them, so these will fail"
    yield "whether the kernel shows all host memory already, as some virtual machines grow theirs while it is used"
    yield "the price of a GPU hour (`price`), without which `recommend` ranks no cost"


def _remark(document: CommentedMap, machine: Machine) -> None:
    """Say above a key why it has its value."""
    remarks = {
        "interconnect": "As the driver finds the links now.",
        "environment": "Threads per process: its share of the cores. NCCL's variables are those that were set here.",
        "workload": "GPU time is expensive, so the windows are short.",
    }
    if machine.no_compiler:
        why = machine.no_compiler
        remarks["optimizer"] = f"PyTorch's, since DeepSpeed's would have to be compiled: {why}."
    if document.get("kernels", {}).get("flash_attention") == "sdpa_flash":
        why = machine.no_compiler or "flash-attn is not installed"
        remarks["kernels"] = (
            f"PyTorch's own kernel in place of flash-attn's: {why}. docs/your-gpu.md says what that changes."
        )
    for key, text in remarks.items():
        document.yaml_set_comment_before_after_key(key, text)


def _short(name: str) -> str:
    """A GPU's name without its maker's."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("Tesla ")


def _plain(number: float) -> float:
    """A number without a needless decimal point."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _flow(value: Any) -> Any:
    """A list or mapping that is written in one line."""
    node = CommentedMap(value) if isinstance(value, dict) else CommentedSeq(value)
    node.fa.set_flow_style()
    return node
