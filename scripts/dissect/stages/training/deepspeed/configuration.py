"""DeepSpeed's configuration of a cell."""

from typing import Any

from dissect.machine.vendor import vendor_of
from dissect.stages.training.deepspeed.knobs import Stage3Sizes
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec
from dissect.workloads.arithmetic import count_trainable

_STAGE_2_BUCKET = 200_000_000
_DEFAULT_BUCKET = 500_000_000
_STAGE_3_LIMIT = 1_000_000_000
_DECODER_LAYER = "transformers.models.llama.modeling_llama.LlamaDecoderLayer"


def deepspeed_config(spec: DeepSpeedSpec) -> dict[str, Any]:
    """DeepSpeed's configuration of the cell; https://www.deepspeed.ai/docs/config-json/ explains the keys.

    No timer, monitor or printing of DeepSpeed's own takes part in a step.
    """
    return {
        "train_micro_batch_size_per_gpu": spec.workload.batch,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": spec.workload.gradient_clipping,
        **_precision_config(spec),
        "zero_optimization": _zero_config(spec),
        "wall_clock_breakdown": False,
        "timers": {"throughput": {"enabled": False}},
    }


def _precision_config(spec: DeepSpeedSpec) -> dict[str, Any]:
    """The sections of data types: DeepSpeed keeps fp32 master weights in bf16 training unless it is told otherwise.

    Without ZeRO it cannot be told. There it takes the bf16 weights for fp32 ones and steps on them as they are, so that
    the type of the reduced gradients must be named.
    """
    bf16 = spec.workload.dtype == "bf16"
    if not bf16 or spec.method.states == "fp32_master":
        return {"bf16": {"enabled": bf16}}
    if spec.method.zero_stage == 0:
        return {"bf16": {"enabled": False}, "communication_data_type": "bf16"}
    return {"bf16": {"enabled": True, "bf16_master_weights_and_grads": True, "bf16_optimizer_states": True}}


def _zero_config(spec: DeepSpeedSpec) -> dict[str, Any]:
    """The ZeRO section: the authors' buckets or those of the spec, but no bucket is larger than the gradients."""
    method, gradients = spec.method, count_trainable(spec)
    config: dict[str, Any] = {"stage": method.zero_stage}
    if method.zero_stage == 0:
        return config
    by_default = method.zero_stage < 3 and method.stage2_settings == "deepspeed"
    config |= {"overlap_comm": not by_default, "contiguous_gradients": True}
    if method.zero_stage < 3:
        bucket = min(_DEFAULT_BUCKET if by_default else _STAGE_2_BUCKET, gradients)
        config |= {"reduce_scatter": True, "reduce_bucket_size": bucket, "allgather_bucket_size": bucket}
    else:
        config |= _stage3_sizes(spec)
    offload = {"device": "cpu", "pin_memory": vendor_of(spec.hardware).torch_type != "cpu"}
    if method.offload_optimizer:
        config["offload_optimizer"] = offload
    if method.offload_parameters:
        config["offload_param"] = offload
    return config


def _stage3_sizes(spec: DeepSpeedSpec) -> dict[str, Any]:
    """ZeRO-3's sizes in elements, and how it gathers and reduces; what is absent keeps DeepSpeed's default.

    The authors' configuration says ``auto``, which transformers turns into multiples of the hidden size.
    """
    hidden = spec.model.hidden_size
    limits = {
        "sub_group_size": _STAGE_3_LIMIT,
        "stage3_max_live_parameters": _STAGE_3_LIMIT,
        "stage3_max_reuse_distance": _STAGE_3_LIMIT,
    }
    match spec.method.stage3_sizes:
        case "deepspeed":
            return {"reduce_bucket_size": min(_DEFAULT_BUCKET, count_trainable(spec)), **limits}
        case "authors":
            sizes = Stage3Sizes(reduce_bucket=hidden**2, prefetch=int(0.9 * hidden**2), persistence=10 * hidden)
        case Stage3Sizes() as sizes:
            pass
    leaves = {"leaf_module": {"classes": [_DECODER_LAYER]}} if sizes.whole_layers else {}
    return leaves | {
        "reduce_bucket_size": min(sizes.reduce_bucket, count_trainable(spec)),
        "stage3_prefetch_bucket_size": sizes.prefetch,
        "stage3_param_persistence_threshold": sizes.persistence,
        **limits,
        "stage3_max_live_parameters": sizes.max_live,
        "stage3_max_reuse_distance": sizes.max_reuse,
        "overlap_comm": sizes.overlap_comm,
        "contiguous_gradients": sizes.contiguous_gradients,
    }
