"""SGLang's server."""

import re

from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.workloads.dtypes import TORCH_NAMES


def arguments(spec: ServeSpec, place: Place) -> list[str]:
    """Arguments: ``--max-running-requests`` limits admission, ``--mem-fraction-static`` memory; no prefix cache."""
    whole_prompts = ["--chunked-prefill-size", "-1"] if spec.settings.chunked_prefill is False else []
    return [
        "--model-path", str(place.checkpoint), "--host", HOST, "--port", str(place.port),
        "--nccl-port", str(place.spare_ports[0]), "--dtype", TORCH_NAMES[spec.workload.dtype],
        "--tp-size", str(spec.hardware.n_gpus), "--random-seed", str(spec.workload.seed), "--disable-radix-cache",
        *option("max-running-requests", spec.settings.max_sequences),
        *option("mem-fraction-static", spec.settings.memory_share), *whole_prompts,
        *spec.settings.arguments,
    ]  # fmt: skip


ENGINE = Engine(
    label="SGLang",
    protocol=1,
    start=("-m", "sglang.launch_server"),
    program="python3",
    arguments=arguments,
    environment=lambda _: {},
    body={"temperature": 0, "ignore_eos": True},
    progress=(
        (re.compile(r"Load weight end"), Phase.KV_CACHE),
        (re.compile(r"Capture cuda graph begin"), Phase.GRAPH_CAPTURE),
        (re.compile(r"The server is fired up"), Phase.SERVE),
    ),
    out_of_memory=((re.compile(r"Not enough memory. Please try to increase"), Phase.KV_CACHE),),
    kv_tokens=re.compile(r"max_total_num_tokens=(\d+)"),
    # Without --enable-metrics it counts nothing but what it logs.
    preempted_in_log=re.compile(r"#retracted_reqs: (\d+)"),
    version=("/get_server_info", "version"),
    distributions=("sglang",),
)
