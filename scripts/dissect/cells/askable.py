"""What the forms of the report page ask about: GPUs, models and settings, whether measured or not."""

from collections.abc import Iterator
from functools import partial

from dissect.base.model import Model
from dissect.base.units import GIB
from dissect.cells.manifest import PlatformFacts
from dissect.cells.platform_facts import peak_flops, prediction_facts
from dissect.cells.point import points_of
from dissect.cells.resolve import CELL_OF
from dissect.cells.spec import Hardware, ModelArchitecture
from dissect.config.catalog import Catalog
from dissect.config.kinds import LETTER_STAGES, Stage
from dissect.config.known_gpus import KnownGpu
from dissect.config.platform import Platform
from dissect.config.price import Price

COUNTS = (1, 2, 4, 8)
"""Numbers of GPUs of one node that can be chosen."""
PCIE, PCIE_GB_PER_S = "PCIe 4.0 x16", 64
"""Link of known GPUs without NVLink: what their machines have is not known."""
HOST_GIB = 512
"""Host memory of such a machine, as of the paper's."""


class AskedGpu(Model):
    """A GPU with its link, of one node."""

    hardware: Hardware
    """One of them; a choice has as many as it asks for."""
    facts: PlatformFacts
    """What times are predicted from, and the label."""
    price: Price | None = None


class AskedModel(Model):
    """A model."""

    label: str
    architecture: ModelArchitecture


class Askable(Model):
    """Everything that can be chosen."""

    gpus: dict[str, AskedGpu] = {}
    models: dict[str, AskedModel] = {}
    settings: dict[str, str] = {}
    """Stage, framework and method, such as ``pretrain/deepspeed/Z2`` or ``serve/vllm/tuned`` -> a canonical spec."""


def askable(catalog: Catalog) -> Askable:
    """What can be asked with this configuration: every GPU of a platform or known by its datasheet, and every setting.

    Settings are those of the wanted tables on the platform with most GPUs that runs most frameworks.
    """
    return Askable(
        gpus=dict(sorted(_gpus(catalog), key=lambda item: item[1].facts.label)),
        models={
            name: AskedModel(label=catalog.models[name].label, architecture=catalog.models[name].architecture)
            for name in catalog.root.models
        },
        settings=_settings(catalog),
    )


def _gpus(catalog: Catalog) -> Iterator[tuple[str, AskedGpu]]:
    """Each GPU with each of its links once, by the name of its largest platform; none without bf16."""
    platforms = {
        name: each for name, each in catalog.platforms.items() if each.device != "cpu" and not each.memory_budget_gib
    }
    largest = sorted(platforms.items(), key=lambda item: -item[1].gpus_per_node)
    seen = set[tuple[str, str]]()
    for name, platform in largest:
        kind = (platform.gpu.model, platform.interconnect.kind)
        # A single GPU has no link to tell it from others of its model.
        if kind not in seen and (platform.gpus_per_node > 1 or kind[0] not in {model for model, _ in seen}):
            seen.add(kind)
            yield name, _declared(platform)
    for model, gpu in catalog.known_gpus.items():
        if "bf16" in gpu.peak_tflops and model not in {known for known, _ in seen}:
            yield gpu.label.lower(), _known(model, gpu)


def _declared(platform: Platform) -> AskedGpu:
    label = f"{platform.gpu.label}, {platform.interconnect.kind}"
    memory, host = platform.gpu.memory_gib, platform.host.memory_gib
    hardware = _hardware(platform.gpu.model, platform.interconnect.kind, memory, host)
    facts = prediction_facts(platform).model_copy(update={"label": label})
    return AskedGpu(hardware=hardware, facts=facts, price=platform.price)


def _known(model: str, gpu: KnownGpu) -> AskedGpu:
    link = gpu.nvlink.gb_per_s if gpu.nvlink else PCIE_GB_PER_S
    kind = "NVLink" if gpu.nvlink else PCIE
    facts = PlatformFacts(
        label=f"{gpu.label}, {kind}",
        peak_flops=peak_flops(gpu),
        memory_bytes_per_s=gpu.memory_bandwidth_gb_per_s * 1e9,
        link_bytes_per_s=link * 1e9,
    )
    return AskedGpu(hardware=_hardware(model, kind, gpu.memory_gib, HOST_GIB), facts=facts)


def _hardware(model: str, link: str, memory_gib: float, host_gib: float) -> Hardware:
    return Hardware(
        device="cuda", gpu_model=model, n_gpus=1, n_nodes=1, interconnect=link, environment={},
        device_memory_bytes=int(memory_gib * GIB), host_memory_bytes=int(host_gib * GIB),
    )  # fmt: skip


def _settings(catalog: Catalog) -> dict[str, str]:
    platforms = {name: each for name, each in catalog.platforms.items() if each.device != "cpu" and each.nodes == 1}
    if not platforms:
        return {}
    base = max(platforms, key=partial(_breadth, platforms))
    found: dict[tuple[Stage, str, str], str] = {}
    for name, experiment in catalog.wanted_experiments.items():
        if experiment.stage in (*LETTER_STAGES, "serve") and experiment.stage != "profile":
            for point in points_of(name, catalog, [base]):
                setting = (experiment.stage, point.framework, point.method)
                # A spec takes long to make, and one of each setting is enough.
                if setting not in found and (spec := CELL_OF[experiment.stage](point, catalog, []).canonical):
                    found[setting] = spec
    return {"/".join(setting): spec for setting, spec in found.items()}


def _breadth(platforms: dict[str, Platform], name: str) -> tuple[int, int, str]:
    return platforms[name].gpus_per_node, len(platforms[name].environments), name
