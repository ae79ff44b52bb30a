"""Real DeepSpeed on two forked ranks over gloo with a tiny Llama, and the arithmetic against the real model."""

from functools import cache, partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.cells.spec import ModelArchitecture  # noqa: E402
from dissect.ranks.reports import slowest  # noqa: E402
from dissect.ranks.supervise import Ending, window_of  # noqa: E402
from dissect.stages.training.deepspeed import pretrain as runner  # noqa: E402
from dissect.stages.training.deepspeed.spec import PretrainSpec  # noqa: E402
from dissect.stages.training.deepspeed.trainer import DeepSpeedTrainer, start_engine  # noqa: E402
from dissect.stages.training.first_step import check_states  # noqa: E402
from dissect.workloads import arithmetic, attention_kernels  # noqa: E402
from dissect.workloads.llama import build_llama, llama_config, parameter_counts, synthetic_tokens  # noqa: E402
from factories import LLAMA_7B, LLAMA_13B, LLAMA_70B, hardware, pretrain_spec  # noqa: E402
from forked_ranks import SAMPLING, TINY, in_fork, run_ranks, shortened  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

TUNED = {"reduce_bucket": 5_000, "prefetch": 50_000, "persistence": 1_000, "whole_layers": True}
"""As letter ZT, in the proportions of a tiny model."""
METHODS: dict[str, dict[str, Any]] = {
    "Naive": {},
    "Z2": {"zero_stage": 2},
    "Z2+ZD": {"zero_stage": 2, "stage2_settings": "deepspeed"},
    "Z3": {"zero_stage": 3},
    "Z3, authors": {"zero_stage": 3, "stage3_sizes": "authors"},
    "Z3+ZT": {"zero_stage": 3, "stage3_sizes": TUNED},
    "F": {"attention": "sdpa_flash"},
    "R": {"recompute": True},
    "F+R+Z3": {"attention": "sdpa_flash", "recompute": True, "zero_stage": 3},
    "R+Z3+ZT": {"recompute": True, "zero_stage": 3, "stage3_sizes": TUNED},
    "Q": {"quantization": "nf4"},
    "Q+R": {"quantization": "nf4", "recompute": True},
    "Q+Z3": {"quantization": "nf4", "zero_stage": 3},
    "BS": {"states": "bf16"},
    "Z1+BS": {"zero_stage": 1, "states": "bf16"},
    "Z2+BS": {"zero_stage": 2, "states": "bf16"},
    "Z3+BS": {"zero_stage": 3, "states": "bf16"},
}
OFFLOADING: dict[str, dict[str, Any]] = {
    "Z2+O": {"zero_stage": 2, "offload_optimizer": True, "optimizer": "deepspeed_cpu_adam"},
    "Z2+O+BS": {
        "zero_stage": 2, "offload_optimizer": True, "optimizer": "deepspeed_cpu_adam", "states": "bf16"
    },
    "Z3+O": {
        "zero_stage": 3, "offload_optimizer": True, "offload_parameters": True, "optimizer": "deepspeed_cpu_adam"
    },
}  # fmt: skip


def tiny_spec(dtype: str = "fp32", *, batch: int = 2, memory: int = 4 << 30, **method: Any) -> PretrainSpec:
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": memory})
    spec = pretrain_spec(on, batch=batch, seq_len=32, model=TINY, **({"optimizer": "torch_adamw"} | method))
    return shortened(spec, dtype)


def run(spec: PretrainSpec, *, probe_steps: int | None = None, budget_s: float = 120.0) -> Ending:
    return run_ranks(runner, spec, runner.run_rank, probe_steps=probe_steps, budget_s=budget_s)


@cache
def measured(method: str, dtype: str) -> Ending:
    return run(tiny_spec(dtype, **(METHODS | OFFLOADING)[method]))


