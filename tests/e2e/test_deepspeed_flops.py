"""The FLOPs of a step under DeepSpeed's engine, as torch counts them: ZeRO-3 has linear layers of its own."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.cells.spec import TrainingSpec  # noqa: E402
from dissect.config.adapters.lora import Lora  # noqa: E402
from dissect.config.adapters.prompt_tuning import PromptTuning  # noqa: E402
from dissect.stages.training.deepspeed import finetune, pretrain, trainer  # noqa: E402
from dissect.workloads import arithmetic  # noqa: E402
from factories import finetune_spec, hardware, pretrain_spec  # noqa: E402
from forked_ranks import TINY, run_ranks, shortened  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

LORA, PROMPT = Lora(kind="lora", rank=8), PromptTuning(kind="prompt_tuning", virtual_tokens=5)
ATTENTION = Lora(kind="lora", rank=8, targets=["q_proj", "v_proj"])
METHODS: dict[str, dict[str, Any]] = {
    "R": {},
    "R+Z2": {"zero_stage": 2},
    "R+Z3": {"zero_stage": 3},
    "Q+R": {"quantization": "nf4"},
    "Q+R+Z3": {"quantization": "nf4", "zero_stage": 3},
    "L+R": {"adapter": LORA},
    "L+R+Z3": {"adapter": LORA, "zero_stage": 3},
    "L+R+Z3, attention": {"adapter": ATTENTION, "zero_stage": 3},
    "QL+R": {"adapter": LORA, "quantization": "nf4"},
    "QL+R+Z3": {"adapter": LORA, "quantization": "nf4", "zero_stage": 3},
    "QL+R+Z3, attention": {"adapter": ATTENTION, "quantization": "nf4", "zero_stage": 3},
    "PT+R+Z3": {"adapter": PROMPT, "zero_stage": 3},
}


def four_bit_flops(inputs: list[int], _: list[int], weight: list[int], *__: Any, **___: Any) -> int:
    """FLOPs of bitsandbytes' product, by the shapes of its inputs and of the weight before it was packed."""
    return 2 * prod(inputs[:-1]) * prod(weight)


class Counting(trainer.DeepSpeedTrainer):
    """Writes down the FLOPs of its latest step."""

    folder: Path

    def train_step(self, tokens: Any, enter: Callable[[Phase], None]) -> Any:
        from torch.utils.flop_counter import FlopCounterMode

        known = {torch.ops.bitsandbytes.gemm_4bit: four_bit_flops} if self._spec.method.is_quantized else {}
        with FlopCounterMode(display=False, custom_mapping=known) as counter:
            loss = super().train_step(tokens, enter)
        (self.folder / str(torch.distributed.get_rank())).write_text(str(counter.get_total_flops()))
        return loss


def spec_of(method: str) -> TrainingSpec:
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    make = finetune_spec if "adapter" in METHODS[method] else pretrain_spec
    fields = {"recompute": True, "optimizer": "torch_adamw", **METHODS[method]}
    return shortened(make(on, batch=2, seq_len=32, model=TINY, **fields), "fp32")


@pytest.mark.parametrize("method", METHODS)
def test_flops_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str) -> None:
    monkeypatch.setattr(Counting, "folder", tmp_path, raising=False)
    monkeypatch.setattr(trainer, "DeepSpeedTrainer", Counting)
    spec = spec_of(method)
    runner = finetune if spec.method.trained_adapter else pretrain
    ending = run_ranks(runner, spec, runner.run_rank, probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    adapter = spec.method.trained_adapter
    # The angles of the rotary embedding come of an outer product, which nobody counts as work of the model.
    angles = TINY.head_size * (spec.workload.seq_len + (adapter.positions if adapter else 0))
    counted = sum(int((tmp_path / rank).read_text()) - angles for rank in ("0", "1"))
    assert counted == arithmetic.hardware_flops(spec, 2)
