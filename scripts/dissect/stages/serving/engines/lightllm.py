"""LightLLM 1.2: its own environment or image; it has no dummy weights and clamps long answers silently."""

import re
from pathlib import Path

from dissect.base.outcome import Phase
from dissect.cells.engines import Batching
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.stages.serving.engine_terms import LOG, TermReport
from dissect.workloads.dtypes import TORCH_NAMES
from dissect.workloads.kv_cache import asked_cache_tokens

_SETTINGS = "/get_server_info"
_WEB_SERVER = Path(__file__).with_name("lightllm_hypercorn.toml")
_BESIDE_BYTES = 1.9e9
"""CUDA context, libraries and what loading leaves in its allocator. Measured: shipped cells on H200."""

_EOS = "0"
"""A token in place of the checkpoint's end-of-sequence id, which is beyond the vocabulary. LightLLM's penalty kernel
(``apply_penalty_gpu_cache.py``) reads and writes the logit of this id unchecked. No answer ends at it: ``ignore_eos``.
"""


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--running_max_req_size`` limits admission, ``--mem_fraction`` memory; the prefix cache is off."""
    whole_prompts = ["--disable_chunked_prefill"] if spec.settings.chunked_prefill is False else []
    chunks = [] if whole_prompts else option("chunked_prefill_size", spec.settings.prefill_tokens)
    return [
        "--model_dir", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--nccl_port", str(place.spare_ports[0]), "--data_type", TORCH_NAMES[spec.workload.dtype],
        "--tp", str(spec.hardware.n_gpus), "--tokenizer_mode", "fast",
        "--max_req_total_len", str(spec.model.max_position_embeddings), "--disable_dynamic_prompt_cache",
        "--hypercorn_config", str(_WEB_SERVER), "--eos_id", _EOS,
        *option("running_max_req_size", spec.settings.max_sequences),
        *option("mem_fraction", spec.settings.memory_share), *whole_prompts,
        *option("max_total_token_num", asked_cache_tokens(spec)),
        *option("batch_max_tokens", spec.settings.prefill_tokens), *chunks,
        *option("graph_max_batch_size", spec.settings.graph_sequences),
        *spec.settings.arguments,
    ]  # fmt: skip


def batching(spec: ServeSpec) -> Batching:
    """Batches of its router, which knows how long answers become; defaults of its code (``api_cli.py``)."""
    settings = spec.settings
    return Batching(
        max_sequences=settings.max_sequences or 256,
        prefill_tokens=settings.prefill_tokens or 8192,
        memory_share=settings.memory_share or 0.8,
        beside_bytes=_BESIDE_BYTES,
        beside_off=0.15,
        mixes=False,
        reserves=True,
    )


ENGINE = Engine(
    label="LightLLM",
    protocol=2,
    batching=batching,
    start=("-m", "lightllm.server.api_server"),
    program="python",
    arguments=arguments,
    environment=lambda _: {},
    body={"temperature": 0, "do_sample": False, "ignore_eos": True},
    progress=(
        (re.compile(r"is the profiled max_total_token_num"), Phase.GRAPH_CAPTURE),
        (re.compile(r"Application startup complete|Running on http"), Phase.SERVE),
    ),
    out_of_memory=((re.compile(r"max_total_token_num.*(too small|not enough)"), Phase.KV_CACHE),),
    files=(_WEB_SERVER,),
    terms={
        "max_sequences": (TermReport(_SETTINGS, r'"running_max_req_size":\s*(\d+)'),),
        "most_running": (TermReport(LOG, r"current batch size: (\d+)"),),
        "cache_tokens": (
            TermReport(LOG, r"set shm_max_total_token_num value to (\d+)"),
            TermReport(LOG, r"(\d+) is the profiled max_total_token_num"),
        ),
        "prefill_tokens": (TermReport(_SETTINGS, r'"batch_max_tokens":\s*(\d+)'),),
        "graph_sequences": (TermReport(LOG, r"cuda graph batch_sizes: \[([\d, ]*)\]"),),
        "prefix_cache": (TermReport(_SETTINGS, r'"disable_dynamic_prompt_cache":\s*(?:(false)|true)'),),
    },
    # One line for each request that it pauses to free its cache, in the log only.
    preempted_in_log=re.compile(r"infer paused req id \d+"),
    distributions=("lightllm",),
)