def check_measurement(ending: Ending, spec: PretrainSpec) -> None:
    assert ending.status is Status.OK, ending.reason
    for rank, report in enumerate(ending.reports):
        assert report.rank == rank
        assert report.attention_kernel == spec.method.attention
        assert report.anchor is not None
        assert report.parameters == arithmetic.count_parameters(TINY)
        assert report.trainable_parameters == arithmetic.count_trainable(spec)
        assert 3 <= len(report.step_times_s) <= 4
        assert len(report.losses) == len(report.warmup_step_times_s) + len(report.step_times_s)
        assert report.losses[-1] < report.losses[0]
        assert 0 < report.ready_at < report.built_at < report.window_start < report.window_end
        assert sum(report.step_times_s) < report.window_end - report.window_start
        # The driver is asked after the peak was read, and a page may have joined meanwhile.
        assert 100e6 < report.driver_memory_bytes <= report.peak_memory_bytes + 2**20 < 4e9
        assert report.energy_j is None
    start, end = window_of(ending.reports)
    assert sum(slowest([report.step_times_s for report in ending.reports])) <= end - start
    first, second = ending.reports
    assert first.stopped_by == second.stopped_by
    assert first.warmup_settled == second.warmup_settled
    assert len(first.step_times_s) == len(second.step_times_s)
    assert first.losses != second.losses  # each rank has tokens of its own


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_method(method: str, dtype: str) -> None:
    check_measurement(measured(method, dtype), tiny_spec(dtype, **METHODS[method]))


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first run compiles DeepSpeed's CPU optimizer
@pytest.mark.parametrize("method", OFFLOADING)
def test_offloading(method: str) -> None:
    dtype = "bf16" if "BS" in method else "fp32"
    check_measurement(measured(method, dtype), tiny_spec(dtype, **OFFLOADING[method]))


@pytest.mark.parametrize("method", ["Naive", "BS", "Z1+BS", "Z2", "Z2+BS", "Z3", "Z3+BS"])
def test_dtype_of_what_the_optimizer_holds(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    dtype = torch.bfloat16 if "BS" in method else torch.float32

    def check(optimizer: Any, *rest: Any) -> None:
        held = [(parameter, state["exp_avg"], state["exp_avg_sq"]) for parameter, state in optimizer.state.items()]
        assert {tensor.dtype for tensors in held for tensor in tensors} == {dtype}
        check_states(optimizer, *rest)

    monkeypatch.setattr("dissect.stages.training.llama_trainer.check_states", check)
    ending = run(tiny_spec("bf16", **METHODS[method]), probe_steps=1)
    assert ending.status is Status.OK, ending.reason


@pytest.mark.parametrize("method", ["Z2", "Z2+ZD", "Z3", "Z3, authors", "Z3+ZT", "F", "R", "F+R+Z3", "R+Z3+ZT"])
def test_methods_train_the_same_model(method: str) -> None:
    naive, other = measured("Naive", "fp32").reports, measured(method, "fp32").reports
    for rank in (0, 1):
        assert other[rank].losses[:5] == pytest.approx(naive[rank].losses[:5], rel=1e-4)


def test_tuned_settings_gather_whole_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepspeed.utils import get_z3_leaf_modules

    def start(*arguments: Any) -> DeepSpeedTrainer:
        trainer = start_engine(*arguments)
        assert len(get_z3_leaf_modules(trainer.model)) == TINY.num_hidden_layers
        return trainer

    monkeypatch.setattr(runner, "start_engine", start)
    ending = run(tiny_spec(**METHODS["Z3+ZT"]), probe_steps=1)
    assert ending.status is Status.OK, ending.reason


def test_a_sharded_4_bit_base_trains_the_same_model() -> None:
    for whole, sharded in zip(measured("Q", "fp32").reports, measured("Q+Z3", "fp32").reports, strict=True):
        assert sharded.losses[:5] == pytest.approx(whole.losses[:5], rel=5e-3)  # 4-bit products are computed in bf16


def test_another_kernel_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(attention_kernels.IMPLEMENTATIONS, "eager", "sdpa")
    ending = run(tiny_spec())
    assert (ending.status, ending.phase) == (Status.INVALID, Phase.FORWARD)
    assert "expected eager" in str(ending.reason)


def test_a_kernel_that_cannot_run_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("No available kernel. Aborting execution.")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuse)
    ending = run(tiny_spec(attention="sdpa_flash"))
    assert (ending.status, ending.phase) == (Status.INVALID, Phase.FORWARD)


