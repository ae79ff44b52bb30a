"""Train the model of a measured cell with PyTorch alone, for comparison with the framework's number.

    torchrun --nproc-per-node 2 scripts/plain_loop.py results/cells/<cell>/<key>.json

Prints one line of JSON. The same model, kernel, tokens, precisions and states per GPU as DeepSpeed with ZeRO-2 or 3,
sharded by FSDP2: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from dissect.base.units import GIB
from dissect.machine.device import Device
from dissect.machine.vendor import vendor_of
from dissect.metrics.training import TrainingMetrics
from dissect.ranks.group import leave_process_group
from dissect.ranks.reports import slowest
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result, ResultError
from dissect.stages.training.deepspeed.spec import PretrainSpec
from dissect.workloads.attention_kernels import only_kernel
from dissect.workloads.dtypes import torch_dtype
from dissect.workloads.llama import build_llama, llama_config, synthetic_tokens

WARMUP_STEPS = 5
LEARNING_RATE = 1e-5


def main() -> None:
    """Train as many steps as the cell's own window has, and print their times beside the cell's."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("result", type=Path)
    path = parser.parse_args().result
    try:
        result = read_runs(path).newest
    except ResultError as error:
        sys.exit(f"plain_loop.py: {error}")
    spec, metrics = comparable(result)
    device = vendor_of(spec.hardware).open_device(int(os.environ["LOCAL_RANK"]), spec.hardware.n_gpus)
    distributed.init_process_group(device_id=device.torch_device if device.own_memory else None)
    with only_kernel(spec.method.attention):
        step = training_step(spec, metrics.batch, device)
        device.reset_peak_memory()
        times = [timed(step, device) for _ in range(WARMUP_STEPS + metrics.step_time_s.n)][WARMUP_STEPS:]
    ranks: list[tuple[list[float], int]] = [([], 0)] * spec.hardware.n_gpus
    distributed.all_gather_object(ranks, (times, device.peak_memory_bytes()))
    if distributed.get_rank() == 0:
        peak_bytes = max(peak for _, peak in ranks)
        print(json.dumps(comparison(result.key, metrics, slowest([times for times, _ in ranks]), peak_bytes)))
    leave_process_group()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads still hold tensors; one that asks a finalizing interpreter for its lock aborts it


def comparable(result: Result) -> tuple[PretrainSpec, TrainingMetrics]:
    """Spec and metrics of the measured cell; exits with a sentence if no plain loop can match it."""
    spec, metrics = result.spec, result.metrics
    if not isinstance(spec, PretrainSpec) or not isinstance(metrics, TrainingMetrics):
        sys.exit(f"plain_loop.py: cell {result.key} is no measured cell of pre-training with DeepSpeed")
    method, n_gpus = spec.method, spec.hardware.n_gpus
    has_more = method.offload_optimizer or method.recompute or method.is_quantized
    if method.zero_stage == 0 or has_more or method.states != "fp32_master":
        sys.exit(
            f"plain_loop.py: cell {result.key} must have ZeRO-2 or 3, fp32 master weights, no offloading, no "
            "recomputation and no 4-bit base"
        )
    if os.environ.get("WORLD_SIZE") != str(n_gpus):
        sys.exit(
            f"plain_loop.py: cell {result.key} ran on {n_gpus} GPUs: start this with torchrun --nproc-per-node {n_gpus}"
        )
    return spec, metrics


def training_step(spec: PretrainSpec, batch: int, device: Device) -> Callable[[], None]:
    """One step on this rank's tokens: forward, backward, clipping, AdamW on fp32 states of its own shard."""
    load = spec.workload
    model = build_llama(llama_config(spec.model, spec.method.attention), "fp32", device.torch_device, load.seed)
    precision = MixedPrecisionPolicy(param_dtype=torch_dtype(load.dtype), reduce_dtype=torch_dtype(load.dtype))
    # ZeRO-2 keeps the gathered parameters for the backward pass, ZeRO-3 gathers them again.
    options = {
        "mesh": init_device_mesh(device.torch_device.type, (spec.hardware.n_gpus,)),
        "mp_policy": precision,
        "reshard_after_forward": spec.method.zero_stage == 3,
    }
    for layer in model.model.layers:
        fully_shard(layer, **options)
    fully_shard(model, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    seed = load.seed + distributed.get_rank()
    tokens = synthetic_tokens(spec.model, batch, load.seq_len, device.torch_device, seed)

    def step() -> None:
        model(input_ids=tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), load.gradient_clipping)
        optimizer.step()
        optimizer.zero_grad()

    return step


def timed(step: Callable[[], None], device: Device) -> float:
    """Seconds of a step between idle states of the device, measured as the pipeline's own loop does."""
    device.synchronize()
    distributed.barrier()
    start = time.perf_counter()
    step()
    device.synchronize()
    return time.perf_counter() - start


def comparison(key: str, metrics: TrainingMetrics, times: list[float], peak_bytes: int) -> dict[str, object]:
    """Median step and peak memory of both, and the ratio of the framework's step to the plain one."""
    plain = statistics.median(times)
    return {
        "cell": key,
        "steps": len(times),
        "step_s": round(metrics.step_time_s.median, 4),
        "plain_step_s": round(plain, 4),
        "ratio": round(metrics.step_time_s.median / plain, 3),
        "peak_gib": round(metrics.peak_memory_bytes / GIB, 1),
        "plain_peak_gib": round(peak_bytes / GIB, 1),
    }


if __name__ == "__main__":
    main()
