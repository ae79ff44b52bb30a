"""What the runners of training and of operators do, recorded in real ranks and held against tests/golden/protocols."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Status  # noqa: E402
from dissect.cells.spec import OperatorSampling, ProfileWorkload, Sampling, Software, Spec, TrainingSpec  # noqa: E402
from dissect.config.adapters.lora import Lora  # noqa: E402
from dissect.config.adapters.prompt_tuning import PromptTuning  # noqa: E402
from dissect.machine.cpu import CpuDevice  # noqa: E402
from dissect.machine.nvidia import CudaClock  # noqa: E402
from dissect.measure.life import Asked, measure_cell  # noqa: E402
from dissect.ranks.runner import load_operator_runner, load_runner  # noqa: E402
from dissect.results.agreement import check_samples  # noqa: E402
from dissect.results.store import Store  # noqa: E402
from dissect.stages.profile import dissection  # noqa: E402
from dissect.stages.training.deepspeed import finetune, pretrain  # noqa: E402
from factories import (  # noqa: E402
    ddp_profile_spec,
    ddp_spec,
    finetune_spec,
    fsdp_finetune_spec,
    fsdp_spec,
    hardware,
    key_of,
    megatron_spec,
    operator_spec,
    pretrain_spec,
    profile_spec,
)
from forked_ranks import TINY, in_fork  # noqa: E402
from protocols import beyond, check_protocol, shown  # noqa: E402
from recorder import LOOP, OWN, Recorder, describe, libraries  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

STEPS = {"warmup_min_steps": 2, "warmup_max_steps": 2, "min_steps": 3, "max_steps": 3, "budget_s": 120.0}
OFFLOAD = {"offload_optimizer": True, "optimizer": "deepspeed_cpu_adam"}
DEEPSPEED: dict[str, dict[str, Any]] = {
    "Naive": {},
    "F+R": {"attention": "sdpa_flash", "recompute": True},
    "Z2": {"zero_stage": 2},
    "Z2+O": {"zero_stage": 2, **OFFLOAD},
    "Z3": {"zero_stage": 3},
    "Z3+O": {"zero_stage": 3, "offload_parameters": True, **OFFLOAD},
    "Q": {"quantization": "nf4"},
    "BS": {"states": "bf16"},
    "Z2+BS": {"zero_stage": 2, "states": "bf16"},
}
FINETUNING: dict[str, dict[str, Any]] = {
    "L": {"adapter": Lora(kind="lora")},
    "L+R+Z3": {"adapter": Lora(kind="lora", rank=8, alpha=16), "recompute": True, "zero_stage": 3},
    "QL": {"adapter": Lora(kind="lora"), "quantization": "nf4"},
    "QL+Z3": {"adapter": Lora(kind="lora"), "quantization": "nf4", "zero_stage": 3},
    "P": {"adapter": PromptTuning(kind="prompt_tuning")},
}
MEGATRON: dict[str, dict[str, Any]] = {
    "TP2": {"tensor_parallel": 2},
    "R+TP2+SP": {"tensor_parallel": 2, "sequence_parallel": True, "recompute": True},
    "SR+TP2": {"tensor_parallel": 2, "recompute_attention": True},
    "PP2": {"pipeline_parallel": 2},
    "TP1+DO": {"distributed_optimizer": True},
    "TP1+DO+OV": {"distributed_optimizer": True, "overlap_communication": True},
}
OF_DEEPSPEED = (
    "transformers.LlamaConfig.__init__", "transformers.LlamaForCausalLM.__init__",
    "transformers.PreTrainedModel.gradient_checkpointing_enable",
    "torch.optim.AdamW.__init__", "deepspeed.ops.adam.DeepSpeedCPUAdam.__init__",
    "deepspeed.init_distributed", "deepspeed.zero.Init.__init__", "deepspeed.initialize",
    "deepspeed.DeepSpeedEngine.backward", "deepspeed.DeepSpeedEngine.step",
    "bitsandbytes.nn.Linear4bit.__init__", "bitsandbytes.nn.Params4bit.__new__",
    "peft.get_peft_model", "peft.LoraConfig.__init__", "peft.PromptTuningConfig.__init__",
)  # fmt: skip
OF_MEGATRON = (
    "megatron.core.parallel_state.initialize_model_parallel",
    "megatron.core.tensor_parallel.model_parallel_cuda_manual_seed",
    "megatron.core.transformer.TransformerConfig.__init__", "megatron.core.models.gpt.GPTModel.__init__",
    "megatron.core.models.gpt.gpt_layer_specs.get_gpt_layer_local_spec",
    "megatron.core.distributed.DistributedDataParallelConfig.__init__",
    "megatron.core.distributed.DistributedDataParallel.__init__",
    "megatron.core.distributed.DistributedDataParallel.zero_grad_buffer",
    "megatron.core.optimizer.OptimizerConfig.__init__", "megatron.core.optimizer.get_megatron_optimizer",
    "megatron.core.optimizer.ChainedOptimizer.zero_grad", "megatron.core.optimizer.ChainedOptimizer.step",
    "megatron.core.pipeline_parallel.schedules.forward_backward_no_pipelining",
    "megatron.core.pipeline_parallel.schedules.forward_backward_pipelining_without_interleaving",
)  # fmt: skip
DDP: dict[str, dict[str, Any]] = {
    "Naive": {},
    "F+R+BV": {"attention": "sdpa_flash", "recompute": True, "gradient_bucket_view": True},
    "MW": {"states": "fp32_master"},
}
OF_TORCH = (
    "transformers.LlamaConfig.__init__", "transformers.LlamaForCausalLM.__init__",
    "transformers.PreTrainedModel.gradient_checkpointing_enable",
    "torch.nn.parallel.DistributedDataParallel.__init__", "torch.nn.parallel.DistributedDataParallel.forward",
    "torch.autocast.__init__", "torch.Tensor.backward", "torch.nn.utils.clip_grad_norm_", "torch.optim.AdamW.__init__",
    "torch.optim.AdamW.step", "torch.optim.AdamW.zero_grad",
)  # fmt: skip
FSDP: dict[str, dict[str, Any]] = {
    "Naive": {},
    "F+R+BS": {"attention": "sdpa_flash", "recompute": True, "states": "bf16"},
    "CO": {"cpu_offload": True},
}
FSDP_FINETUNING: dict[str, dict[str, Any]] = {
    "L": {},
    "QL": {"quantization": "nf4"},
}
OF_FSDP = (
    *OF_TORCH[:3], "torch.distributed.device_mesh.init_device_mesh", "torch.distributed.fsdp.fully_shard",
    "torch.distributed.fsdp.MixedPrecisionPolicy.__init__", "torch.distributed.fsdp.CPUOffloadPolicy.__init__",
    "torch.Tensor.backward", "torch.nn.utils.get_total_norm", "torch._foreach_mul_", "torch.optim.AdamW.__init__",
    "torch.optim.AdamW.zero_grad", "peft.inject_adapter_in_model", "peft.LoraConfig.__init__",
    "bitsandbytes.nn.Linear4bit.__init__", "bitsandbytes.nn.Params4bit.__new__",
)  # fmt: skip
OF_OPERATORS = (
    "torch.randn", "torch.empty", "torch.zeros", "torch.full", "torch.mm", "torch.Tensor.copy_", "torch.Tensor.fill_",
    "torch.nn.functional.scaled_dot_product_attention", "torch.autograd.grad",
    "transformers.models.llama.modeling_llama.eager_attention_forward",
)  # fmt: skip
JOB = {"MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"} | {
    name: os.environ[name] for name in ("PATH", "HOME", "TORCH_EXTENSIONS_DIR") if name in os.environ
}
"""Environment of a job, as Snakemake starts it."""


def measured(
    spec: Spec, watched: tuple[str, ...], folder: Path, prepare: Callable[[], None] = lambda: None
) -> Recorder:
    """What the ranks of a cell did, which is really measured."""
    recorder = Recorder(folder / key_of(spec))

    def measure() -> tuple[str, str | None]:
        os.environ.clear()
        os.environ.update(JOB)
        dissection.LEAST_ATTRIBUTED = 0.0  # a single preemption is a tenth of steps as short as these
        prepare()
        recorder.watch(OWN | libraries(*LOOP, *watched))
        output = folder / f"{key_of(spec)}.json"
        store = Store(folder / "store")
        result = measure_cell(spec, store, output, Asked(), launcher="").newest
        [run] = store.entry(result.key).run_files()
        check_samples(result, {path.name: path.read_bytes() for path in run.files()})
        return result.status, result.reason

    assert in_fork(measure) == (Status.OK, None)
    return recorder


def changes(environment: Mapping[str, str]) -> dict[str, Any]:
    """What a rank has otherwise than its job."""
    found = {name: value for name, value in environment.items() if JOB.get(name) != value}
    found["MASTER_PORT"] = "a free port"
    found.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch's own, below the user's name
    return {"set": dict(sorted(found.items())), "removed": sorted(JOB.keys() - environment.keys())}


def on_cpu(n_gpus: int = 2) -> Any:
    """Two ranks, each on one thread: what a platform declares stays."""
    changes = {"device_memory_bytes": 4 << 30, "environment": {"OMP_NUM_THREADS": "1"}}
    return hardware(n_gpus=n_gpus, device="cpu").model_copy(update=changes)


def training_spec(stage: str, framework: str, **method: Any) -> TrainingSpec:
    """A cell of a tiny Llama and so few steps that nothing about them is left to the clock."""
    tiny: dict[str, Any] = {"batch": 2, "seq_len": 32, "model": TINY}
    if framework == "megatron":
        spec: TrainingSpec = megatron_spec(on_cpu(), **tiny, **method)
    elif framework in ("ddp", "fsdp"):
        spec = OF_PYTORCH[stage, framework](on_cpu(), **tiny, **method)
    else:
        factory = {"pretrain": pretrain_spec, "finetune": finetune_spec, "profile": profile_spec}[stage]
        spec = factory(on_cpu(), **tiny, **({"optimizer": "torch_adamw"} | method))
    if isinstance(spec.workload, ProfileWorkload):
        spec = spec.model_copy(update={"workload": spec.workload.model_copy(update={"profiled_steps": 2})})
    return spec.model_copy(update={"sampling": Sampling.model_validate(STEPS), "software": Software()})


OF_PYTORCH: dict[tuple[str, str], Callable[..., TrainingSpec]] = {
    ("pretrain", "ddp"): ddp_spec,
    ("profile", "ddp"): ddp_profile_spec,
    ("pretrain", "fsdp"): fsdp_spec,
    ("finetune", "fsdp"): fsdp_finetune_spec,
}
RUNNERS: dict[tuple[str, str], tuple[dict[str, dict[str, Any]], tuple[str, ...]]] = {
    ("pretrain", "deepspeed"): (DEEPSPEED, OF_DEEPSPEED),
    ("finetune", "deepspeed"): (FINETUNING, OF_DEEPSPEED),
    ("profile", "deepspeed"): ({"Naive": {}}, OF_DEEPSPEED),
    ("pretrain", "megatron"): (MEGATRON, OF_MEGATRON),
    ("pretrain", "ddp"): (DDP, OF_TORCH),
    ("profile", "ddp"): ({"Naive": {}}, OF_TORCH),
    ("pretrain", "fsdp"): (FSDP, OF_FSDP),
    ("finetune", "fsdp"): (FSDP_FINETUNING, OF_FSDP),
}


@pytest.mark.parametrize(("stage", "framework"), RUNNERS)
def test_training(stage: str, framework: str, tmp_path: Path) -> None:
    methods, watched = RUNNERS[stage, framework]
    build, steps, environments = {}, {}, []
    for name, method in methods.items():
        spec = training_spec(stage, framework, **method)
        load_runner(spec).import_libraries(spec)
        recorder = measured(spec, watched, tmp_path)
        calls = recorder.calls(0)
        built = calls.index({"device.synchronize": {}})
        build[name], steps[name] = calls[:built], calls[built:]
        environments.append(recorder.environment(0))
    first = next(iter(methods))
    more = {f"{name}, beyond {first}": beyond(build[first], build[name]) for name in list(methods)[1:]}
    check_protocol(stage, framework, "build", {first: shown(build[first])} | more)
    others = {name: shown(each) for name, each in steps.items() if each != steps[first]}
    check_protocol(stage, framework, "steps", {first: shown(steps[first])} | others)
    check_protocol(stage, framework, "environment", changes(environments[0]))


def as_a_gpu() -> None:
    """The profiler is asked for the device's work, as on a GPU; a CPU has none to show."""
    CpuDevice.profiler_activity = "CPU"


