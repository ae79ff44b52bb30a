"""Real PyTorch DDP on two forked ranks over gloo, held against DeepSpeed on the same weights and tokens."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.cells.frameworks import state_bytes  # noqa: E402
from dissect.cells.spec import TrainingSpec  # noqa: E402
from dissect.ranks.supervise import Ending  # noqa: E402
from dissect.stages.training.ddp import pretrain as ddp  # noqa: E402
from dissect.stages.training.ddp.spec import DdpPretrainSpec  # noqa: E402
from dissect.stages.training.deepspeed import pretrain as deepspeed  # noqa: E402
from dissect.workloads import arithmetic  # noqa: E402
from dissect.workloads.attention_kernels import WrongKernelError, observe_kernel  # noqa: E402
from dissect.workloads.dtypes import BYTES  # noqa: E402
from factories import ddp_spec, hardware, pretrain_spec  # noqa: E402
from forked_ranks import TINY, run_ranks, shortened  # noqa: E402
from watched_trainer import WatchedTrainer  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

METHODS: dict[str, dict[str, Any]] = {
    "Naive": {},
    "BV": {"gradient_bucket_view": True},
    "F": {"attention": "sdpa_flash"},
    "R": {"recompute": True},
    "F+R+BV": {"attention": "sdpa_flash", "recompute": True, "gradient_bucket_view": True},
    "MW": {"states": "fp32_master"},
}
ADAMW = ("torch_adamw", "torch_adamw_foreach", "torch_adamw_loop")


def on_cpu(memory: int = 4 << 30) -> Any:
    return hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": memory})


def tiny_spec(dtype: str = "fp32", *, batch: int = 2, memory: int = 4 << 30, **method: Any) -> DdpPretrainSpec:
    return shortened(ddp_spec(on_cpu(memory), batch=batch, seq_len=32, model=TINY, **method), dtype)


def run(spec: TrainingSpec, probe_steps: int | None = None) -> Ending:
    runner: Any = ddp if isinstance(spec, DdpPretrainSpec) else deepspeed
    return run_ranks(runner, spec, runner.run_rank, probe_steps=probe_steps)


@cache
def measured(method: str, dtype: str) -> Ending:
    return run(tiny_spec(dtype, **METHODS[method]))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_method(method: str, dtype: str) -> None:
    ending, spec = measured(method, dtype), tiny_spec(dtype, **METHODS[method])
    assert ending.status is Status.OK, ending.reason
    for report in ending.reports:
        assert report.attention_kernel == spec.method.attention
        assert report.parameters == report.trainable_parameters == arithmetic.count_parameters(TINY)
        assert report.losses[-1] < report.losses[0]
        assert 0 < report.ready_at < report.built_at < report.window_start < report.window_end
    first, second = (report.losses for report in ending.reports)
    assert len(first) == len(second)
    assert first != second  # each rank has tokens of its own


@cache
def losses_of_deepspeed(dtype: str, states: str) -> list[list[float]]:
    spec = pretrain_spec(on_cpu(), batch=2, seq_len=32, model=TINY, optimizer="torch_adamw", states=states)
    ending = run(shortened(spec, dtype))
    assert ending.status is Status.OK, ending.reason
    return [report.losses[:5] for report in ending.reports]


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_deepspeed(method: str) -> None:
    for report, theirs in zip(measured(method, "fp32").reports, losses_of_deepspeed("fp32", "bf16"), strict=True):
        assert report.losses[:5] == pytest.approx(theirs, rel=1e-4)


def test_losses_with_bf16_states_are_those_of_deepspeed() -> None:
    for report, theirs in zip(measured("Naive", "bf16").reports, losses_of_deepspeed("bf16", "bf16"), strict=True):
        assert report.losses[:5] == pytest.approx(theirs, rel=1e-3)


@pytest.mark.slow
def test_compiled_layers_train_the_same_model_and_compile_before_the_warm_up() -> None:
    spec = tiny_spec(compile_layers=True, **METHODS["F"])
    ending = run_ranks(ddp, spec, ddp.run_rank, budget_s=500.0)  # type: ignore[arg-type]
    assert ending.status is Status.OK, ending.reason
    for report, plain in zip(ending.reports, measured("F", "fp32").reports, strict=True):
        assert report.attention_kernel == spec.method.attention
        assert report.losses[:5] == pytest.approx(plain.losses[:5], rel=1e-4)
        assert 0 < report.compile_s < report.built_at - report.ready_at
        assert max(report.warmup_step_times_s) < report.compile_s
        assert plain.compile_s == 0


def attend(fused: bool) -> Any:
    from torch.nn.functional import scaled_dot_product_attention

    heads = torch.ones(1, 2, 8, 4)
    return scaled_dot_product_attention(heads, heads, heads) if fused else heads @ heads.transpose(2, 3)


@pytest.mark.parametrize(("expected", "fused"), [("eager", True), ("sdpa_flash", False)])
def test_a_compiler_must_keep_the_attention_kernel(expected: str, fused: bool) -> None:
    with pytest.raises(WrongKernelError, match=f"expected {expected}"):
        observe_kernel(lambda: attend(fused), expected, compiled=True)
    other = {"eager": "sdpa_flash", "sdpa_flash": "eager"}[expected]
    assert observe_kernel(lambda: attend(fused), other, compiled=True) is not None


@pytest.mark.parametrize("optimizer", ADAMW)
def test_implementations_of_adamw_take_the_same_steps(optimizer: str) -> None:
    found, first = run(tiny_spec(optimizer=optimizer)), measured("Naive", "fp32")
    assert found.status is Status.OK, found.reason
    assert found.reports[0].losses[:5] == pytest.approx(first.reports[0].losses[:5], rel=1e-6)


@pytest.mark.parametrize(("batch", "phase"), [(256, Phase.FORWARD), (1 << 20, Phase.BUILD)])
def test_out_of_memory(batch: int, phase: Phase) -> None:
    ending = run(tiny_spec(memory=128 << 20, batch=batch), probe_steps=2)
    assert ending.status is Status.OOM, ending.reason
    assert ending.phase is phase


# --- the arithmetic against what a rank really does and holds -------------------------------------


class Watched(WatchedTrainer):
    def held_bytes(self) -> int:
        """Of parameters, gradients and moments, each memory counted once; DDP's own buckets cannot be asked for."""
        tensors = [*self.model.parameters(), *(parameter.grad for parameter in self.model.parameters())]
        tensors += self.moments()
        storages = [tensor.untyped_storage() for tensor in tensors]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def watched(monkeypatch: pytest.MonkeyPatch, folder: Path, spec: DdpPretrainSpec) -> list[dict[str, Any]]:
    monkeypatch.setattr(Watched, "folder", folder, raising=False)
    monkeypatch.setattr(ddp, "TorchTrainer", Watched)
    ending = run(spec, probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    return [json.loads((folder / str(rank)).read_text()) for rank in range(spec.hardware.n_gpus)]


@pytest.mark.parametrize("method", ["Naive", "R", "MW"])
def test_flops_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str) -> None:
    spec = tiny_spec("bf16", **METHODS[method])
    counted = sum(rank["flops"] for rank in watched(monkeypatch, tmp_path, spec))
    assert counted == arithmetic.hardware_flops(spec, 2)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["Naive", "BV", "MW"])
def test_bytes_that_ranks_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, dtype: str) -> None:
    spec = tiny_spec(dtype, **METHODS[method])
    buckets = 0 if method == "BV" else BYTES[spec.trained_dtype]
    for rank in watched(monkeypatch, tmp_path, spec):
        assert rank["held"] + buckets * arithmetic.count_parameters(TINY) == state_bytes(spec)
