"""Parameters, FLOPs and bytes against numbers worked out elsewhere; tests/e2e holds them against the real model."""

import pytest

from dissect.cells.frameworks import state_bytes
from dissect.cells.spec import ModelArchitecture
from dissect.config.adapters.lora import Lora
from dissect.config.adapters.prompt_tuning import PromptTuning
from dissect.stages.training.deepspeed.spec import PretrainSpec
from dissect.workloads.arithmetic import (
    NF4_BITS,
    count_all,
    count_parameters,
    count_trainable,
    hardware_flops,
    model_flops,
)
from factories import (
    LLAMA_7B,
    LLAMA_13B,
    LLAMA_70B,
    ddp_spec,
    finetune_spec,
    fsdp_finetune_spec,
    hardware,
    megatron_spec,
    pretrain_spec,
)

SIZES = {LLAMA_7B: 6_738_415_616, LLAMA_13B: 13_015_864_320, LLAMA_70B: 68_976_648_192}
P = SIZES[LLAMA_7B]
UNQUANTIZED = 2 * 32000 * 4096 + 65 * 4096


@pytest.mark.parametrize(("arch", "parameters"), SIZES.items(), ids=["7b", "13b", "70b"])
def test_parameters_of_the_published_models(arch: ModelArchitecture, parameters: int) -> None:
    assert count_parameters(arch) == parameters


def test_q_trains_what_stays_unquantised() -> None:
    assert count_trainable(pretrain_spec()) == P
    assert count_trainable(pretrain_spec(quantization="nf4")) == UNQUANTIZED


def test_model_flops_are_six_per_weight_and_token() -> None:
    spec = pretrain_spec(seq_len=350)
    weights = P - 32000 * 4096 - 65 * 4096  # the embedding is looked up, norms are no products
    attention = 3 * 4 * 350 * 350 * 4096 * 32
    assert model_flops(spec, batch=2) == 2 * 4 * (6 * weights * 350 + attention)


def test_frozen_weights_need_no_gradient() -> None:
    frozen = P - UNQUANTIZED
    difference = model_flops(pretrain_spec(), 1) - model_flops(pretrain_spec(quantization="nf4"), 1)
    assert difference == 4 * 2 * frozen * 350


def test_recomputation_counts_in_hfu_only() -> None:
    plain, recomputed = pretrain_spec(), pretrain_spec(recompute=True)
    assert hardware_flops(plain, 1) == model_flops(plain, 1) == model_flops(recomputed, 1)
    frozen = P - UNQUANTIZED
    down = 32 * 4096 * 11008
    assert hardware_flops(recomputed, 1) - model_flops(recomputed, 1) == 4 * (
        2 * 350 * (frozen - down) + 4 * 350 * 350 * 4096 * 32
    )


def test_megatron_needs_what_deepspeed_needs_and_recomputes_whole_layers() -> None:
    recomputed = megatron_spec(tensor_parallel=4, recompute=True)
    assert model_flops(recomputed, 3) == model_flops(pretrain_spec(), 3)
    layers = 2 * 350 * (P - UNQUANTIZED) + 4 * 350 * 350 * 4096 * 32
    assert hardware_flops(recomputed, 3) - model_flops(recomputed, 3) == 3 * 4 * layers


def test_compiled_layers_are_recomputed_whole() -> None:
    plain, compiled = (ddp_spec(recompute=True, compile_layers=compiles) for compiles in (False, True))
    down = 2 * 350 * 32 * 4096 * 11008
    assert hardware_flops(compiled, 3) - hardware_flops(plain, 3) == 3 * 4 * down
    lora = Lora(kind="lora", rank=8)
    plain, compiled = (
        fsdp_finetune_spec(adapter=lora, recompute=True, compile_layers=compiles) for compiles in (False, True)
    )
    last = 2 * 350 * 32 * 8 * 4096  # of the adapter beside the down projection
    assert hardware_flops(compiled, 3) - hardware_flops(plain, 3) == 3 * 4 * last


