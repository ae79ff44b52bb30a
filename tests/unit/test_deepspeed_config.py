"""DeepSpeed's configuration and the choice of kernels, without DeepSpeed."""

from typing import Any

import pytest

from dissect.stages.training.deepspeed.configuration import deepspeed_config
from dissect.stages.training.deepspeed.declaration import constraint
from dissect.workloads.attention_kernels import kernel_of
from factories import finetune_spec, hardware, pretrain_spec


def zero(device: str = "cuda", **method: Any) -> dict[str, Any]:
    section: dict[str, Any] = deepspeed_config(pretrain_spec(hardware(device=device), **method))["zero_optimization"]
    return section


def test_nothing_of_deepspeeds_own_takes_part_in_a_step() -> None:
    assert deepspeed_config(pretrain_spec(batch=3)) == {
        "train_micro_batch_size_per_gpu": 3,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 0.3,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": 0},
        "wall_clock_breakdown": False,
        "timers": {"throughput": {"enabled": False}},
    }


def test_stage_2_has_the_published_buckets() -> None:
    section = zero(zero_stage=2)
    assert section["reduce_bucket_size"] == section["allgather_bucket_size"] == 200_000_000
    assert section["overlap_comm"] is True
    assert "offload_optimizer" not in section


def test_stage_2_with_the_defaults_of_deepspeed_is_as_if_nothing_were_said() -> None:
    section = zero(zero_stage=2, stage2_settings="deepspeed")
    assert section["reduce_bucket_size"] == section["allgather_bucket_size"] == 500_000_000
    assert section["overlap_comm"] is False


def test_stage_3_has_the_published_limits() -> None:
    section = zero(zero_stage=3)
    assert section["sub_group_size"] == section["stage3_max_live_parameters"] == 1_000_000_000
    assert section["stage3_max_reuse_distance"] == 1_000_000_000


def test_settings_of_stage_3_reach_deepspeed() -> None:
    sizes = {
        "reduce_bucket": 5, "prefetch": 6, "persistence": 7, "max_live": 8, "max_reuse": 9, "whole_layers": True,
        "overlap_comm": False, "contiguous_gradients": False,
    }  # fmt: skip
    assert zero(zero_stage=3, stage3_sizes=sizes) == {
        "stage": 3, "sub_group_size": 1_000_000_000,
        "reduce_bucket_size": 5, "stage3_prefetch_bucket_size": 6, "stage3_param_persistence_threshold": 7,
        "stage3_max_live_parameters": 8, "stage3_max_reuse_distance": 9,
        "leaf_module": {"classes": ["transformers.models.llama.modeling_llama.LlamaDecoderLayer"]},
        "overlap_comm": False, "contiguous_gradients": False,
    }  # fmt: skip


def test_whole_layers_on_a_frozen_base_need_recomputation() -> None:
    sizes = {"reduce_bucket": 5, "prefetch": 6, "persistence": 7, "whole_layers": True}
    assert constraint(pretrain_spec(zero_stage=3, stage3_sizes=sizes)) is None
    assert constraint(finetune_spec(zero_stage=3, stage3_sizes=sizes, recompute=True)) is None
    assert constraint(finetune_spec(zero_stage=3, stage3_sizes={**sizes, "whole_layers": False})) is None
    assert "frees weights of whole layers" in str(constraint(finetune_spec(zero_stage=3, stage3_sizes=sizes)))


@pytest.mark.parametrize("stage", [2, 3])
def test_no_bucket_is_larger_than_the_model(stage: int) -> None:
    tiny = pretrain_spec().model.model_copy(update={"num_hidden_layers": 1, "hidden_size": 64, "vocab_size": 100})
    sizes = deepspeed_config(pretrain_spec(model=tiny, zero_stage=stage))["zero_optimization"]
    parameters = 2 * 100 * 64 + 3 * 64 + 4 * 64 * 64 + 3 * 64 * 11008
    assert sizes["reduce_bucket_size"] == parameters


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), ("cpu", False)])
def test_offloading(device: str, pinned: bool) -> None:
    section = zero(device, zero_stage=3, offload_optimizer=True, offload_parameters=True)
    assert section["offload_optimizer"] == section["offload_param"] == {"device": "cpu", "pin_memory": pinned}
    assert "offload_param" not in zero(device, zero_stage=2, offload_optimizer=True)


@pytest.mark.parametrize(
    ("operators", "kernel"),
    [
        (["aten::mm", "aten::_softmax", "aten::_log_softmax"], "eager"),
        (["aten::_scaled_dot_product_flash_attention_for_cpu"], "sdpa_flash"),
        (["aten::_scaled_dot_product_flash_attention", "aten::_flash_attention_forward"], "sdpa_flash"),
        (["aten::_scaled_dot_product_attention_math", "aten::_softmax"], "sdpa_math"),
        (["aten::_scaled_dot_product_efficient_attention"], "sdpa_efficient"),
        (["flash_attn::_flash_attn_forward"], "flash_attention_2"),
        (["flash_attn::_flash_attn_varlen_forward"], "flash_attention_2"),
        (["flash_attn_3::fwd"], "flash_attention_3"),
        (["aten::mm", "aten::_log_softmax"], "unknown"),
    ],
)
def test_kernel_of(operators: list[str], kernel: str) -> None:
    assert kernel_of(operators) == kernel
