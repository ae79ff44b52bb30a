"""Facts of platforms in manifests, as far as a table shows or needs them."""

from dissect.cells.manifest import Fact, PlatformFacts
from dissect.config.catalog import PREDICTION
from dissect.config.known_gpus import KnownGpu
from dissect.config.platform import GpuFacts, Platform


def platform_facts(platform: Platform, layout: str) -> PlatformFacts:
    """Facts of a platform that this kind of table shows, and no others: a change of those must not draw it again."""
    gpu = platform.gpu
    if layout == PREDICTION:
        return prediction_facts(platform)
    if layout == "platforms":
        return PlatformFacts(label=platform.shown_label, declared=_declared(platform), peak_source=gpu.source)
    bandwidth = gpu.memory_bandwidth_gb_per_s if layout == "roofline" else None
    return PlatformFacts(
        label=platform.shown_label,
        gpu_label=platform.shown_gpu_label,
        memory_is_held=platform.memory_budget_gib is not None,
        memory_gib=(platform.memory_budget_gib or gpu.memory_gib) if layout == "claims" else None,
        peak_flops=peak_flops(gpu),
        memory_bytes_per_s=bandwidth * 1e9 if bandwidth else None,
    )


def prediction_facts(platform: Platform) -> PlatformFacts:
    """Facts of a platform from which times are predicted."""
    bandwidth, link = platform.gpu.memory_bandwidth_gb_per_s, platform.interconnect.gb_per_s
    return PlatformFacts(
        label=platform.shown_label,
        peak_flops=peak_flops(platform.gpu),
        memory_bytes_per_s=bandwidth * 1e9 if bandwidth else None,
        link_bytes_per_s=link * 1e9 if link else None,
    )


def why_untimed(name: str, platform: Platform) -> str | None:
    """Which facts the file of a platform lacks, without which no kernel is timed that was not measured on its GPU."""
    gpu, host = platform.gpu, platform.device == "cpu"
    facts = {"gpu.memory_bandwidth_gb_per_s": gpu.memory_bandwidth_gb_per_s, "gpu.peak_tflops": gpu.peak_tflops}
    lacking = [] if host else [key for key, value in facts.items() if not value]
    where = f"config/platforms/{name}.yaml lacks {' and '.join(lacking)}"
    return f"{where}, from which times of kernels are predicted; config/gpus.yaml has known GPUs" if lacking else None


def peak_flops(gpu: GpuFacts | KnownGpu) -> dict[str, float]:
    """Dense peaks in FLOP/s by dtype."""
    return {dtype: tflops * 1e12 for dtype, tflops in sorted(gpu.peak_tflops.items())}


def _declared(platform: Platform) -> dict[str, str]:
    """Rows of Table I for one platform: fact -> value with unit."""
    gpu, link = platform.gpu, platform.interconnect
    rows = {
        Fact.GPU: gpu.model,
        Fact.GPUS: str(platform.gpus_per_node * platform.nodes),
        Fact.GPU_MEMORY: f"{gpu.memory_gib:g} GiB",
        Fact.MEMORY_BANDWIDTH: f"{gpu.memory_bandwidth_gb_per_s:,g} GB/s" if gpu.memory_bandwidth_gb_per_s else None,
        Fact.INTERCONNECT: link.kind + (f", {link.gb_per_s:g} GB/s" if link.gb_per_s else ""),
        Fact.CPU: platform.host.cpu,
        Fact.HOST_MEMORY: f"{platform.host.memory_gib:g} GiB",
        Fact.DTYPE: platform.workload.dtype or "bf16",
    }
    facts = {str(fact): value for fact, value in rows.items() if value}
    return facts | {f"Dense peak {dtype}": f"{tflops:g} TFLOP/s" for dtype, tflops in sorted(gpu.peak_tflops.items())}