NORMS = 65 * 4096


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({}, P * (2 + 4 + 12)),
        ({"tensor_parallel": 4}, ((P - NORMS) // 4 + NORMS) * 18),
        ({"tensor_parallel": 2, "pipeline_parallel": 2}, ((P - NORMS) // 2 + NORMS) * 18 // 2),
        ({"distributed_optimizer": True}, P * (2 + 4 + 3)),
    ],
)
def test_state_bytes_of_megatron_on_four_gpus(method: dict[str, object], expected: int) -> None:
    assert state_bytes(megatron_spec(**method)) == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"zero_stage": 0}, P * (2 + 2 + 12)),
        ({"zero_stage": 1}, P * (2 + 2 + 3)),
        ({"zero_stage": 2}, P * 2 + P * 14 // 4),
        ({"zero_stage": 3}, P * 16 // 4),
        ({"zero_stage": 2, "offload_optimizer": True}, P * 2),
        ({"zero_stage": 3, "offload_optimizer": True}, P * 2 // 4),
        ({"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True}, 0),
        ({"quantization": "nf4"}, int((P - UNQUANTIZED) * NF4_BITS / 8 + UNQUANTIZED * 16)),
    ],
)
def test_state_bytes_on_four_gpus(method: dict[str, object], expected: int) -> None:
    assert state_bytes(pretrain_spec(**method)) == expected


def test_on_cpu_offloading_stays_in_the_process() -> None:
    on = hardware(device="cpu")
    kept = pretrain_spec(on, zero_stage=3)
    assert state_bytes(pretrain_spec(on, zero_stage=3, offload_optimizer=True)) == state_bytes(kept) > 0


def test_fp32_has_no_master_copy() -> None:
    spec = pretrain_spec()
    fp32 = spec.model_copy(update={"workload": spec.workload.model_copy(update={"dtype": "fp32"})})
    assert state_bytes(fp32) == P * (4 + 4 + 8)


def test_nf4_takes_little_more_than_four_bits() -> None:
    assert pytest.approx(4.127, abs=5e-4) == NF4_BITS


def test_state_of_7b_exceeds_an_80_gib_gpu_unless_sharded() -> None:
    def fits(spec: PretrainSpec) -> bool:
        return state_bytes(spec) < 80 * 2**30

    assert not fits(pretrain_spec())
    assert fits(pretrain_spec(zero_stage=3))


LORA_7B = 159_907_840
PROMPT = PromptTuning(kind="prompt_tuning")


def test_an_adapter_is_all_that_trains() -> None:
    lora, prompt = finetune_spec(), finetune_spec(adapter=PROMPT)
    assert (count_all(lora), count_trainable(lora)) == (P + LORA_7B, LORA_7B)
    assert (count_all(prompt), count_trainable(prompt)) == (P + 20 * 4096, 20 * 4096)
    assert count_trainable(finetune_spec(quantization="nf4")) == LORA_7B


def test_lora_on_two_projections() -> None:
    lora = Lora(kind="lora", rank=8, targets=["q_proj", "v_proj"])
    assert lora.parameters(LLAMA_70B) == 80 * 8 * (8192 + 8192 + 8192 + 1024)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_lora_saves_the_base_gradients_and_those_of_the_first_inputs(quantization: str) -> None:
    spec = finetune_spec(quantization=quantization)
    weights = P - 32000 * 4096 - 65 * 4096  # the embedding is looked up, norms are no products
    attention = 3 * 4 * 350 * 350 * 4096 * 32
    first_inputs = 2 * 350 * 3 * (4096 * 4096 + 64 * 4096)  # of q, k, v and their rank-64 updates
    assert model_flops(spec, 2) == 2 * 4 * (4 * weights * 350 + 6 * LORA_7B * 350 + attention - first_inputs)


def test_a_prompt_lengthens_the_sequence() -> None:
    weights = P - 32000 * 4096 - 65 * 4096
    assert model_flops(finetune_spec(adapter=PROMPT), 1) == 4 * (4 * weights * 370 + 3 * 4 * 370 * 370 * 4096 * 32)


def test_recomputing_a_lora_layer_stops_at_its_last_matrix() -> None:
    plain, recomputed = finetune_spec(), finetune_spec(recompute=True)
    assert hardware_flops(plain, 1) == model_flops(plain, 1) == model_flops(recomputed, 1)
    forward = 2 * 350 * (P - UNQUANTIZED + LORA_7B - 32 * 64 * 4096) + 4 * 350 * 350 * 4096 * 32
    first_inputs = 2 * 350 * 3 * (4096 * 4096 + 64 * 4096)
    assert hardware_flops(recomputed, 1) - model_flops(recomputed, 1) == 4 * (forward + first_inputs)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({}, P * 2 + LORA_7B * 16),
        ({"zero_stage": 2}, P * 2 + LORA_7B * 2 + LORA_7B * 14 // 4),
        ({"zero_stage": 3}, P * 2 // 4 + LORA_7B * 16 // 4),
        ({"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True}, 0),
        ({"quantization": "nf4"}, int((P - UNQUANTIZED) * NF4_BITS / 8) + UNQUANTIZED * 2 + LORA_7B * 16),
    ],
)
def test_state_bytes_of_fine_tuning(method: dict[str, object], expected: int) -> None:
    assert state_bytes(finetune_spec(**method)) == expected


def test_qlora_of_70b_fits_where_lora_does_not() -> None:
    assert state_bytes(finetune_spec(model=LLAMA_70B, quantization="nf4")) < 60 * 2**30
    assert state_bytes(finetune_spec(model=LLAMA_70B)) > 140 * 2**30
