"""vLLM's OpenAI-compatible server, version 0.20 and later."""

import re

from dissect.base.outcome import Phase
from dissect.base.units import GIB
from dissect.cells.engines import Batching
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option, switch
from dissect.stages.serving.engine_terms import LOG, TermReport, asked_cache_bytes_per_gpu
from dissect.workloads.dtypes import BYTES, TORCH_NAMES

CONFIGURATION = "/server_info?config_format=json"
"""The engine's own settings, as it resolved them; answered in ``VLLM_SERVER_DEV_MODE`` only."""
_CONTEXT_BYTES = 1.25e9
"""CUDA context, libraries and graphs. Measured: shipped cells on H200."""


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--max-num-seqs`` limits admission, ``--gpu-memory-utilization`` memory; the prefix cache is off."""
    return [
        "--model", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--dtype", TORCH_NAMES[spec.workload.dtype], "--tensor-parallel-size", str(spec.hardware.n_gpus),
        "--seed", str(spec.workload.seed), "--no-enable-prefix-caching", "--disable-uvicorn-access-log",
        *option("max-num-seqs", spec.settings.max_sequences),
        *option("gpu-memory-utilization", spec.settings.memory_share),
        *switch("enable-chunked-prefill", spec.settings.chunked_prefill),
        *option("kv-cache-memory-bytes", asked_cache_bytes_per_gpu(spec)),
        *option("max-num-batched-tokens", spec.settings.prefill_tokens),
        *option("max-cudagraph-capture-size", spec.settings.graph_sequences),
        *spec.settings.arguments,
    ]  # fmt: skip


def environment(_: ServeSpec) -> dict[str, str]:
    """Environment that turns its usage reports off, and the report of its settings on."""
    return {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_SERVER_DEV_MODE": "1"}


def batching(spec: ServeSpec) -> Batching:
    """Batches of its version 1 scheduler; defaults of its server (``EngineArgs.get_batch_defaults``, ``CacheConfig``).

    A profiled step, the largest that it may take, leaves the cache what it does not need: gate, up, their product and
    the hidden states before and after, and logits in bf16 and, twice, in fp32.
    """
    settings, arch, hardware = spec.settings, spec.model, spec.hardware
    card = hardware.card_memory_bytes or hardware.device_memory_bytes
    is_large = card >= 70 * GIB and "A100" not in hardware.gpu_model
    sequences = settings.max_sequences or (1024 if is_large else 256)
    tokens = settings.prefill_tokens or (8192 if is_large else 2048)
    activations = tokens * BYTES[spec.workload.dtype] * (3 * arch.intermediate_size + 2 * arch.hidden_size)
    return Batching(
        max_sequences=sequences,
        prefill_tokens=tokens,
        memory_share=settings.memory_share or 0.92,
        beside_bytes=_CONTEXT_BYTES + activations / hardware.n_gpus + sequences * arch.vocab_size * 10,
        beside_off=0.15,
        mixes=True,
        reserves=False,
    )


ENGINE = Engine(
    label="vLLM",
    protocol=1,
    calibrates=True,
    batching=batching,
    start=("-m", "vllm.entrypoints.openai.api_server"),
    program="python3",
    arguments=arguments,
    environment=environment,
    body={"temperature": 0, "ignore_eos": True},
    progress=(
        (re.compile(r"Loading weights took|Model loading took"), Phase.KV_CACHE),
        (re.compile(r"GPU KV cache size:|# GPU blocks:"), Phase.GRAPH_CAPTURE),
        (re.compile(r"Application startup complete"), Phase.SERVE),
    ),
    out_of_memory=(
        (re.compile(r"No available memory for the cache blocks"), Phase.KV_CACHE),
        (re.compile(r"KV cache is needed, which is larger than|that can be stored in KV cache"), Phase.KV_CACHE),
        (re.compile(r"out of memory occurred when warming up sampler"), Phase.GRAPH_CAPTURE),
    ),
    terms={
        "max_sequences": (TermReport(CONFIGURATION, r'"max_num_seqs":\s*(\d+)'),),
        "most_running": (TermReport(LOG, r"Running: (\d+) reqs"),),
        "cache_tokens": (
            TermReport(LOG, r"GPU KV cache size: ([\d,]+) tokens"),
            TermReport("/metrics", r'^vllm:cache_config_info.*[{,]block_size="(\d+)".*num_gpu_blocks="(\d+)"'),
        ),
        "cache_bytes": (
            TermReport(LOG, r"Available KV cache memory: ([\d.]+) GiB|reserved ([\d.]+) GiB memory for KV Cache"),
        ),
        "prefill_tokens": (
            TermReport(CONFIGURATION, r'"max_num_batched_tokens":\s*(\d+)'),
            TermReport(LOG, r"enabled with max_num_batched_tokens=(\d+)"),
        ),
        "graph_sequences": (
            TermReport(CONFIGURATION, r'"cudagraph_capture_sizes":\s*\[([\d,\s]*)\]'),
            TermReport(LOG, r"'cudagraph_capture_sizes': \[([\d, ]*)\]"),
        ),
        "prefix_cache": (
            TermReport("/metrics", r'^vllm:cache_config_info.*enable_prefix_caching="(?:(True)|False)"'),
            TermReport(LOG, r"enable_prefix_caching=(?:(True)|False)"),
        ),
    },
    preempted=re.compile(r"^vllm:num_preemptions(?:_total)?(?:\{[^}]*\})? ([\d.e+]+)", re.MULTILINE),
    gaps=re.compile(r'^vllm:inter_token_latency_seconds_bucket\{[^}]*\ble="([^"]+)"[^}]*\} ([\d.e+]+)', re.MULTILINE),
    prefix_hits=re.compile(r"^vllm:prefix_cache_hits(?:_total)?(?:\{[^}]*\})? ([\d.e+]+)", re.MULTILINE),
    version=("/version", "version"),
    distributions=("vllm",),
)
