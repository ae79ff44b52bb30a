"""Text Generation Inference 3.3.7, frozen: an image, not a Python package."""

import re

from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.workloads.dtypes import TORCH_NAMES

SPECIAL_TOKENS = 1
"""Number of special tokens that it may put in front."""


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--max-batch-size`` limits admission, ``--cuda-memory-fraction`` memory.

    ``--max-concurrent-requests`` does not queue but refuses: beyond it requests get status 429. The environment
    turns the prefix cache off.
    """
    load = spec.workload
    prompt = load.input_tokens + SPECIAL_TOKENS
    return [
        "--model-id", str(place.checkpoint), "--hostname", HOST, "--port", str(place.port),
        "--master-port", str(place.spare_port), "--dtype", TORCH_NAMES[load.dtype],
        "--num-shard", str(spec.hardware.n_gpus), "--max-concurrent-requests", str(2 * max(load.requests, 128)),
        "--max-input-tokens", str(prompt), "--max-total-tokens", str(prompt + load.output_tokens),
        "--usage-stats", "off",
        *option("max-batch-size", spec.settings.max_sequences),
        *option("cuda-memory-fraction", spec.settings.memory_share),
        *spec.settings.arguments,
    ]  # fmt: skip


def environment(spec: ServeSpec) -> dict[str, str]:
    """Environment that turns the prefix cache off."""
    chunked = spec.settings.chunked_prefill
    return {"PREFIX_CACHING": "0"} | ({} if chunked is None else {"PREFILL_CHUNKING": str(int(chunked))})


ENGINE = Engine(
    label="TGI",
    protocol=1,
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
    out_of_memory=((re.compile(r"Not enough memory to handle|must be <= `?max.batch.total.tokens"), Phase.KV_CACHE),),
    # Every other name is taken for that of an adapter.
    served_model="tgi",
    kv_tokens=re.compile(r"Setting max batch total tokens to (\d+)"),
    version=("/info", "version"),
    distributions=("text-generation-inference", "tgi"),
)
