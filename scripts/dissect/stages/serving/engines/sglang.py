"""SGLang's server, as its versions 0.5.5 to 0.5.17 word their logs."""

import re

from dissect.base.outcome import Phase
from dissect.base.units import GIB, MIB
from dissect.cells.engines import Batching
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.stages.serving.engine_terms import LOG, TermReport
from dissect.workloads.dtypes import TORCH_NAMES
from dissect.workloads.kv_cache import asked_cache_tokens

_SETTINGS = "/get_server_info"
_CONTEXT_BYTES = 1.0e9
"""CUDA context and libraries, which it does not count as its own. Measured: a shipped cell on H200."""


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--max-running-requests`` limits admission, ``--mem-fraction-static`` memory; no prefix cache."""
    whole = spec.settings.chunked_prefill is False
    chunk = -1 if whole else spec.settings.prefill_tokens
    return [
        "--model-path", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--nccl-port", str(place.spare_ports[0]), "--dtype", TORCH_NAMES[spec.workload.dtype],
        "--tp-size", str(spec.hardware.n_gpus), "--random-seed", str(spec.workload.seed), "--disable-radix-cache",
        *option("max-running-requests", spec.settings.max_sequences),
        *option("mem-fraction-static", spec.settings.memory_share),
        *option("max-total-tokens", asked_cache_tokens(spec)),
        *option("chunked-prefill-size", chunk), *option("max-prefill-tokens", spec.settings.prefill_tokens),
        *option("cuda-graph-max-bs", spec.settings.graph_sequences),
        *spec.settings.arguments,
    ]  # fmt: skip


def batching(spec: ServeSpec) -> Batching:
    """Batches of its scheduler; defaults of ``ServerArgs``, by the memory of the card.

    It leaves memory for graphs and activations itself (``_handle_gpu_memory_settings``), in place of a profiled step.
    It admits requests that may not all finish; since it seldom has to retract one, each has all its room here.
    """
    settings, hardware = spec.settings, spec.hardware
    card = hardware.card_memory_bytes or hardware.device_memory_bytes
    default_tokens, default_graphs = (2048, 32) if card < 35 * GIB else (8192, 256)
    tokens, graphs = settings.prefill_tokens or default_tokens, settings.graph_sequences or default_graphs
    kept = MIB * (512 + 1.5 * max(tokens, 2048) + 2 * graphs + 128 * hardware.n_gpus)
    kept = max(kept, 10 * GIB) if card > 60 * GIB else kept
    return Batching(
        max_sequences=settings.max_sequences or 2048,
        prefill_tokens=tokens,
        memory_share=settings.memory_share or 1 - kept / card,
        beside_bytes=_CONTEXT_BYTES,
        beside_off=0.5,
        mixes=False,
        reserves=True,
    )


ENGINE = Engine(
    label="SGLang",
    protocol=1,
    batching=batching,
    start=("-m", "sglang.launch_server"),
    program="python3",
    arguments=arguments,
    environment=lambda _: {},
    body={"temperature": 0, "ignore_eos": True},
    progress=(
        (re.compile(r"Load weight end"), Phase.KV_CACHE),
        (re.compile(r"Capture (?:cuda|target decode CUDA) graph begin"), Phase.GRAPH_CAPTURE),
        (re.compile(r"The server is fired up"), Phase.SERVE),
    ),
    out_of_memory=((re.compile(r"Not enough memory. Please try to increase"), Phase.KV_CACHE),),
    terms={
        "max_sequences": (TermReport(LOG, r"max_running_requests=(\d+), context_len"),),
        "most_running": (TermReport(LOG, r"#running-req: (\d+)"),),
        "cache_tokens": (
            TermReport(LOG, r"max_total_num_tokens=(\d+)"),
            TermReport(_SETTINGS, r'"max_total_num_tokens":\s*(\d+)'),
        ),
        "cache_bytes": (TermReport(LOG, r"#tokens: \d+, KV? size: ([\d.]+) GB(?:, V size: ([\d.]+) GB)?"),),
        "prefill_tokens": (
            TermReport(LOG, r"chunked_prefill_size=(\d+), max_prefill"),
            TermReport(LOG, r"max_prefill_tokens=(\d+), max_running"),
        ),
        "graph_sequences": (
            TermReport(LOG, r"Capture (?:cuda graph bs |target decode CUDA graph begin\. .*\bbs=)\[([\d, ]*)\]"),
        ),
        "prefix_cache": (TermReport(_SETTINGS, r'"disable_radix_cache":\s*(?:(false)|true)'),),
    },
    # Without --enable-metrics it counts nothing but what it logs.
    preempted_in_log=re.compile(r"#retracted_reqs: (\d+)"),
    version=(_SETTINGS, "version"),
    distributions=("sglang",),
)
