"""Real megatron-core on forked ranks over gloo, held against transformers and DeepSpeed on the same weights."""

import json
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: E402

from dissect.base.outcome import Flag, Phase, Status  # noqa: E402
from dissect.cells.frameworks import state_bytes  # noqa: E402
from dissect.cells.spec import ModelArchitecture  # noqa: E402
from dissect.machine.cpu import CpuDevice  # noqa: E402
from dissect.machine.device import Device  # noqa: E402
from dissect.ranks.supervise import Ending  # noqa: E402
from dissect.stages.training.deepspeed import pretrain as deepspeed  # noqa: E402
from dissect.stages.training.deepspeed.spec import PretrainSpec  # noqa: E402
from dissect.stages.training.megatron import gpt_model as megatron_model  # noqa: E402
from dissect.stages.training.megatron import pretrain as megatron  # noqa: E402
from dissect.stages.training.megatron.on_cpu import redirect_cuda  # noqa: E402
from dissect.stages.training.megatron.spec import MegatronSpec  # noqa: E402
from dissect.workloads import arithmetic  # noqa: E402
from dissect.workloads.llama import build_llama, llama_config, synthetic_tokens  # noqa: E402
from factories import LLAMA_7B, LLAMA_13B, LLAMA_70B, hardware, megatron_spec, pretrain_spec  # noqa: E402
from forked_ranks import TINY, S, in_fork, run_ranks, shortened  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

METHODS: dict[str, dict[str, Any]] = {
    "TP2": {"tensor_parallel": 2},
    "R+TP2": {"tensor_parallel": 2, "recompute": True},
    "SR+TP2": {"tensor_parallel": 2, "recompute_attention": True},
    "TP2+SP": {"tensor_parallel": 2, "sequence_parallel": True},
    "PP2": {"pipeline_parallel": 2},
    "R+PP2": {"pipeline_parallel": 2, "recompute": True},
    "TP1": {},
    "TP1+DO": {"distributed_optimizer": True},
    "TP1+OV": {"overlap_communication": True},
    "TP1+DO+OV": {"distributed_optimizer": True, "overlap_communication": True},
}
REPLICAS = {name: 2 for name in METHODS if "TP1" in name}
"""Of the model on two ranks; one if not named here."""


def prepared(spec: S, dtype: str, memory: int) -> S:
    """The spec for this test: fp32 or bf16, few steps, a memory limit per rank."""
    hardware_ = spec.hardware.model_copy(update={"device_memory_bytes": memory})
    return shortened(spec, dtype).model_copy(update={"hardware": hardware_})


def tiny_spec(
    dtype: str = "fp32", *, batch: int = 2, n_gpus: int = 2, memory: int = 4 << 30, **method: Any
) -> MegatronSpec:
    spec = megatron_spec(hardware(n_gpus=n_gpus, device="cpu"), batch=batch, seq_len=32, model=TINY, **method)
    return prepared(spec, dtype, memory)


def run(spec: MegatronSpec | PretrainSpec, probe_steps: int | None = None, budget_s: float = 120.0) -> Ending:
    runner: Any = megatron if isinstance(spec, MegatronSpec) else deepspeed
    return run_ranks(runner, spec, runner.run_rank, probe_steps=probe_steps, budget_s=budget_s)


# --- the outcome of each method -------------------------------------------------------------------


@cache
def measured(method: str, dtype: str) -> Ending:
    return run(tiny_spec(dtype, **METHODS[method]))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_method(method: str, dtype: str) -> None:
    ending = measured(method, dtype)
    assert ending.status is Status.OK, ending.reason
    for report in ending.reports:
        assert report.attention_kernel == "eager"
        assert report.parameters == report.trainable_parameters == arithmetic.count_parameters(TINY)
        assert report.losses[-1] < report.losses[0]
        assert report.flags == [Flag.CUDA_REDIRECTED]
        assert 0 < report.ready_at < report.built_at < report.window_start < report.window_end
    first, second = (report.losses for report in ending.reports)
    assert len(first) == len(second)
    assert (first == second) is (REPLICAS.get(method, 1) == 1)  # each replica has tokens of its own


