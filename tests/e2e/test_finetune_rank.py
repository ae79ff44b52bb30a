"""Real PEFT, bitsandbytes and DeepSpeed on two forked ranks over gloo, and the arithmetic against the real model."""

import gc
import hashlib
import json
import re
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.distributed._tools.mem_tracker import MemTracker  # noqa: E402

from dissect.base.outcome import Status  # noqa: E402
from dissect.cells.spec import ModelArchitecture  # noqa: E402
from dissect.config.adapters import Adapter  # noqa: E402
from dissect.config.adapters.lora import Lora  # noqa: E402
from dissect.config.adapters.prompt_tuning import PromptTuning  # noqa: E402
from dissect.machine.device import Device  # noqa: E402
from dissect.ranks.messages import RankContext, RankReport  # noqa: E402
from dissect.ranks.supervise import Ending  # noqa: E402
from dissect.stages.training.deepspeed import finetune as runner  # noqa: E402
from dissect.stages.training.deepspeed import trainer as training  # noqa: E402
from dissect.stages.training.deepspeed.knobs import Stage3Sizes  # noqa: E402
from dissect.stages.training.deepspeed.spec import FinetuneSpec  # noqa: E402
from dissect.stages.training.rank import run_training_rank  # noqa: E402
from dissect.workloads import arithmetic  # noqa: E402
from dissect.workloads.llama import (  # noqa: E402
    build_llama,
    build_nf4_llama,
    llama_config,
    parameter_counts,
    synthetic_tokens,
)
from factories import LLAMA_7B, LLAMA_13B, LLAMA_70B, finetune_spec, hardware  # noqa: E402
from forked_ranks import TINY, in_fork, run_ranks, shortened  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

