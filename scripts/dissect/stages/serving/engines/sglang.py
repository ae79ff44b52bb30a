"""SGLang's server."""

import re

from dissect.base.outcome import Phase
from dissect.cells.spec import ServeSpec
from dissect.stages.serving.engine import HOST, Engine, Place, option
from dissect.stages.serving.engine_terms import LOG, TermReport, asked_cache_tokens
from dissect.workloads.dtypes import TORCH_NAMES

_SETTINGS = "/get_server_info"


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
        "graph_sequences": (TermReport(LOG, r"Capture cuda graph bs \[([\d, ]*)\]"),),
        "prefix_cache": (TermReport(_SETTINGS, r'"disable_radix_cache":\s*(?:(false)|true)'),),
    },
    # Without --enable-metrics it counts nothing but what it logs.
    preempted_in_log=re.compile(r"#retracted_reqs: (\d+)"),
    version=(_SETTINGS, "version"),
    distributions=("sglang",),
)
