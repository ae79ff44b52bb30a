"""The platform file of the machine at hand, from recorded answers of NVML; and where there is no GPU."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dissect.answers.describing import answer, find_device
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.config.files import validate
from dissect.config.known_gpus import read_known_gpus
from dissect.config.platform import Platform
from dissect.machine.cuda_compiler import runtime_of_lock, why_no_compiler
from dissect.machine.description import Machine, platform_file
from dissect.machine.gpus import GpuInfo
from dissect.results.installed import Installed

ROOT = Path(__file__).parents[2]
NVML = json.loads((ROOT / "tests/data/nvml_h100_x2.json").read_text())
"""What NVML answered on a machine with two H100, each GPU alike."""
WEIGHTS = {"llama2-7b": 13_476_839_424, "llama2-70b": 137_953_296_384}
KNOWN = read_known_gpus(ROOT)


def recorded(index: int, **changes: Any) -> GpuInfo:
    """One of the two H100, as ``find_gpus`` makes it of these answers."""
    links = sum(NVML["nvmlDeviceGetNvLinkState"])
    gpu = GpuInfo(
        index=index,
        name=NVML["nvmlDeviceGetName"],
        uuid=f"GPU-{index}",
        driver=NVML["nvmlSystemGetDriverVersion"],
        memory_bytes=NVML["nvmlDeviceGetMemoryInfo.total"],
        power_limit_w=NVML["nvmlDeviceGetEnforcedPowerLimit"] / 1000,
        links={str(1 - index): f"NVLink x{links}"},
        pids=frozenset(),
        compute_capability=tuple(NVML["nvmlDeviceGetCudaComputeCapability"]),
        pcie=(NVML["nvmlDeviceGetMaxPcieLinkGeneration"], NVML["nvmlDeviceGetMaxPcieLinkWidth"]),
        active_links=links,
        runtime=(NVML["nvmlSystemGetCudaDriverVersion_v2"] // 1000, 0),
    )
    return replace(gpu, **changes)


def machine(*gpus: GpuInfo, **changes: Any) -> Machine:
    found = Machine("cuda", gpus, "Intel(R) Xeon(R) Processor", 32, 256 * 2**30, no_compiler=None)
    return replace(found, **changes)


def described(found: Machine) -> tuple[Platform, str, list[str]]:
    """The platform of a machine as it is read, the file's text, and what is not known."""
    text, unknown = platform_file(found, KNOWN, WEIGHTS, "here")
    assert max(map(len, text.splitlines())) <= 120
    return validate(Platform, YAML(typ="safe", pure=True).load(text), "here.yaml"), text, unknown


def test_two_h100_are_the_platform_that_was_written_by_hand(project: Path) -> None:
    by_hand = load_study(project, {"platforms": ["h100-x2"]}).catalog.platforms["h100-x2"]
    platform, text, unknown = described(machine(recorded(0), recorded(1)))
    assert platform.label == "H100-80G node of 2"
    assert platform.gpu == by_hand.gpu
    assert platform.interconnect.kind == by_hand.interconnect.kind == "NVLink"
    assert platform.interconnect.gb_per_s == by_hand.interconnect.gb_per_s
    assert (platform.gpus_per_node, platform.gpu_counts) == (by_hand.gpus_per_node, by_hand.gpu_counts)
    assert platform.serving.gpus == {"llama2-7b": 1, "llama2-70b": 2}
    assert platform.environment == {"OMP_NUM_THREADS": "16", "TORCH_CUDA_ARCH_LIST": "9.0"}
    assert platform.kernels == by_hand.kernels
    assert platform.optimizer == by_hand.optimizer
    assert "85520809984 bytes, as the driver reports" in text
    assert [sentence for sentence in unknown if "price" not in sentence and "host memory" not in sentence] == []