@pytest.mark.parametrize(
    ("memory", "batch", "phase"),
    [
        (128 << 20, 256, Phase.FORWARD),
        (128 << 20, 1 << 20, Phase.BUILD),  # the tokens alone
    ],
)
def test_out_of_memory(memory: int, batch: int, phase: Phase) -> None:
    ending = run(tiny_spec(memory=memory, batch=batch), probe_steps=2)
    assert ending.status is Status.OOM, ending.reason
    assert ending.phase is phase


def test_a_model_that_does_not_fit_runs_out_while_it_is_built() -> None:
    # Far beyond the budget: what the heap of the imports has to spare differs by version.
    large = TINY.model_copy(update={"vocab_size": 1_000_000})
    ending = run(tiny_spec(memory=64 << 20).model_copy(update={"model": large}), probe_steps=2)
    assert (ending.status, ending.phase) == (Status.OOM, Phase.BUILD), ending.reason


def test_probe_measures_nothing() -> None:
    ending = run(tiny_spec(), probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    for report in ending.reports:
        assert len(report.losses) == 2
        assert report.step_times_s == []
        assert report.peak_memory_bytes > 0


def test_budget_ends_the_window() -> None:
    spec = tiny_spec()
    endless = SAMPLING.model_copy(update={"max_steps": 1_000_000, "interval_target": 1e-9, "window_s": 600.0})
    ending = run(spec.model_copy(update={"sampling": endless}), budget_s=10.0)
    assert ending.status is Status.OK, ending.reason
    assert {report.stopped_by for report in ending.reports} == {"budget"}


def test_unknown_errors_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LEARNING_RATE", -1.0)
    ending = run(tiny_spec())
    assert (ending.status, ending.phase) == (Status.FAILED, Phase.BUILD)
    assert "ValueError: Invalid learning rate: -1.0" in str(ending.reason)


def test_divergence_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LEARNING_RATE", float("inf"))
    ending = run(tiny_spec())
    assert ending.status is Status.INVALID
    assert "the loss was nan" in str(ending.reason)


@pytest.mark.parametrize("arch", [TINY, LLAMA_7B, LLAMA_13B, LLAMA_70B], ids=["tiny", "7b", "13b", "70b"])
def test_counts_of_the_real_model(arch: ModelArchitecture) -> None:
    with torch.device("meta"):
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM(llama_config(arch, "eager"))
    assert parameter_counts(model) == (arithmetic.count_parameters(arch),) * 2


@pytest.mark.parametrize("method", ["Naive", "R", "Q", "Q+R"])
def test_flops_of_the_real_model(method: str) -> None:
    spec = tiny_spec(**METHODS[method])
    # The angles of the rotary embedding come of an outer product, which nobody counts as work of the model.
    angles = TINY.hidden_size // TINY.num_attention_heads * spec.workload.seq_len
    counted = in_fork(partial(count_flops, spec)) - angles
    assert counted * spec.hardware.n_gpus == arithmetic.hardware_flops(spec, 2)


def count_flops(spec: PretrainSpec) -> int:
    """Of one step of one rank, as torch counts them. It knows no 4-bit product, so Q is frozen weights here."""
    from torch.utils.flop_counter import FlopCounterMode

    model = build_llama(llama_config(TINY, "eager"), "fp32", torch.device("cpu"), 0)
    if spec.method.quantization == "nf4":
        for projection in (module for module in model.model.layers.modules() if isinstance(module, torch.nn.Linear)):
            projection.weight.requires_grad_(False)
    if spec.method.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    tokens = synthetic_tokens(TINY, 2, spec.workload.seq_len, torch.device("cpu"), 0)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens, labels=tokens).loss.backward()
    return int(counter.get_total_flops())


def test_synthetic_tokens_depend_on_the_seed_alone() -> None:
    cpu = torch.device("cpu")
    tokens = synthetic_tokens(TINY, 3, 7, cpu, seed=1)
    assert tokens.shape == (3, 7)
    assert int(tokens.max()) < TINY.vocab_size
    assert torch.equal(tokens, synthetic_tokens(TINY, 3, 7, cpu, seed=1))
    assert not torch.equal(tokens, synthetic_tokens(TINY, 3, 7, cpu, seed=2))
