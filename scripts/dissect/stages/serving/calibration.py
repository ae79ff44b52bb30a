"""The second load generator, ``vllm bench serve``: the same prompts to the same server, as a check of guidellm."""

import json
import re
import shlex
from pathlib import Path

from dissect.base.outcome import Phase, Status
from dissect.cells.site import ServingSite
from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import Calibration
from dissect.stages.serving.burst import PROMPTS
from dissect.stages.serving.client import Client, run_client
from dissect.stages.serving.engine import Engine
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.watch import Ended

OUTPUT = "vllm_bench.json"
LOG = "vllm_bench.log"
_PROGRESS = re.compile(r"(\d+)/\d+ \[")
"""What its progress bar tells, which it writes over itself."""


def calibrate(ready: ReadyServer, site: ServingSite) -> Calibration:
    """Send the load again with ``vllm bench serve``.

    Raises:
        Ended: the server or the load generator failed, or a limit was passed.
    """
    folder = ready.folder.absolute()
    command = bench_command(ready.spec, ready.engine, site, ready.checkpoint, ready.server.url, folder)
    client = Client("vllm bench", command, {"HF_HUB_OFFLINE": "1"}, ready.folder / LOG, folder / OUTPUT, ended_so_far)
    return calibration_of(ready.spec, run_client(ready, client))


def ended_so_far(log: str) -> int | None:
    """Number of requests that had ended by the last progress in the log of ``vllm bench``; None before any."""
    told = _PROGRESS.findall(log)
    return int(told[-1]) if told else None


def bench_command(
    spec: ServeSpec, engine: Engine, site: ServingSite, checkpoint: Path, url: str, folder: Path
) -> list[str]:
    """The command line of ``vllm bench serve``, in the engine's own Python."""
    load, model = spec.workload, engine.model_name(checkpoint)
    rate = "inf" if load.arrival.rate is None else str(load.arrival.rate)
    return [
        *shlex.split(site.python or ""), "-m", "vllm.entrypoints.cli.main", "bench", "serve", "--backend", "openai",
        "--endpoint", "/v1/completions", "--base-url", url, "--model", model, "--served-model-name", model,
        "--tokenizer", str(checkpoint), "--dataset-name", "custom", "--dataset-path", str(folder / PROMPTS),
        "--custom-output-len", str(load.output_tokens), "--skip-chat-template", "--num-prompts", str(load.requests),
        "--request-rate", rate, "--ignore-eos", "--temperature", "0", "--seed", str(load.seed),
        "--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result",
        "--result-dir", str(folder), "--result-filename", OUTPUT,
    ]  # fmt: skip


def calibration_of(spec: ServeSpec, output: bytes) -> Calibration:
    """The calibration from the output of ``vllm bench serve``.

    Raises:
        Ended: it did other work than the spec asks for, or its output is not that of the vLLM versions known here.
    """
    try:
        found = json.loads(output)
        requests, tokens = found["completed"], found["total_output_tokens"]
        calibration = Calibration(
            load_generator="vllm_bench",
            requests_per_s=found["request_throughput"],
            output_tokens_per_s=found["output_throughput"],
            median_latency_s=found["median_e2el_ms"] / 1e3,
            median_ttft_s=found["median_ttft_ms"] / 1e3,
        )
    except (KeyError, TypeError, ValueError) as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        reason = f"the output of vllm bench does not have the fields that are read of it: {words}"
        raise Ended(Status.INVALID, Phase.SERVE, reason) from error
    asked = spec.workload.requests * spec.workload.output_tokens
    if requests != spec.workload.requests or tokens != asked:
        counts = f"{requests} requests and {tokens} tokens"
        raise Ended(Status.INVALID, Phase.SERVE, f"vllm bench counted {counts}, {asked} tokens were requested")
    return calibration
