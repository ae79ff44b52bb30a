"""vLLM's OpenAI-compatible server, version 0.20 and later."""

import re

from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option, switch
from dissect.workloads.dtypes import TORCH_NAMES


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--max-num-seqs`` limits admission, ``--gpu-memory-utilization`` memory; the prefix cache is off."""
    return [
        "--model", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--dtype", TORCH_NAMES[spec.workload.dtype], "--tensor-parallel-size", str(spec.hardware.n_gpus),
        "--seed", str(spec.workload.seed), "--no-enable-prefix-caching", "--disable-uvicorn-access-log",
        *option("max-num-seqs", spec.settings.max_sequences),
        *option("gpu-memory-utilization", spec.settings.memory_share),
        *switch("enable-chunked-prefill", spec.settings.chunked_prefill),
        *spec.settings.arguments,
    ]  # fmt: skip


def environment(_: ServeSpec) -> dict[str, str]:
    """Environment that turns its usage reports off."""
    return {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


ENGINE = Engine(
    label="vLLM",
    protocol=1,
    calibrates=True,
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
    kv_tokens=re.compile(r"GPU KV cache size: ([\d,]+) tokens"),
    preempted=re.compile(r"^vllm:num_preemptions(?:_total)?(?:\{[^}]*\})? ([\d.e+]+)", re.MULTILINE),
    gaps=re.compile(r'^vllm:inter_token_latency_seconds_bucket\{[^}]*\ble="([^"]+)"[^}]*\} ([\d.e+]+)', re.MULTILINE),
    prefix_hits=re.compile(r"^vllm:prefix_cache_hits(?:_total)?(?:\{[^}]*\})? ([\d.e+]+)", re.MULTILINE),
    version=("/version", "version"),
    distributions=("vllm",),
)