CPU = torch.device("cpu")
LORA, PROMPT = Lora(kind="lora", rank=8, alpha=16), PromptTuning(kind="prompt_tuning", virtual_tokens=5)
SHARDING = {"zero_stage": 3, "stage3_sizes": Stage3Sizes(reduce_bucket=1 << 16, prefetch=1 << 10, persistence=1)}
"""ZeRO-3 that shards even the smallest tensor."""
ALL_ONCE = {"attention": "sdpa_flash", "recompute": True}
METHODS: dict[str, dict[str, Any]] = {
    "L": {},
    "L+R": {"recompute": True},
    "L+Z2": {"zero_stage": 2},
    "L+Z3": {"zero_stage": 3},
    "L+F+R+Z3": {"zero_stage": 3, **ALL_ONCE},
    "QL": {"quantization": "nf4"},
    "QL+Z2": {"quantization": "nf4", "zero_stage": 2},
    "QL+F+R": {"quantization": "nf4", **ALL_ONCE},
    "QL+Z3": {"quantization": "nf4", **SHARDING},
    "QL+F+R+Z3": {"quantization": "nf4", **SHARDING, **ALL_ONCE},
    "PT": {"adapter": PROMPT},
    "PT+R": {"adapter": PROMPT, "recompute": True},
    "PT+Z3": {"adapter": PROMPT, "zero_stage": 3},
}
OFFLOADING: dict[str, dict[str, Any]] = {
    "L+Z3+O": {"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True},
    "QL+Z2+O": {"quantization": "nf4", "zero_stage": 2, "offload_optimizer": True},
    "QL+F+R+Z3+O": {
        "quantization": "nf4",
        **SHARDING,
        "offload_optimizer": True,
        "offload_parameters": True,
        **ALL_ONCE,
    },
}


def tiny_spec(dtype: str = "fp32", **method: Any) -> FinetuneSpec:
    optimizer = "deepspeed_cpu_adam" if method.get("offload_optimizer") else "torch_adamw"
    on = hardware(n_gpus=2, device="cpu").model_copy(update={"device_memory_bytes": 4 << 30})
    fields = {"adapter": LORA, "optimizer": optimizer, **method}
    return shortened(finetune_spec(on, batch=2, seq_len=32, model=TINY, **fields), dtype)


def digests(model: Any, *, trained: bool) -> dict[str, str]:
    """A hash of this rank's share of each trained, or of each frozen, parameter; of its scales too if it is packed."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad is trained:
            tensors = [getattr(parameter, "ds_tensor", parameter.data)]
            if (state := getattr(parameter, "quant_state", None)) is not None:
                tensors += [state.absmax, state.state2.absmax, state.offset]
            content = b"".join(tensor.flatten().contiguous().view(torch.uint8).numpy().tobytes() for tensor in tensors)
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def watched_rank(spec: FinetuneSpec, context: RankContext) -> RankReport:
    """As the runner's, and it finds out what the steps changed."""
    built: dict[str, Any] = {}

    def build(spec: FinetuneSpec, device: Device) -> training.DeepSpeedTrainer:
        trainer = runner.build_trainer(spec, device)
        model = trainer.model
        built.update(trainer=trainer, frozen=digests(model, trained=False), trained=digests(model, trained=True))
        return trainer

    report = run_training_rank(spec, context, training.connect, build)
    if report.status is not Status.OK:
        return report
    trainer = built["trainer"]
    after = digests(trainer.model, trained=True)
    states = trainer.optimizer.state.values()
    findings = {
        "frozen": len(built["frozen"]),
        "frozen_is_unchanged": digests(trainer.model, trained=False) == built["frozen"],
        "trained": len(after),
        "changed": sum(after[name] != before for name, before in built["trained"].items()),
        "frozen_with_gradient": sum(
            p.grad is not None for p in trainer.model.parameters() if not p.requires_grad
        ),
        "states": sum(state["exp_avg"].numel() for state in states),
        "sharded": sum(hasattr(parameter, "ds_tensor") for parameter in trainer.model.parameters()),
    }  # fmt: skip
    return report.model_copy(update={"findings": findings})


@pytest.mark.parametrize(("recompute", "status"), [(True, Status.OK), (False, Status.FAILED)])
def test_deepspeed_gathers_whole_layers_of_a_frozen_base_only_with_recomputation(
    recompute: bool, status: Status
) -> None:
    """Why these cells are unsupported: once DeepSpeed can, ``constraint`` of its declaration can go."""
    whole = {"stage3_sizes": SHARDING["stage3_sizes"].model_copy(update={"whole_layers": True})}
    ending = run_ranks(runner, tiny_spec(**SHARDING | whole, recompute=recompute), runner.run_rank, probe_steps=2)
    assert ending.status is status, ending.reason


@cache
def measured(method: str, dtype: str) -> Ending:
    spec = tiny_spec(dtype, **(METHODS | OFFLOADING)[method])
    return run_ranks(runner, spec, watched_rank)


def check_method(method: str, dtype: str) -> None:
    ending, spec = measured(method, dtype), tiny_spec(dtype, **(METHODS | OFFLOADING)[method])
    assert ending.status is Status.OK, ending.reason
    adapter, shards = spec.method.adapter, 2 if spec.method.zero_stage else 1
    assert [report.rank for report in ending.reports] == [0, 1]
    for report in ending.reports:
        assert report.attention_kernel == spec.method.attention
        assert report.trainable_parameters == adapter.parameters(TINY) == arithmetic.count_trainable(spec)
        assert report.parameters == arithmetic.count_parameters(TINY) + adapter.parameters(TINY)
        assert report.losses[-1] < report.losses[0]
        found = report.findings
        assert found["frozen_is_unchanged"]
        assert (found["frozen"], found["frozen_with_gradient"]) == (2 + 1 + 2 * 9, 0)
        assert found["trained"] == (1 if isinstance(adapter, PromptTuning) else 2 * 2 * 7)
        assert 0 <= found["states"] - adapter.parameters(TINY) // shards <= found["trained"] + 4
        assert found["sharded"] == (found["frozen"] + found["trained"] if spec.method.zero_stage == 3 else 0)


@pytest.mark.parametrize("method", METHODS)
def test_method(method: str) -> None:
    check_method(method, "fp32")
    # On the second rank a padded share may be all that is left of a small tensor.
    assert measured(method, "fp32").reports[0].findings["changed"] == (1 if "PT" in method else 2 * 2 * 7)


@pytest.mark.parametrize("method", ["L", "L+Z2", "L+Z3", "QL", "QL+Z3"])
def test_method_in_bf16(method: str) -> None:
    check_method(method, "bf16")


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first run compiles DeepSpeed's CPU optimizer
@pytest.mark.parametrize("method", OFFLOADING)
def test_offloading(method: str) -> None:
    check_method(method, "fp32")


@pytest.mark.parametrize(
    ("method", "other"),
    [("L", "L+R"), ("L", "L+Z2"), ("L", "L+Z3"), ("L", "L+F+R+Z3"), ("QL", "QL+Z2"), ("QL", "QL+F+R"),
     ("QL", "QL+Z3"), ("QL", "QL+F+R+Z3"),
     ("PT", "PT+R"), ("PT", "PT+Z3")],
)  # fmt: skip
def test_methods_train_the_same_adapter(method: str, other: str) -> None:
    tolerance = 5e-3 if "Q" in method else 1e-4  # 4-bit products are computed in bf16
    for one, two in zip(measured(method, "fp32").reports, measured(other, "fp32").reports, strict=True):
        assert two.losses[:5] == pytest.approx(one.losses[:5], rel=tolerance)


class Holding(training.DeepSpeedTrainer):
    """Writes down the bytes of this rank's shards, and of 4-bit weights that are whole after the first forward pass."""

    folder: Path

    def _forward(self, tokens: Any) -> Any:
        loss = super()._forward(tokens)
        file = self.folder / str(torch.distributed.get_rank())
        if not file.exists():
            shards = [parameter.ds_tensor for parameter in self.model.parameters()]
            own = {shard.untyped_storage().data_ptr() for shard in shards}
            storages = [each.untyped_storage() for each in gc.get_objects() if holds_weight(each)]
            whole = {storage.data_ptr(): storage.nbytes() for storage in storages if storage.data_ptr() not in own}
            sharded = sum(shard.numel() * shard.element_size() for shard in shards)
            file.write_text(json.dumps({"sharded": sharded, "whole": sum(whole.values())}))
        return loss


PACKED = TINY.hidden_size * TINY.intermediate_size // 4
"""Elements of bf16 that hold a packed weight of the MLP; no activation has so many."""


def holds_weight(thing: Any) -> bool:
    """Whether it is a tensor as of a whole packed weight of the MLP."""
    return isinstance(thing, torch.Tensor) and thing.dtype == torch.bfloat16 and thing.numel() == PACKED


def held(monkeypatch: pytest.MonkeyPatch, folder: Path, n_gpus: int = 2) -> list[dict[str, int]]:
    monkeypatch.setattr(Holding, "folder", folder, raising=False)
    monkeypatch.setattr(training, "DeepSpeedTrainer", Holding)
    spec = tiny_spec("bf16", **METHODS["QL+Z3"])
    spec = spec.model_copy(update={"hardware": spec.hardware.model_copy(update={"n_gpus": n_gpus})})
    ending = run_ranks(runner, spec, runner.run_rank, probe_steps=2)
    assert ending.status is Status.OK, ending.reason
    return [json.loads((folder / str(rank)).read_text()) for rank in range(n_gpus)]


@pytest.mark.parametrize("n_gpus", [1, 2, 4])
def test_bytes_of_a_4_bit_base_fall_with_the_number_of_ranks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n_gpus: int
) -> None:
    groups = arithmetic.parameter_groups(TINY)
    whole = groups.decoder_linear // 2 + 2 * (groups.unquantized + LORA.parameters(TINY))
    for rank in held(monkeypatch, tmp_path, n_gpus):
        assert rank["sharded"] == pytest.approx(whole / n_gpus, rel=2e-3)  # shares are padded