@pytest.mark.parametrize(("stage", "framework"), [runner for runner in RUNNERS if runner[0] != "profile"])
def test_the_device_time_of_gpus(stage: str, framework: str, tmp_path: Path) -> None:
    methods, watched = RUNNERS[stage, framework]
    spec = training_spec(stage, framework, **next(iter(methods.values())))
    load_runner(spec).import_libraries(spec)
    calls = measured(spec, watched, tmp_path, as_a_gpu).calls(0)
    (agreed,) = (place for place, call in enumerate(calls) if call.get("torch.distributed.all_reduce", {}).get("op"))
    check_protocol(stage, framework, "device time of GPUs", shown(calls[agreed:]))


OPERATORS = {
    "gemm": {"square": 64, "layers": 16},
    "memcpy": {"host_to_host": 4096},
    "collectives": {"all_reduce": 4096, "all_gather": 4096, "reduce_scatter": 4096},
    "attention": {"eager": 32, "sdpa_math": 32, "sdpa_flash": 32},
}
"""Family -> operators that run on a CPU, with one size for each."""


def fixed_clock_and_cache() -> None:
    """A clock by which every call takes 10 ms, and caches smaller than one set of operands: the same everywhere."""
    ticks = count()
    time.perf_counter = lambda: next(ticks) * 0.01
    for name, module in list(sys.modules.items()):
        if name.startswith("dissect.") and hasattr(module, "host_cache_bytes"):
            module.host_cache_bytes = lambda *_: 1


