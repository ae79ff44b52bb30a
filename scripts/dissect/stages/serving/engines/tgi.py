"""Text Generation Inference 3.3.7, frozen: an image, not a Python package."""

import re

from dissect.base.outcome import Phase
from dissect.cells.engines import Batching
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.stages.serving.engine_terms import LOG, TermReport
from dissect.workloads.dtypes import TORCH_NAMES

SPECIAL_TOKENS = 1
"""Number of special tokens that it may put in front."""
WIGGLE_ROOM = 0.9
"""Share of what ``--cuda-memory-fraction`` grants that it plans with (``TGI_WIGGLE_ROOM``, models/globals.py)."""
PREFILL_TOKENS = 4096
"""Default of ``--max-batch-prefill-tokens`` where it does not know the GPU (launcher/src/main.rs)."""
_BESIDE_BYTES = 2.0e9
"""CUDA context, libraries and the prompts of its warm-up. Measured: a shipped cell on H200."""
_ATTENTION_ON_CPUS = "flashdecoding-ipex"
"""As its own image for CPUs sets it (Dockerfile_intel)."""


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--max-batch-size`` limits admission, ``--cuda-memory-fraction`` memory.

    ``--max-concurrent-requests`` does not queue but refuses: beyond it requests get status 429. The environment
    turns the prefix cache off.
    """
    load, limit = spec.workload, spec.settings.max_sequences
    prompt = load.input_tokens + SPECIAL_TOKENS
    prefill = spec.settings.prefill_tokens or (PREFILL_TOKENS if limit else None)
    _, fraction = _memory(spec)
    master_port, prometheus_port = map(str, place.spare_ports)
    return [
        "--model-id", str(place.checkpoint), "--hostname", HOST, "--port", str(place.port),
        "--master-port", master_port, "--prometheus-port", prometheus_port,
        "--shard-uds-path", str(place.folder / "shard"), "--dtype", TORCH_NAMES[load.dtype],
        "--num-shard", str(spec.hardware.n_gpus), "--max-concurrent-requests", str(2 * max(load.requests, 128)),
        "--max-input-tokens", str(prompt), "--max-total-tokens", str(prompt + load.output_tokens),
        "--usage-stats", "off",
        *option("max-batch-size", limit), *option("cuda-memory-fraction", fraction),
        # Without chunks it must be no less than --max-input-tokens.
        *option("max-batch-prefill-tokens", prefill and max(prompt, prefill)),
        *_graphs(0 if spec.hardware.device == "cpu" else spec.settings.graph_sequences),
        *spec.settings.arguments,
    ]  # fmt: skip


def _graphs(largest: int | None) -> list[str]:
    """CUDA graphs up to this number of requests, 0 for none: powers of two, as its default of 1 to 32."""
    if largest is None:
        return []
    sizes = {2**power for power in range(largest.bit_length())} | {largest}
    return ["--cuda-graphs", ",".join(map(str, sorted(sizes)))]


def environment(spec: ServeSpec) -> dict[str, str]:
    """Environment that turns the prefix cache off, and with a limit of admission the chunks that would ignore it.

    Raises:
        ValueError: the settings ask for both a limit and chunks.
    """
    chunked, limit = spec.settings.chunked_prefill, spec.settings.max_sequences
    if chunked and limit:
        raise ValueError("TGI ignores max_sequences with chunked_prefill: set one of the two to null")
    wiggle_room, _ = _memory(spec)
    return {
        "PREFIX_CACHING": "0",
        **({} if chunked is None and limit is None else {"PREFILL_CHUNKING": str(int(bool(chunked)))}),
        **({} if wiggle_room is None else {"TGI_WIGGLE_ROOM": str(wiggle_room)}),
        **({"ATTENTION": _ATTENTION_ON_CPUS} if spec.hardware.device == "cpu" else {}),
    }


def _memory(spec: ServeSpec) -> tuple[float | None, float | None]:
    """(Wiggle room, memory fraction) whose product is the share of memory; both None where the engine decides."""
    share = spec.settings.memory_share
    if share is None:
        return None, None
    room = max(share, WIGGLE_ROOM)
    return room, share / room


def batching(spec: ServeSpec) -> Batching:
    """Batches of its router, which waits until a whole answer has room and ignores a limit where it splits prompts.

    A prompt goes beside running answers where it splits prompts, as it does unless it is told otherwise.
    """
    settings = spec.settings
    splits = settings.max_sequences is None and settings.chunked_prefill is not False
    return Batching(
        max_sequences=settings.max_sequences or spec.workload.requests,
        prefill_tokens=settings.prefill_tokens or PREFILL_TOKENS,
        memory_share=settings.memory_share or WIGGLE_ROOM,
        beside_bytes=_BESIDE_BYTES,
        beside_off=0.5,
        mixes=splits,
        reserves=True,
    )


ENGINE = Engine(
    label="TGI",
    protocol=2,
    batching=batching,
    # The share of memory decides the room of its cache.
    adjustable=frozenset({"max_sequences", "memory_share", "cache_reserve_gib", "prefill_tokens", "graph_sequences"}),
    devices=("cpu", "cuda"),
    dtypes=("bf16",),
    python_package=False,
    start=(),
    program="text-generation-launcher",
    arguments=arguments,
    environment=environment,
    body={"temperature": 0},
    progress=(
        (re.compile(r"Warming up model"), Phase.KV_CACHE),
        (re.compile(r"Cuda Graphs are enabled"), Phase.GRAPH_CAPTURE),
        (re.compile(r"\bConnected\b"), Phase.SERVE),
    ),
    out_of_memory=(
        (re.compile(r"Not enough memory to handle|NotEnoughMemory\("), Phase.KV_CACHE),
        (re.compile(r"must be <= `?max.batch.total.tokens"), Phase.KV_CACHE),
    ),
    # Every other name is taken for that of an adapter.
    served_model="tgi",
    terms={
        # It ignores the limit where it splits prompts.
        "max_sequences": (
            TermReport(LOG, r"max_batch_size: Some\(\s*(\d+)(?=(?:.|\n)*Using prefill chunking = False)"),
        ),
        "cache_tokens": (TermReport(LOG, r"Setting max batch total tokens to (\d+)"),),
        "prefill_tokens": (
            TermReport(LOG, r"Default `max_batch_prefill_tokens` to (\d+)"),
            TermReport(LOG, r"max_batch_prefill_tokens: Some\(\s*(\d+)"),
        ),
        "graph_sequences": (TermReport(LOG, r"Cuda Graphs are (?:enabled for sizes \[([\d, ]*)\]|disabled)"),),
        "prefix_cache": (TermReport(LOG, r"Using prefix caching = (?:(True|1)|\S+)"),),
    },
    version=("/info", "version"),
    # The tags' own Cargo.toml.
    misreported={"3.3.6": "3.3.6-dev0", "3.3.7": "3.3.6-dev0"},
    distributions=("text-generation-inference", "tgi"),
)