def test_a_label_names_the_node_and_no_number_of_gpus_that_a_cell_used() -> None:
    """Cells of a node use one GPU or several, so ``4 x H200`` would be read as what a number was measured on."""
    platforms = load_study(ROOT, {}).catalog.platforms.values()
    numbered = [each for each in platforms if each.device == "cuda" and re.search(r"\b\d+\b", each.label)]
    assert {each.gpus_per_node for each in numbered} == {2, 4, 8}
    assert all(f"node of {each.gpus_per_node}" in each.label for each in numbered)


def test_facts_of_the_shipped_platforms_are_those_of_the_table() -> None:
    platforms = load_study(ROOT, {}).catalog.platforms.values()
    shown = [platform for platform in platforms if platform.gpu.model in KNOWN]
    assert len({platform.gpu.model for platform in shown}) == 5
    for platform in shown:
        known, gpu = KNOWN[platform.gpu.model], platform.gpu
        assert (known.label, known.memory_bandwidth_gb_per_s) == (gpu.label, gpu.memory_bandwidth_gb_per_s)
        assert known.peak_tflops == gpu.peak_tflops
        if platform.interconnect.kind == "NVLink":
            assert known.nvlink is not None
            assert known.nvlink.gb_per_s == platform.interconnect.gb_per_s


def test_an_unknown_gpu_has_no_peaks_and_says_so() -> None:
    platform, text, unknown = described(machine(recorded(0, name="NVIDIA Z900", active_links=18)))
    assert (platform.gpu.label, platform.gpu.peak_tflops, platform.gpu.source) == ("Z900", {}, None)
    assert (platform.interconnect.kind, platform.interconnect.gb_per_s) == ("NVLink", None)
    assert unknown[0].startswith("the peaks of NVIDIA Z900, which config/gpus.yaml lacks")
    assert "# - the peaks of NVIDIA Z900" in text


@pytest.mark.parametrize(
    ("links", "pcie", "kind", "bandwidth"),
    [
        (9, (5, 16), "NVLink", 450),
        (0, (5, 16), "PCIe 5.0 x16", 128),
        (0, (4, 8), "PCIe 4.0 x8", 32),
        (0, None, "unknown", None),
    ],
)
def test_links_are_those_that_are_up(links: int, pcie: Any, kind: str, bandwidth: float | None) -> None:
    platform, _, _ = described(machine(recorded(0, active_links=links, pcie=pcie, links={})))
    assert (platform.interconnect.kind, platform.interconnect.gb_per_s) == (kind, bandwidth)


def test_pairs_without_nvlink_are_named() -> None:
    bridged = [recorded(0, links={"1": "NVLink x4", "2": "PCIe, host bridge"}), recorded(1), recorded(2)]
    platform, _, unknown = described(machine(*bridged))
    assert platform.gpu_counts == [1, 2, 3]
    assert any("pairs of GPUs without NVLink" in sentence for sentence in unknown)


def test_gpus_of_another_kind_are_left_out() -> None:
    platform, _, unknown = described(machine(recorded(0), recorded(1, name="NVIDIA L4", memory_bytes=24 * 2**30)))
    assert platform.gpus_per_node == 1
    assert any(sentence.startswith("1 more GPUs of another kind") for sentence in unknown)


def test_without_a_compiler_nothing_has_to_be_compiled() -> None:
    platform, text, _ = described(machine(recorded(0), no_compiler="nvcc is missing"))
    assert (platform.kernels.flash_attention, platform.optimizer) == ("sdpa_flash", "torch_adamw")
    assert "# PyTorch's own kernel in place of flash-attn's: nvcc is missing. docs/your-gpu.md says" in text


def test_before_ampere_there_is_no_flash_attention() -> None:
    platform, _, unknown = described(machine(recorded(0, name="Tesla V100-SXM2-32GB", compute_capability=(7, 0))))
    assert platform.kernels.flash_attention is None
    assert any("no bf16 units" in sentence for sentence in unknown)