@pytest.mark.parametrize("family", OPERATORS)
def test_operators(family: str, tmp_path: Path) -> None:
    points = {}
    for operator, size in OPERATORS[family].items():
        spec = operator_spec(
            operator,
            on_cpu(2 if family == "collectives" else 1),
            sizes=(size,),
            sampling=OperatorSampling.model_validate(STEPS),
        )
        spec = spec.model_copy(update={"model": TINY if spec.model else None, "software": Software()})
        load_operator_runner(spec).import_libraries(spec)
        recorder = measured(spec, OF_OPERATORS, tmp_path, fixed_clock_and_cache)
        points[operator] = recorder.calls(0)
    first = next(iter(points))
    more = {f"{name}, beyond {first}": beyond(points[first], points[name]) for name in list(points)[1:]}
    check_protocol("operators", family, "points", {first: shown(points[first])} | more)
    check_protocol("operators", family, "environment", changes(recorder.environment(0)))


def test_the_clock_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks of CUDA is written down and not done, so that no GPU is needed to see the order."""
    recorder = Recorder(tmp_path / "calls")

    class Event:
        def __init__(self, **options: Any) -> None:
            recorder.note("torch.cuda.Event", options)

        def __getattr__(self, name: str) -> Callable[..., float]:
            return lambda *_: recorder.note(f"torch.cuda.Event.{name}", {}) or 0.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: recorder.note("torch.cuda._sleep", {"0": cycles}))
    call, lead = (lambda: recorder.note("the operator", {})), (lambda: recorder.note("the call before", {}))
    CudaClock().seconds([call, call], lead)
    for family in OPERATORS:
        check_protocol("operators", family, "clock of GPUs", shown(recorder.calls("parent")))


class ReachedError(Exception):
    """The optimizer would be made now."""


@pytest.mark.parametrize(("stage", "framework"), [runner for runner in RUNNERS if runner[1] == "deepspeed"])
def test_the_optimizer_of_gpus(stage: str, framework: str) -> None:
    """Which has no CPU kernel: what it would be made with."""
    spec = training_spec(stage, framework, optimizer="deepspeed_fused_adam")
    load_runner(spec).import_libraries(spec)

    def arguments() -> Any:
        from deepspeed.ops.adam import FusedAdam

        def init(_: Any, parameters: Any, **options: Any) -> None:
            raise ReachedError({"0": describe(list(parameters)), **options})

        FusedAdam.__init__ = init
        build = finetune.build_trainer if stage == "finetune" else pretrain.build_trainer
        with pytest.raises(ReachedError) as reached:
            build(spec, CpuDevice(1))
        return reached.value.args[0]

    made = {"deepspeed.ops.adam.FusedAdam": in_fork(arguments)}
    check_protocol(stage, framework, "optimizer of GPUs", shown([made]))