def test_no_rank_keeps_4_bit_weights_until_the_backward_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {rank["whole"] for rank in held(monkeypatch, tmp_path)} == {0}


def test_with_the_product_of_bitsandbytes_every_rank_keeps_all_of_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bitsandbytes.nn import Linear4bit

    from dissect.stages.training.deepspeed import sharded_nf4

    monkeypatch.setattr(sharded_nf4, "_forward", Linear4bit.forward)
    packed = TINY.num_hidden_layers * 3 * 2 * PACKED
    assert min(rank["whole"] for rank in held(monkeypatch, tmp_path)) >= packed


def test_qlora_is_never_whole_in_bf16() -> None:
    arch = TINY.model_copy(update={"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 24})
    config, linear = llama_config(arch, "eager"), arithmetic.parameter_groups(arch).decoder_linear
    whole, small = 2 * linear, linear * arithmetic.NF4_BITS / 8

    def build_small() -> None:
        base = build_nf4_llama(config, "bf16", CPU, 0)
        base.is_loaded_in_4bit = True
        runner.add_adapter(base, LORA, "bf16", CPU, 0)

    def peak_bytes(build: Callable[[], object]) -> int:
        with MemTracker() as tracker:  # tensors, and not the process: how much of those an allocator keeps is chance
            build()
        return int(tracker.get_tracker_snapshot("peak")[CPU]["Total"])

    assert in_fork(lambda: peak_bytes(lambda: build_llama(config, "bf16", CPU, 0))) > whole
    assert small < in_fork(lambda: peak_bytes(build_small)) < 0.4 * whole


@pytest.mark.parametrize(
    ("arch", "expected"),
    [(LLAMA_7B, 159_907_840), (LLAMA_13B, 250_347_520), (LLAMA_70B, 828_375_040)],
    ids=["7b", "13b", "70b"],
)
@pytest.mark.parametrize("adapter", [Lora(kind="lora"), PromptTuning(kind="prompt_tuning")], ids=["lora", "prompt"])
def test_counts_of_the_published_models(arch: ModelArchitecture, expected: int, adapter: Adapter) -> None:
    meta = torch.device("meta")
    with meta:
        from transformers import LlamaForCausalLM

        base = LlamaForCausalLM(llama_config(arch, "eager"))
    model = runner.add_adapter(base, adapter, "fp32", meta, 0)
    trained = expected if isinstance(adapter, Lora) else 20 * arch.hidden_size
    spec = finetune_spec(model=arch, adapter=adapter)
    assert parameter_counts(model) == (arithmetic.count_parameters(arch) + trained, trained)
    assert (arithmetic.count_all(spec), arithmetic.count_trainable(spec)) == parameter_counts(model)
    assert model.get_nb_trainable_parameters()[0] == trained


@pytest.fixture
def ia3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """The adapter that docs/extending.md adds."""
    text = (Path(__file__).parents[2] / "docs/extending.md").read_text()
    block = re.search(r"^```python scripts/dissect/config/adapters/ia3.py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block
    (tmp_path / "ia3.py").write_text(block[1])
    found = spec_from_file_location("ia3_of_the_docs", tmp_path / "ia3.py")
    assert found
    assert found.loader
    module = module_from_spec(found)
    monkeypatch.setitem(sys.modules, found.name, module)  # Pydantic looks there for the names in annotations
    found.loader.exec_module(module)
    adapter: Adapter = module.Ia3(kind="ia3")
    return adapter


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_the_adapter_of_the_docs_trains(ia3: Adapter, zero_stage: int) -> None:
    plain = tiny_spec(zero_stage=zero_stage)
    spec = plain.model_copy(update={"method": plain.method.model_copy(update={"adapter": ia3})})
    ending = run_ranks(runner, spec, watched_rank)
    assert ending.status is Status.OK, ending.reason
    report = ending.reports[0]
    assert report.trainable_parameters == 2 * (32 + 32 + 176)
    assert (report.findings["trained"], report.findings["changed"]) == (6, 6)
    assert report.findings["frozen_is_unchanged"]
    assert report.losses[-1] < report.losses[0]


@pytest.mark.parametrize("recompute", [False, True])
def test_flops_of_the_adapter_of_the_docs(ia3: Adapter, recompute: bool) -> None:
    plain = tiny_spec(recompute=recompute)
    check_flops(plain.model_copy(update={"method": plain.method.model_copy(update={"adapter": ia3})}))


TARGETS = [["q_proj", "v_proj"], ["v_proj"], ["k_proj"], ["o_proj"], ["gate_proj"], ["down_proj"]]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(
    "adapter",
    [LORA, *(Lora.model_validate({"kind": "lora", "rank": 4, "targets": targets}) for targets in TARGETS), PROMPT],
    ids=["lora", *("+".join(targets) for targets in TARGETS), "prompt"],
)
def test_flops_of_the_real_model(adapter: Adapter, recompute: bool) -> None:
    check_flops(tiny_spec(adapter=adapter, recompute=recompute))


def check_flops(spec: FinetuneSpec) -> None:
    # The angles of the rotary embedding come of an outer product, which nobody counts as work of the model.
    angles = TINY.hidden_size // TINY.num_attention_heads * (spec.workload.seq_len + spec.method.adapter.positions)
    counted = in_fork(partial(count_flops, spec)) - angles
    assert counted * spec.hardware.n_gpus == arithmetic.hardware_flops(spec, 2)
    if not spec.method.recompute:
        assert arithmetic.model_flops(spec, 2) == arithmetic.hardware_flops(spec, 2)


def count_flops(spec: FinetuneSpec) -> int:
    """Of one step of one rank, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    base = build_llama(llama_config(TINY, "eager"), "fp32", CPU, 0)
    model = runner.add_adapter(base, spec.method.adapter, "fp32", CPU, 0)
    if spec.method.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    tokens = synthetic_tokens(TINY, 2, spec.workload.seq_len, CPU, 0)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens, labels=tokens).loss.backward()
    return int(counter.get_total_flops())