def test_absent_layers_are_invalid() -> None:
    ending = run(tiny_spec(tensor_parallel=2, layer_spec="transformer_engine"))
    assert (ending.status, ending.phase) == (Status.INVALID, Phase.BUILD)
    assert "Transformer Engine, which is not installed here" in str(ending.reason)


def test_local_layers_are_the_same_beside_transformer_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "transformer_engine").mkdir()
    (tmp_path / "transformer_engine" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "megatron"]:
        monkeypatch.delitem(sys.modules, name)  # so that the ranks import it, as they do where it is installed
    ending = run(tiny_spec())
    assert ending.status is Status.OK, ending.reason


def test_another_kernel_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    from megatron.core.transformer.dot_product_attention import DotProductAttention

    def fused(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> Any:
        heads = query.shape[2] // key.shape[2]
        by_head = (x.permute(1, 2, 0, 3) for x in (query, *(y.repeat_interleave(heads, 2) for y in (key, value))))
        mixed = torch.nn.functional.scaled_dot_product_attention(*by_head, is_causal=True)
        return mixed.permute(2, 0, 1, 3).flatten(2)

    monkeypatch.setattr(DotProductAttention, "forward", fused)
    ending = run(tiny_spec(tensor_parallel=2))
    assert (ending.status, ending.phase) == (Status.INVALID, Phase.FORWARD)
    assert "attention ran sdpa_flash, expected eager" in str(ending.reason)


@pytest.mark.parametrize(("batch", "phase"), [(256, Phase.FORWARD), (1 << 20, Phase.BUILD)])
@pytest.mark.parametrize("method", ["TP2", "PP2"])
def test_out_of_memory(method: str, batch: int, phase: Phase) -> None:
    ending = run(tiny_spec(memory=128 << 20, batch=batch, **METHODS[method]), probe_steps=2)
    assert ending.status is Status.OOM, ending.reason
    assert ending.phase is phase


# --- the same weights as transformers' model ------------------------------------------------------


def llama_of(spec: MegatronSpec) -> Any:
    return build_llama(llama_config(TINY, "eager"), "fp32", torch.device("cpu"), spec.workload.seed)


def import_weights(model: Any, spec: MegatronSpec) -> Any:
    """Give this rank's part of the GPTModel the weights of transformers' model of the same seed."""
    from megatron.core import parallel_state

    weights, tensor = llama_of(spec).state_dict(), spec.method.tensor_parallel
    rank = parallel_state.get_tensor_model_parallel_rank()
    first = parallel_state.get_pipeline_model_parallel_rank() * len(model.decoder.layers)

    def rows(weight: Any) -> Any:
        return weight.chunk(tensor)[rank]

    def columns(weight: Any) -> Any:
        return weight.chunk(tensor, dim=1)[rank]

    own = {}
    if model.pre_process:
        own["embedding.word_embeddings.weight"] = rows(weights["model.embed_tokens.weight"])
    if model.post_process:
        own["decoder.final_layernorm.weight"] = weights["model.norm.weight"]
        own["output_layer.weight"] = rows(weights["lm_head.weight"])
    for index in range(len(model.decoder.layers)):
        here, there = f"decoder.layers.{index}.", f"model.layers.{first + index}."
        q, k, v, o = (weights[f"{there}self_attn.{name}_proj.weight"] for name in "qkvo")
        gate, up, down = (weights[f"{there}mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
        by_group = [weight.unflatten(0, (TINY.num_key_value_heads, -1)) for weight in (q, k, v)]
        own[f"{here}self_attention.linear_qkv.weight"] = rows(torch.cat(by_group, dim=1).flatten(0, 1))
        own[f"{here}self_attention.linear_proj.weight"] = columns(o)
        own[f"{here}mlp.linear_fc1.weight"] = torch.cat([rows(gate), rows(up)])
        own[f"{here}mlp.linear_fc2.weight"] = columns(down)
        own[f"{here}input_layernorm.weight"] = weights[f"{there}input_layernorm.weight"]
        own[f"{here}pre_mlp_layernorm.weight"] = weights[f"{there}post_attention_layernorm.weight"]
    parameters = dict(model.named_parameters())
    assert parameters.keys() == own.keys()
    with torch.no_grad():
        for name, weight in own.items():
            parameters[name].copy_(weight)
    return model


def losses_with_imported_weights(
    monkeypatch: pytest.MonkeyPatch, spec: MegatronSpec, budget_s: float = 120.0
) -> list[list[float]]:
    """The first losses of each rank."""

    def build(spec: MegatronSpec, config: Any, device: Device) -> Any:
        return import_weights(megatron_model.build_model(spec, config, device), spec)

    monkeypatch.setattr(megatron, "build_model", build)
    ending = run(spec, budget_s=budget_s)
    assert ending.status is Status.OK, ending.reason
    return [report.losses[:5] for report in ending.reports]


@cache
def losses_of_transformers() -> list[float]:
    """Five steps of PyTorch alone on four sequences."""

    def train() -> list[float]:
        spec = tiny_spec()
        llama, losses = llama_of(spec), []
        tokens = synthetic_tokens(TINY, 4, spec.workload.seq_len, torch.device("cpu"), spec.workload.seed)
        optimizer = torch.optim.AdamW(llama.parameters(), lr=megatron.LEARNING_RATE)
        for _ in range(5):
            loss = llama(input_ids=tokens, labels=tokens).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(llama.parameters(), spec.workload.gradient_clipping)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    losses: list[float] = in_fork(train)
    return losses


def test_one_rank_is_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    (losses,) = losses_with_imported_weights(monkeypatch, tiny_spec(n_gpus=1, batch=4))
    assert losses == pytest.approx(losses_of_transformers(), rel=1e-5)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in REPLICAS])
def test_split_models_are_transformers(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Two ranks of one replica take the four sequences together."""
    for losses in losses_with_imported_weights(monkeypatch, tiny_spec(**METHODS[method])):
        assert losses == pytest.approx(losses_of_transformers(), rel=1e-5)


@cache
def losses_of_deepspeed() -> list[list[float]]:
    spec = pretrain_spec(hardware(n_gpus=2, device="cpu"), batch=2, seq_len=32, model=TINY, optimizer="torch_adamw")
    ending = run(prepared(spec, "fp32", 4 << 30))
    assert ending.status is Status.OK, ending.reason
    return [report.losses[:5] for report in ending.reports]


@pytest.mark.parametrize("method", REPLICAS)
def test_replicas_are_those_of_deepspeed(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    losses = losses_with_imported_weights(monkeypatch, tiny_spec(**METHODS[method]))
    for ours, theirs in zip(losses, losses_of_deepspeed(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.slow  # which compiles
def test_fused_kernels_train_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny_spec(**METHODS["TP1+DO+OV"], fused_kernels=True)
    losses = losses_with_imported_weights(monkeypatch, spec, budget_s=500.0)
    for ours, theirs in zip(losses, losses_of_deepspeed(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


# --- the arithmetic against what a rank really does and holds -------------------------------------


class Watched(megatron.MegatronTrainer):
    """Writes down what its latest step did, and what it holds after it."""

    folder: Path

    def train_step(self, tokens: Any, enter: Callable[[Phase], None]) -> Any:
        from torch.utils.flop_counter import FlopCounterMode

        phases: list[Phase] = []
        with FlopCounterMode(display=False) as counter:
            loss = super().train_step(tokens, lambda phase: (phases.append(phase), enter(phase))[1])
        seen = {"flops": counter.get_total_flops(), "phases": phases, "held": self.held_bytes()}
        (self.folder / str(torch.distributed.get_rank())).write_text(json.dumps(seen))
        return loss

    def held_bytes(self) -> int:
        """Of parameters, gradients and states, each memory counted once."""
        tensors = [tensor for buffer in self.model.buffers for tensor in (buffer.grad_data, buffer.param_data)]
        tensors += [parameter.data for parameter in self.model.parameters()]
        for optimizer in self.optimizer.chained_optimizers:
            for parameter, state in optimizer.optimizer.state.items():
                tensors += [parameter.data, state["exp_avg"], state["exp_avg_sq"]]
        storages = [tensor.untyped_storage() for tensor in tensors if tensor is not None]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def watched(monkeypatch: pytest.MonkeyPatch, folder: Path, spec: MegatronSpec) -> list[dict[str, Any]]:
    """What each rank wrote down."""
    monkeypatch.setattr(Watched, "folder", folder, raising=False)
    monkeypatch.setattr(megatron, "MegatronTrainer", Watched)
    ending = run(spec, probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    return [json.loads((folder / str(rank)).read_text()) for rank in range(spec.hardware.n_gpus)]


@pytest.mark.parametrize("method", ["TP2", "R+TP2", "SR+TP2", "PP2", "R+PP2", "TP1", "TP1+DO+OV"])
def test_flops_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str) -> None:
    spec = tiny_spec(**METHODS[method])
    counted = sum(rank["flops"] for rank in watched(monkeypatch, tmp_path, spec))
    assert counted == arithmetic.hardware_flops(spec, 2)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_ranks_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, dtype: str) -> None:
    spec = tiny_spec(dtype, **METHODS[method])
    held = [rank["held"] for rank in watched(monkeypatch, tmp_path, spec)]
    # Only the last stage has the final norm; the distributed optimizer pads its buffers.
    spread = 0.01 if "PP2" in method else 0.001 if "DO" in method else 0
    assert sum(held) / len(held) == pytest.approx(state_bytes(spec), rel=spread)
    assert max(held) >= state_bytes(spec)


@pytest.mark.parametrize(("method", "micro_batches"), [("TP2", 1), ("PP2", 2)])
def test_phases_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, micro_batches: int) -> None:
    for rank in watched(monkeypatch, tmp_path, tiny_spec(**METHODS[method])):
        assert rank["phases"] == ["forward", *["forward", "backward"] * micro_batches, "optimizer"]


@pytest.mark.parametrize("split", [{"tensor_parallel": 4}, {"tensor_parallel": 2, "pipeline_parallel": 2}])
@pytest.mark.parametrize("arch", [LLAMA_7B, LLAMA_13B, LLAMA_70B], ids=["7b", "13b", "70b"])
def test_no_parameter_is_padded_or_lost(arch: ModelArchitecture, split: dict[str, int]) -> None:
    spec = megatron_spec(hardware(device="cpu"), model=arch, **split)
    megatron.import_libraries(spec)
    counts = [in_fork(partial(parameters_of_rank, spec, rank)) for rank in range(4)]
    assert sum(counts) == arithmetic.count_parameters(arch)


def parameters_of_rank(spec: MegatronSpec, rank: int) -> int:
    """Of one rank of four, without memory for any."""
    from megatron.core import parallel_state, tensor_parallel

    class MetaDevice(CpuDevice):
        torch_device = torch.device("meta")

    redirect_cuda()
    torch.cuda.current_device = lambda: torch.device("meta")
    torch.distributed.init_process_group("fake", rank=rank, world_size=4, store=FakeStore())
    method = spec.method
    parallel_state.initialize_model_parallel(
        method.tensor_parallel, method.pipeline_parallel, create_gloo_process_groups=False
    )
    tensor_parallel.model_parallel_cuda_manual_seed(0)
    model = megatron_model.build_model(spec, megatron_model.transformer_config(spec), MetaDevice(4))
    own = filter(tensor_parallel.param_is_not_tensor_parallel_duplicate, model.parameters())
    return sum(parameter.numel() for parameter in own)
