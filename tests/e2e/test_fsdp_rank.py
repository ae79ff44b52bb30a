"""Real PyTorch FSDP2 on two forked ranks over gloo, held against DDP and DeepSpeed on the same weights and tokens."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Status  # noqa: E402
from dissect.cells.frameworks import state_bytes  # noqa: E402
from dissect.cells.spec import TrainingSpec  # noqa: E402
from dissect.config.adapters.lora import Lora  # noqa: E402
from dissect.ranks.runner import load_runner  # noqa: E402
from dissect.ranks.supervise import Ending  # noqa: E402
from dissect.stages.training.fsdp import sharded_trainer  # noqa: E402
from dissect.stages.training.fsdp.spec import FsdpSpec  # noqa: E402
from dissect.workloads import arithmetic  # noqa: E402
from factories import ddp_spec, finetune_spec, fsdp_finetune_spec, fsdp_spec, hardware  # noqa: E402
from forked_ranks import TINY, run_ranks, shortened  # noqa: E402
from watched_trainer import WatchedTrainer  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

LORA = Lora(kind="lora", rank=8, alpha=16)
METHODS: dict[str, dict[str, Any]] = {
    "Naive": {},
    "F": {"attention": "sdpa_flash"},
    "R": {"recompute": True},
    "BS": {"states": "bf16"},
    "CO": {"cpu_offload": True},
    "Q": {"quantization": "nf4"},
    "F+R+BS": {"attention": "sdpa_flash", "recompute": True, "states": "bf16"},
}
FINETUNING: dict[str, dict[str, Any]] = {
    "L": {},
    "L+R": {"recompute": True},
    "L+CO": {"cpu_offload": True},
    "QL": {"quantization": "nf4"},
    "QL+F+R+CO": {"quantization": "nf4", "attention": "sdpa_flash", "recompute": True, "cpu_offload": True},
}


def tiny_spec(method: str, dtype: str, n_gpus: int = 2) -> FsdpSpec:
    on = hardware(n_gpus=n_gpus, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    tiny: dict[str, Any] = {"batch": 2, "seq_len": 32, "model": TINY}
    if method in METHODS:
        return shortened(fsdp_spec(on, **tiny, **METHODS[method]), dtype)
    spec: FsdpSpec = fsdp_finetune_spec(on, adapter=LORA, **tiny, **FINETUNING[method])
    return shortened(spec, dtype)


def run(spec: TrainingSpec, probe_steps: int | None = None) -> Ending:
    runner = load_runner(spec)
    return run_ranks(runner, spec, runner.run_rank, probe_steps=probe_steps)


@cache
def measured(method: str, dtype: str) -> Ending:
    return run(tiny_spec(method, dtype))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS | FINETUNING)
def test_method(method: str, dtype: str) -> None:
    ending, spec = measured(method, dtype), tiny_spec(method, dtype)
    assert ending.status is Status.OK, ending.reason
    for report in ending.reports:
        assert report.attention_kernel == spec.method.attention
        assert report.parameters == arithmetic.count_all(spec)
        assert report.trainable_parameters == arithmetic.count_trainable(spec)
        assert report.losses[-1] < report.losses[0]
    first, second = (report.losses for report in ending.reports)
    assert len(first) == len(second)
    assert first != second  # each rank has tokens of its own


@pytest.mark.slow
def test_compiled_layers_train_the_same_model() -> None:
    spec = tiny_spec("L", "fp32")
    spec = spec.model_copy(update={"method": spec.method.model_copy(update={"compile_layers": True})})
    runner = load_runner(spec)
    ending = run_ranks(runner, spec, runner.run_rank, budget_s=500.0)
    assert ending.status is Status.OK, ending.reason
    for report, plain in zip(ending.reports, measured("L", "fp32").reports, strict=True):
        assert report.losses[:5] == pytest.approx(plain.losses[:5], rel=1e-4)
        assert max(report.warmup_step_times_s) < report.compile_s


@cache
def losses_elsewhere(quantization: str, *, finetunes: bool) -> list[list[float]]:
    """Of DDP, and of DeepSpeed for fine-tuning."""
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    tiny: dict[str, Any] = {"batch": 2, "seq_len": 32, "model": TINY}
    knobs = {"quantization": quantization, "optimizer": "torch_adamw"}
    spec: TrainingSpec = finetune_spec(on, adapter=LORA, **tiny, **knobs) if finetunes else ddp_spec(on, **tiny)
    ending = run(shortened(spec, "fp32"))
    assert ending.status is Status.OK, ending.reason
    return [report.losses[:5] for report in ending.reports]


@pytest.mark.parametrize("method", [name for name in METHODS | FINETUNING if name != "Q"])
def test_losses_are_those_of_other_frameworks(method: str) -> None:
    quantization = "nf4" if "Q" in method else "none"
    expected = losses_elsewhere(quantization, finetunes=method in FINETUNING)
    tolerance = 5e-3 if "Q" in method else 1e-4  # 4-bit products are computed in bf16
    for report, theirs in zip(measured(method, "fp32").reports, expected, strict=True):
        assert report.losses[:5] == pytest.approx(theirs, rel=tolerance)


class Watched(WatchedTrainer, sharded_trainer.FsdpTrainer):
    def held_bytes(self) -> int:
        """Of the shards of parameters, of their gradients and moments."""
        parameters = list(self.model.parameters())
        tensors = [*parameters, *(each.grad for each in parameters if each.grad is not None)]
        tensors += self.moments()
        return sum(each.to_local().numel() * each.element_size() for each in tensors)


def watched(monkeypatch: pytest.MonkeyPatch, folder: Path, spec: FsdpSpec) -> list[dict[str, Any]]:
    monkeypatch.setattr(Watched, "folder", folder, raising=False)
    monkeypatch.setattr(sharded_trainer, "FsdpTrainer", Watched)
    ending = run(spec, probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    return [json.loads((folder / str(rank)).read_text()) for rank in range(spec.hardware.n_gpus)]


class Clipped(sharded_trainer.FsdpTrainer):
    """Writes down the norm of the whole gradients before and after they are clipped."""

    folder: Path

    def _clip(self, clipping: float) -> None:
        norms = [self.norm()]
        super()._clip(clipping)
        (self.folder / str(torch.distributed.get_rank())).write_text(json.dumps([*norms, self.norm()]))

    def norm(self) -> float:
        whole = [parameter.grad.full_tensor() for parameter in self.model.parameters() if parameter.requires_grad]
        return float(torch.nn.utils.get_total_norm(whole))


@pytest.mark.parametrize("method", ["Naive", "CO", "L"])
def test_gradients_are_clipped_by_their_norm_over_all_ranks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str
) -> None:
    # AdamW takes the same first steps however its gradients are scaled, so no loss tells.
    monkeypatch.setattr(Clipped, "folder", tmp_path, raising=False)
    monkeypatch.setattr(sharded_trainer, "FsdpTrainer", Clipped)
    spec = tiny_spec(method, "fp32")
    assert run(spec, probe_steps=2).status is Status.OK
    for rank in ("0", "1"):
        before, after = json.loads((tmp_path / rank).read_text())
        assert after == pytest.approx(min(before, spec.workload.gradient_clipping), rel=1e-4)


@pytest.mark.parametrize("method", ["Naive", "R", "L", "L+R"])
def test_flops_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str) -> None:
    spec = tiny_spec(method, "bf16")
    counted = sum(rank["flops"] for rank in watched(monkeypatch, tmp_path, spec))
    assert counted == arithmetic.hardware_flops(spec, 2)


@pytest.mark.parametrize("n_gpus", [1, 2, 4])
@pytest.mark.parametrize("method", ["Naive", "BS", "L", "QL"])
def test_bytes_that_ranks_hold_fall_with_their_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, n_gpus: int
) -> None:
    spec = tiny_spec(method, "bf16", n_gpus)
    held = [rank["held"] for rank in watched(monkeypatch, tmp_path, spec)]
    # The scales of 4-bit weights are whole on every rank, and not counted as parameters by torch.
    scales = arithmetic.parameter_groups(TINY).decoder_linear * (arithmetic.NF4_BITS - 4) / 8 if method == "QL" else 0
    assert sum(held) == pytest.approx(n_gpus * state_bytes(spec) - scales, rel=1e-3)
    assert max(held) - min(held) <= 0.02 * max(held)


class Gathering(sharded_trainer.FsdpTrainer):
    """Writes down how much memory gathered 4-bit weights have while they are used, and after the forward pass."""

    folder: Path

    def _forward(self, tokens: Any) -> Any:
        from bitsandbytes.nn import Linear4bit

        used: list[Any] = []
        layers = [each for each in self.model.modules() if isinstance(each, Linear4bit)]
        hooks = [each.register_forward_hook(lambda layer, *_: used.append(layer.weight)) for each in layers]
        sizes: list[int] = []
        hooks += [layers[0].register_forward_hook(lambda layer, *_: sizes.append(bytes_of(layer.weight)))]
        loss = super()._forward(tokens)
        for hook in hooks:
            hook.remove()
        seen = {"layers": len(layers), "used": sizes[0], "after": sum(bytes_of(weight) for weight in used)}
        (self.folder / str(torch.distributed.get_rank())).write_text(json.dumps(seen))
        return loss


def bytes_of(tensor: Any) -> int:
    return int(tensor.untyped_storage().size())


def test_gathered_4_bit_weights_are_freed_before_the_backward_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # bitsandbytes keeps a reference to each of them, which with ZeRO-3 kept all of them whole.
    monkeypatch.setattr(Gathering, "folder", tmp_path, raising=False)
    monkeypatch.setattr(sharded_trainer, "FsdpTrainer", Gathering)
    ending = run(tiny_spec("QL", "bf16"), probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    for rank in ("0", "1"):
        seen = json.loads((tmp_path / rank).read_text())
        assert seen["layers"] == 7 * TINY.num_hidden_layers
        assert seen["used"] > 0
        assert seen["after"] == 0