def test_a_python_of_the_machine_is_its_software() -> None:
    installed = Installed("3.12", {"torch": "2.11.0", "vllm": "0.22.0", "deepspeed": "0.19.8", "numpy": "2.0"})
    platform, _, _ = described(machine(recorded(0), interpreter="python3", installed=installed))
    train, vllm = platform.environments["train"], platform.environments["vllm"]
    assert (train.interpreter, train.versions) == ("python3", {"deepspeed": "0.19.8", "torch": "2.11.0"})
    assert vllm.versions == {"torch": "2.11.0", "vllm": "0.22.0"}
    assert "client" not in platform.environments
    assert platform.kernels.flash_attention == "sdpa_flash"
    assert platform.serving.environment == {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
    few = Installed("3.12", {"torch": "2.11.0", "transformers": "5.17.0"})
    platform, _, unknown = described(machine(recorded(0), interpreter="python3", installed=few))
    assert unknown[0].startswith(
        "cells that use accelerate, bitsandbytes, deepspeed, flash-attn, megatron-core, peft, "
    )
    assert [*platform.environments] == ["train"], "what cannot serve is no environment of a server"


def test_what_somebody_wrote_is_not_replaced(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [recorded(0), recorded(1)]
    monkeypatch.setattr("dissect.answers.describing.find_device", lambda: ("cuda", gpus))
    study = load_study(project, {"name": "two"})
    path = project / "config/platforms/two.yaml"
    first = answer(study, project, {})
    assert first.startswith(f"{path}: 2 x NVIDIA H100 80GB HBM3 of 79.6 GiB, driver 580.159.04; ")
    assert first.endswith("Next: make gpu-smoke PLATFORM=two")
    path.write_text(before := path.read_text() + "# a remark\n")
    assert "is there already" in answer(study, project, {})
    path.write_text(before := before.replace("memory_gib: 79.6", "memory_gib: 80"))
    with pytest.raises(ConfigError, match=r"differs from this machine in gpu; nothing replaces it: name=<other>"):
        answer(study, project, {})
    assert path.read_text() == before
    answer(load_study(project, {"name": "two", "force": True}), project, {})
    assert "memory_gib: 79.6" in path.read_text()
    assert "two" in load_study(project, {"platforms": ["two"]}).catalog.platforms


def test_host_memory_that_grew_is_told_and_not_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dissect.answers.describing.find_device", lambda: ("cuda", [recorded(0)]))
    study, path = load_study(project, {"name": "one"}), project / "config/platforms/one.yaml"
    for size in (64, 252):
        monkeypatch.setattr("dissect.answers.describing.host_memory_bytes", lambda size=size: size * 2**30)
        said = answer(study, project, {})
    assert "The host memory is 252 GiB, the file says 64: it stays" in said
    assert "memory_gib: 64" in path.read_text(), "cells with this in their key may be measured"
    path.write_text(path.read_text().replace("memory_gib: 64", "memory_gib: 64\n  note: mine"))
    with pytest.raises(ConfigError, match="differs from this machine in host"):
        answer(study, project, {})


def test_the_compiler_must_be_of_pytorch_s_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    nvcc = tmp_path / "bin/nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho "Cuda compilation tools, release 12.8, V12.8.93"\n')
    nvcc.chmod(0o755)
    assert why_no_compiler((12, 4)) is None
    assert why_no_compiler(None) is None
    assert why_no_compiler((13, 0)) == f"{nvcc} is of CUDA 12.8, PyTorch of CUDA 13.0"
    assert runtime_of_lock((ROOT / "envs/train/requirements.txt").read_text()) == (13, 0)


def test_a_machine_without_gpus_is_told_so_in_one_sentence() -> None:
    if list(Path("/dev").glob("nvidia[0-9]*")):
        assert find_device()[0] == "cuda"
        return
    with pytest.raises(ConfigError, match=r"^this machine has no GPU to describe \(no NVML: .+\); the .+$"):
        find_device()
