"""LightLLM 1.2: its own environment or image; it has no dummy weights and clamps long answers silently."""

import re
from pathlib import Path

from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.workloads.dtypes import TORCH_NAMES

_WEB_SERVER = Path(__file__).with_name("lightllm_hypercorn.toml")


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--running_max_req_size`` limits admission, ``--mem_fraction`` memory; the prefix cache is off."""
    whole_prompts = ["--disable_chunked_prefill"] if spec.settings.chunked_prefill is False else []
    return [
        "--model_dir", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--nccl_port", str(place.spare_ports[0]), "--data_type", TORCH_NAMES[spec.workload.dtype],
        "--tp", str(spec.hardware.n_gpus), "--tokenizer_mode", "fast",
        "--max_req_total_len", str(spec.model.max_position_embeddings), "--disable_dynamic_prompt_cache",
        "--hypercorn_config", str(_WEB_SERVER),
        *option("running_max_req_size", spec.settings.max_sequences),
        *option("mem_fraction", spec.settings.memory_share), *whole_prompts,
        *spec.settings.arguments,
    ]  # fmt: skip


ENGINE = Engine(
    label="LightLLM",
    protocol=2,
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
    kv_tokens=re.compile(r"(\d+) is the profiled max_total_token_num"),
    distributions=("lightllm",),
)
