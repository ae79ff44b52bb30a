"""``transformers serve`` with continuous batching: the engine that runs everywhere."""

import re

from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec
from dissect.machine.vendor import vendor_of
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.stages.serving.engine_terms import LOG, TermReport
from dissect.workloads.dtypes import TORCH_NAMES
from dissect.workloads.kv_cache import asked_cache_tokens

_BLOCK = 256
"""Tokens of one block of the cache."""
_PROGRAM = (
    "import logging, runpy; logging.basicConfig(); logging.getLogger('ContinuousBatchingLogger').setLevel('INFO'); "
    "runpy.run_module('transformers.cli.transformers', run_name='__main__', alter_sys=True)"
)
"""The server, with the log that names the sizes of its cache: no option and no variable turns it on."""


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--cb-max-memory-percent`` limits memory; admission has no limit, random prompts share no prefix."""
    tokens = asked_cache_tokens(spec)
    return [
        "serve", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--device", vendor_of(spec.hardware).torch_type,
        "--dtype", TORCH_NAMES[spec.workload.dtype], "--default-seed", str(spec.workload.seed),
        "--continuous-batching", *option("cb-max-memory-percent", spec.settings.memory_share),
        *option("cb-max-batch-tokens", spec.settings.prefill_tokens),
        *([] if tokens is None else ["--cb-block-size", str(_BLOCK), "--cb-num-blocks", str(tokens // _BLOCK)]),
        *spec.settings.arguments,
    ]  # fmt: skip


ENGINE = Engine(
    label="transformers serve",
    protocol=1,
    adjustable=frozenset({"memory_share", "cache_reserve_gib", "prefill_tokens"}),
    devices=("cpu", "cuda"),
    splits_models=False,
    unpredicted="its steps wait for their host, for 20 ms on one, which no other cell shows",
    start=("-c", _PROGRAM),
    program="python3",
    arguments=arguments,
    environment=lambda _: {},
    # It refuses a request with a field that it does not know, such as ignore_eos.
    body={"temperature": 0},
    # The KV cache is made for the first request.
    progress=(
        (re.compile(r"Application startup complete"), Phase.KV_CACHE),
        (re.compile(r'POST /v1/completions HTTP/1.1" 200'), Phase.SERVE),
    ),
    terms={
        "cache_tokens": (TermReport(LOG, r"self\.num_blocks = (\d+), self\.block_size = (\d+)"),),
        "prefill_tokens": (TermReport(LOG, r"Paged cache initialized: self\.max_batch_tokens = (\d+)"),),
    },
    distributions=("transformers",),
)
