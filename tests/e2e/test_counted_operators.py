"""Launches of a predicted forward pass against the operators that the libraries dispatch for a layer, on a CPU."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.cells.spec import TrainingSpec  # noqa: E402
from dissect.predict.step_time import work_of  # noqa: E402
from dissect.stages.training.ddp import pretrain as ddp  # noqa: E402
from dissect.stages.training.megatron import pretrain as megatron  # noqa: E402
from factories import ddp_spec, hardware, megatron_spec  # noqa: E402
from forked_ranks import run_ranks, shortened  # noqa: E402
from yaml_models import architecture  # noqa: E402

pytestmark = [pytest.mark.e2e]
NORM = 9
"""Operators of ``torch.nn.RMSNorm`` on a CPU; on a GPU it is one kernel, and counts as two with what it keeps."""


class CountedOperators(TorchDispatchMode):
    """Counts operators by phase, but for views."""

    def __init__(self) -> None:
        super().__init__()
        self.phase, self.found = "", Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and "unsafe_view" not in str(func):
            self.found[self.phase] += 1
        return func(*args, **(kwargs or {}))


def counting(base: Any, folder: Path) -> type[Any]:
    """The trainer, which writes down what its third step dispatches."""

    class Counting(base):  # type: ignore[misc]
        steps = 0

        def train_step(self, tokens: Any, enter: Callable[[Phase], None]) -> Any:
            Counting.steps += 1
            if Counting.steps != 3:
                return super().train_step(tokens, enter)
            counted = CountedOperators()

            def entered(phase: Phase) -> None:
                counted.phase = phase.value
                enter(phase)

            with counted:
                found = super().train_step(tokens, entered)
            (folder / "operators").write_text(json.dumps(counted.found))
            return found

    return Counting


CASES: dict[str, tuple[Any, str, Callable[..., TrainingSpec], int]] = {
    "transformers": (ddp, "TorchTrainer", ddp_spec, 0),
    "megatron": (megatron, "MegatronTrainer", megatron_spec, 2 * (NORM - 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_forward_pass_launches_what_its_library_dispatches(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, trainer, make, apart = CASES[name]
    monkeypatch.setattr(module, trainer, counting(getattr(module, trainer), tmp_path))
    on = hardware(n_gpus=1, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    dispatched, launched = [], []
    for layers in (2, 4):
        model = architecture("llama-tiny").model_copy(update={"num_hidden_layers": layers})
        spec = shortened(make(on, batch=1, seq_len=32, model=model), "bf16")
        ending = run_ranks(module, spec, module.run_rank)
        assert ending.status is Status.OK, ending.reason
        dispatched.append(json.loads((tmp_path / "operators").read_text())["forward"])
        work = work_of(spec.model_copy(update={"hardware": hardware(n_gpus=1)}), 1)
        assert work
        launched.append(work[Phase.FORWARD].launches)
    per_layer, predicted = ((counts[1] - counts[0]) / 2 for counts in (dispatched, launched))
    assert predicted == pytest.approx(per_layer - apart, abs=2)
