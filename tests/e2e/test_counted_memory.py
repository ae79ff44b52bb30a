"""Predicted memory of real steps on a CPU, counted operator by operator, of every framework."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from counted_memory import CountedMemory  # noqa: E402
from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.cells.spec import ModelArchitecture, TrainingSpec  # noqa: E402
from dissect.config.adapters.lora import Lora  # noqa: E402
from dissect.predict.llama_operators import LlamaCase, end_footprint, layer_footprint  # noqa: E402
from dissect.ranks.runner import load_runner  # noqa: E402
from dissect.stages.training.ddp import pretrain as ddp  # noqa: E402
from dissect.stages.training.ddp import step_memory as ddp_memory  # noqa: E402
from dissect.stages.training.deepspeed import step_memory as deepspeed_memory  # noqa: E402
from dissect.stages.training.deepspeed import trainer as deepspeed  # noqa: E402
from dissect.stages.training.deepspeed.finetune import add_adapter  # noqa: E402
from dissect.stages.training.fsdp import sharded_trainer  # noqa: E402
from dissect.stages.training.fsdp import step_memory as fsdp_memory  # noqa: E402
from dissect.stages.training.megatron import pretrain as megatron  # noqa: E402
from dissect.stages.training.megatron.gpt_operators import megatron_case, megatron_footprint  # noqa: E402
from dissect.stages.training.torch_trainer import TorchTrainer  # noqa: E402
from dissect.workloads.dtypes import default_dtype, torch_dtype  # noqa: E402
from dissect.workloads.llama import llama_config, quantize_linear_layers  # noqa: E402
from factories import (  # noqa: E402
    ddp_spec,
    finetune_spec,
    fsdp_finetune_spec,
    fsdp_spec,
    hardware,
    megatron_spec,
    pretrain_spec,
)
from forked_ranks import in_fork, run_ranks, shortened  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

LAYERS, POSITIONS, LORA = 4, 64, Lora(kind="lora", rank=8)
SMALL = ModelArchitecture(
    vocab_size=2048, hidden_size=256, intermediate_size=688, num_hidden_layers=LAYERS, num_attention_heads=8,
    num_key_value_heads=8, max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0,
)  # fmt: skip
GROUPED = SMALL.model_copy(update={"num_key_value_heads": 2})
HALF = SMALL.model_copy(
    update={
        "vocab_size": 1024, "hidden_size": 128, "intermediate_size": 344, "num_attention_heads": 4,
        "num_key_value_heads": 4,
    }
)  # fmt: skip
"""Of half the width: at half the batch its activations have the same share, for an eighth of the time."""
COUNTED = 4
"""The step that is counted, the last one: by then all that is made once exists."""


def case_of(arch: ModelArchitecture, dtype: str, **changes: Any) -> LlamaCase:
    """A case in ``bf16``, ``fp32``, or ``mixed``: products in bf16 over fp32 weights."""
    fields: dict[str, Any] = {
        "arch": arch, "batch": 2, "positions": POSITIONS, "attention": "eager", "adapter": None, "quantized": False,
        "width": 4 if dtype == "fp32" else 2, "stream_width": 2 if dtype == "bf16" else 4,
        "gradient_width": 2 if dtype == "bf16" else 4, "trains_linear": True, "trains_rest": True,
    }  # fmt: skip
    return LlamaCase(**(fields | changes))


CASES = {
    "eager": case_of(SMALL, "bf16"),
    "one sequence": case_of(SMALL, "bf16", batch=1),
    "grouped": case_of(GROUPED, "bf16"),
    "fused": case_of(SMALL, "bf16", attention="sdpa_flash"),
    "fused, grouped": case_of(GROUPED, "bf16", attention="sdpa_flash"),
    "fp32": case_of(SMALL, "fp32"),
    "mixed": case_of(SMALL, "mixed"),
    "lora": case_of(SMALL, "bf16", adapter=LORA, trains_linear=False, trains_rest=False),
    "nf4": case_of(SMALL, "bf16", quantized=True, trains_linear=False),
    "qlora": case_of(SMALL, "bf16", quantized=True, adapter=LORA, trains_linear=False, trains_rest=False),
}


def build(case: LlamaCase) -> Any:
    """The model of a case, on the CPU."""
    from transformers import LlamaForCausalLM

    with default_dtype("bf16" if case.stream_width == 2 else "fp32"):
        model: Any = LlamaForCausalLM(llama_config(case.arch, case.attention))
    if case.quantized:
        for layer in model.model.layers:
            quantize_linear_layers(layer, torch.device("cpu"), "bf16")
    if case.adapter:
        model.is_loaded_in_4bit = case.quantized
        model = add_adapter(model, LORA, "bf16", torch.device("cpu"), 1)
    return model.train()


def counted_step(model: Any, case: LlamaCase, layers: int) -> tuple[int, int]:
    """Bytes above what is there before: left by a forward pass of so many layers, and at the peak of the backward."""
    config = (model.base_model.model if case.adapter else model).model.config
    config.num_hidden_layers = layers
    tokens = torch.randint(case.arch.vocab_size, (case.batch, case.positions))
    memory = CountedMemory()
    for tensor in (*model.parameters(), *model.buffers(), tokens):
        memory.see(tensor)
    before = memory.now
    with memory:
        with torch.autocast("cpu", torch_dtype("bf16")) if case.autocasts else nullcontext():
            loss = model(input_ids=tokens, labels=tokens).loss
        left = memory.now - before
        memory.reset()
        loss.backward()
    model.zero_grad()
    return left, memory.peak - before


def counted(case: LlamaCase) -> list[tuple[int, int]]:
    model = build(case)
    counted_step(model, case, 1)  # what is made once and kept
    return [counted_step(model, case, layers) for layers in range(1, LAYERS + 1)]


@pytest.mark.parametrize("name", CASES)
def test_a_layer_leaves_what_the_operator_graph_says(name: str) -> None:
    case = CASES[name]
    steps = in_fork(lambda: counted(case))
    for (fewer, _), (more, _) in pairwise(steps[1:]):  # of LoRA the first layer is another
        assert more - fewer == layer_footprint(case).saved
    assert steps[-1][1] == pytest.approx(peak_of_backward(case), rel=0.05)


def peak_of_backward(case: LlamaCase) -> int:
    """The predicted peak of the backward pass of all layers."""
    layer, end = layer_footprint(case), end_footprint(case)
    first = layer_footprint(case, reached=case.adapter is None)
    left = first.saved + (LAYERS - 1) * layer.saved
    in_layers = left - layer.saved + end.weights + layer.backward, first.saved + end.weights + LAYERS * layer.weights
    return max(left + case.stream + end.backward, *in_layers)


STEPS: dict[str, tuple[Callable[..., TrainingSpec], dict[str, Any]]] = {
    "DDP": (ddp_spec, {}),
    "DDP, views": (ddp_spec, {"gradient_bucket_view": True}),
    "DDP, recomputed": (ddp_spec, {"recompute": True}),
    "DDP, mixed": (ddp_spec, {"states": "fp32_master"}),
    "DDP, foreach": (ddp_spec, {"optimizer": "torch_adamw_foreach", "gradient_bucket_view": True}),
    "FSDP2": (fsdp_spec, {}),
    "FSDP2, bf16 states": (fsdp_spec, {"states": "bf16"}),
    "FSDP2, recomputed": (fsdp_spec, {"recompute": True, "attention": "sdpa_flash"}),
    "FSDP2, LoRA": (fsdp_finetune_spec, {"adapter": LORA}),
}


def model_and_states(trainer: Any) -> Iterator[torch.Tensor]:
    states = (value for state in trainer.optimizer.state.values() for value in state.values())
    for tensor in (*trainer.model.parameters(), *states):
        yield getattr(tensor, "_local_tensor", tensor)


def everything(_: Any) -> Iterator[torch.Tensor]:
    """All tensors that Python's collector knows: DeepSpeed's flat buffers among them."""
    return (each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter))


def counting(base: Any, folder: Path, before: Callable[[Any], Iterator[torch.Tensor]] = model_and_states) -> Any:
    """The trainer, which writes down the peak of each phase of its last step; ``before`` names what exists then."""

    class Counting(base):  # type: ignore[misc]
        steps = 0

        def train_step(self, tokens: Any, enter: Callable[[Phase], None]) -> Any:
            Counting.steps += 1
            if Counting.steps != COUNTED:
                return super().train_step(tokens, enter)
            memory, peaks, phases = CountedMemory(), {}, [Phase.BUILD]
            for tensor in before(self):
                memory.see(tensor)

            def entered(phase: Phase) -> None:
                peaks[phases[-1]] = memory.peak
                memory.reset()
                phases.append(phase)
                enter(phase)

            with memory:
                loss = super().train_step(tokens, entered)
            peaks[phases[-1]] = memory.peak
            (folder / str(torch.distributed.get_rank())).write_text(json.dumps(peaks))
            return loss

    return Counting


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_two_ranks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, knobs = STEPS[name]
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    spec = shortened(make(on, batch=4, seq_len=POSITIONS, model=HALF, **knobs), "bf16")
    monkeypatch.setattr(ddp, "TorchTrainer", counting(TorchTrainer, tmp_path))
    monkeypatch.setattr(sharded_trainer, "FsdpTrainer", counting(sharded_trainer.FsdpTrainer, tmp_path))
    runner = load_runner(spec)
    ending = run_ranks(runner, spec, runner.run_rank, probe_steps=COUNTED)
    assert ending.status is Status.OK, ending.reason
    memory: Any = (ddp_memory if spec.framework == "ddp" else fsdp_memory).step_memory(spec, 4)
    expected = {
        phase: max(moment.size for moment in memory.moments if moment.phase is phase)
        for phase in (Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
    }
    workspaces = next(part.size for part in memory.moments[0].parts if part.name == "cuBLAS workspaces")
    # C++ makes DDP's buckets, which nobody sees before the backward pass writes to them.
    unseen = sum(part.size for part in memory.moments[0].parts if part.name == "buckets of gradients")
    # A thread of gloo may hold a buffer of FSDP's for longer than the rank does.
    buffers = ("buffer of gradients to reduce", "gathered ahead")
    held = max((part.size for moment in memory.moments for part in moment.parts if part.name in buffers), default=0)
    peaks = json.loads((tmp_path / "0").read_text())
    for phase, more in ((Phase.FORWARD, unseen), (Phase.OPTIMIZER, 0)):
        found, most = peaks[phase] + more, expected[phase] - workspaces
        assert 0.98 * most < found < 1.02 * most + held, phase
    most = expected[Phase.BACKWARD] - workspaces
    assert most - unseen < 1.02 * peaks[Phase.BACKWARD] < 1.04 * most + held


ZERO: dict[str, tuple[Callable[..., TrainingSpec], dict[str, Any]]] = {
    "Z2": (pretrain_spec, {"zero_stage": 2}),
    "Z2, bf16 states": (pretrain_spec, {"zero_stage": 2, "states": "bf16"}),
    "Z3": (pretrain_spec, {"zero_stage": 3, "stage3_sizes": "authors"}),
    "LoRA": (finetune_spec, {"adapter": LORA}),
}


@pytest.mark.parametrize("name", ZERO)
def test_a_step_of_deepspeed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, knobs = ZERO[name]
    monkeypatch.setattr(deepspeed, "DeepSpeedTrainer", counting(deepspeed.DeepSpeedTrainer, tmp_path, everything))
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    spec = shortened(make(on, batch=2, seq_len=POSITIONS, model=SMALL, optimizer="torch_adamw", **knobs), "bf16")
    runner = load_runner(spec)
    ending = run_ranks(runner, spec, runner.run_rank, probe_steps=COUNTED)
    assert ending.status is Status.OK, ending.reason
    memory = deepspeed_memory.step_memory(spec, 2)  # type: ignore[arg-type]
    workspaces = next(part.size for part in memory.moments[0].parts if part.name == "cuBLAS workspaces")
    peaks = json.loads((tmp_path / "0").read_text())
    parts = [part for moment in memory.moments for part in moment.parts]
    held = max((part.size for part in parts if part.name == "flat bucket of gradients"), default=0)
    for phase, more in ((Phase.FORWARD, 0), (Phase.BACKWARD, held), (Phase.OPTIMIZER, held)):
        expected = max(moment.size for moment in memory.moments if moment.phase is phase) - workspaces
        assert 0.97 * expected < peaks[phase] < 1.03 * expected + more, phase  # gloo may hold a bucket for longer


MEGATRON: dict[str, dict[str, Any]] = {
    "unfused": {},
    "grouped": {"model": GROUPED},
    "fused": {"fused_kernels": True},
    "selective": {"recompute_attention": True},
    "selective, grouped": {"recompute_attention": True, "model": GROUPED},
    "sequence parallel": {"tensor_parallel": 2, "sequence_parallel": True},
}


def counting_megatron(folder: Path) -> type[megatron.MegatronTrainer]:
    """The trainer, which writes down what the forward pass of its last step leaves."""

    class Counting(megatron.MegatronTrainer):
        steps = 0

        def train_step(self, tokens: Any, enter: Callable[[Phase], None]) -> Any:
            Counting.steps += 1
            if Counting.steps != COUNTED:
                return super().train_step(tokens, enter)
            memory = CountedMemory()
            for parameter in self.model.parameters():
                memory.see(parameter)
                memory.see(parameter.main_grad)
            before = memory.now

            def entered(phase: Phase) -> None:
                if phase is Phase.BACKWARD:
                    (folder / str(torch.distributed.get_rank())).write_text(str(memory.now - before))
                enter(phase)

            with memory:
                return super().train_step(tokens, entered)

    return Counting


@pytest.mark.parametrize("name", MEGATRON)
def test_a_layer_of_megatron(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(megatron, "MegatronTrainer", counting_megatron(tmp_path))
    knobs = {"model": SMALL} | MEGATRON[name]
    n_gpus = knobs.get("tensor_parallel", 1)
    on = hardware(n_gpus=n_gpus, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    left = []
    for layers in (2, 4):
        model = knobs["model"].model_copy(update={"num_hidden_layers": layers})
        spec = shortened(megatron_spec(on, batch=2, seq_len=POSITIONS, **(knobs | {"model": model})), "bf16")
        ending = run_ranks(megatron, spec, megatron.run_rank, probe_steps=COUNTED)
        assert ending.status is Status.OK, ending.reason
        left.append(int((tmp_path / "0").read_text()))
    case = megatron_case(spec, 2)
    # On a CPU PyTorch's RMSNorm is several operators: they keep the input in fp32, and in bf16 what it is divided to.
    split = n_gpus if spec.method.sequence_parallel else 1
    norms = 2 * 6 * case.tokens * SMALL.hidden_size // split
    expected = megatron_footprint(case, "layer").saved + norms
    assert (left[1] - left[0]) / 2 == pytest.approx(expected, rel=0.003)
