"""Specs of cells as the configuration would make them."""

from typing import Any

from dissect.cells.engines import engine_facts
from dissect.cells.spec import (
    EngineSettings,
    Hardware,
    InspectSpec,
    ModelArchitecture,
    OperatorSampling,
    OperatorSpec,
    OperatorWorkload,
    ProfileWorkload,
    Sampling,
    ServeSampling,
    ServeSpec,
    ServeWorkload,
    Software,
    TrainingMethod,
    TrainingSpec,
    TrainingWorkload,
    canonical_spec,
    spec_key,
)
from dissect.config.adapters import AnyAdapter
from dissect.config.adapters.lora import Lora
from dissect.config.kinds import OPERATORS, OPERATORS_OF_A_MODEL
from dissect.stages.training.ddp.spec import DdpMethod, DdpPretrainSpec, DdpProfileSpec
from dissect.stages.training.deepspeed.spec import DeepSpeedMethod, FinetuneSpec, PretrainSpec, ProfileSpec
from dissect.stages.training.fsdp.spec import FsdpFinetuneMethod, FsdpFinetuneSpec, FsdpMethod, FsdpPretrainSpec
from dissect.stages.training.megatron.spec import MegatronMethod, MegatronSpec

GIB = 2**30
Spec = TrainingSpec | ServeSpec | InspectSpec | OperatorSpec

LLAMA_7B = ModelArchitecture(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=32, max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0,
)  # fmt: skip
LLAMA_13B = LLAMA_7B.model_copy(
    update={
        "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
        "num_key_value_heads": 40,
    }
)  # fmt: skip
LLAMA_70B = LLAMA_7B.model_copy(
    update={
        "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
        "num_key_value_heads": 8,
    }
)  # fmt: skip
PARAMETERS_7B = 6_738_415_616


def hardware(gpu_model: str = "NVIDIA H200", n_gpus: int = 4, device: str = "cuda") -> Hardware:
    """A node with GPUs of 140 GiB."""
    return Hardware.model_validate(
        {
            "device": device, "gpu_model": gpu_model, "n_gpus": n_gpus, "n_nodes": 1, "interconnect": "NVLink",
            "environment": {}, "device_memory_bytes": 140 * GIB, "host_memory_bytes": 512 * GIB,
        }
    )  # fmt: skip


def pretrain_spec(
    on: Hardware | None = None,
    *,
    batch: int | str = 1,
    seq_len: int = 350,
    model: ModelArchitecture = LLAMA_7B,
    **method: Any,
) -> PretrainSpec:
    """A pre-training cell; keywords that are not named are knobs of the method."""
    knobs: dict[str, Any] = {
        "attention": "eager", "recompute": False, "zero_stage": 0, "offload_optimizer": False,
        "offload_parameters": False, "quantization": "none", "optimizer": "deepspeed_fused_adam",
    }  # fmt: skip
    return PretrainSpec(
        framework="deepspeed",
        hardware=on or hardware(),
        software=Software(python="3.12", lock_sha256="0" * 64),
        model=model,
        method=DeepSpeedMethod.model_validate(knobs | method),
        workload=TrainingWorkload.model_validate(
            {"seq_len": seq_len, "batch": batch, "dtype": "bf16", "gradient_clipping": 0.3, "seed": 0}
        ),
        sampling=Sampling(
            warmup_min_steps=3, warmup_max_steps=20, min_steps=10, max_steps=200, interval_target=0.01, budget_s=600.0
        ),
        protocol=1,
    )


def profile_spec(on: Hardware | None = None, *, batch: int = 1, **method: Any) -> ProfileSpec:
    """The same cell, to be taken apart."""
    spec = pretrain_spec(on, batch=batch, **method)
    workload = ProfileWorkload(**spec.workload.model_dump())
    return ProfileSpec.model_validate(spec.model_dump() | {"stage": "profile", "workload": workload})


def finetune_spec(on: Hardware | None = None, *, adapter: AnyAdapter | None = None, **pretraining: Any) -> FinetuneSpec:
    """A fine-tuning cell, of LoRA unless said otherwise; other keywords are those of ``pretrain_spec``."""
    fields = pretrain_spec(on, **pretraining).model_dump(exclude={"stage"})
    fields["method"]["adapter"] = (adapter or Lora(kind="lora")).model_dump()
    return FinetuneSpec.model_validate(fields)


def megatron_spec(on: Hardware | None = None, **fields: Any) -> MegatronSpec:
    """The same with Megatron-LM, on every GPU a replica; keywords are those of ``pretrain_spec``."""
    knobs: dict[str, Any] = {
        "tensor_parallel": 1, "pipeline_parallel": 1, "sequence_parallel": False, "distributed_optimizer": False,
        "layer_spec": "local",
    }  # fmt: skip
    return MegatronSpec.model_validate(_like_pretraining("megatron", MegatronMethod, on, knobs | fields))


def ddp_spec(on: Hardware | None = None, **fields: Any) -> DdpPretrainSpec:
    """The same with PyTorch DDP and bf16 states; keywords are those of ``pretrain_spec``."""
    knobs: dict[str, Any] = {"states": "bf16", "gradient_bucket_view": False, "optimizer": "torch_adamw"}
    return DdpPretrainSpec.model_validate(_like_pretraining("ddp", DdpMethod, on, knobs | fields))


def ddp_profile_spec(on: Hardware | None = None, **fields: Any) -> DdpProfileSpec:
    """The same cell of DDP, to be taken apart."""
    spec = ddp_spec(on, **fields)
    workload = ProfileWorkload(**spec.workload.model_dump())
    return DdpProfileSpec.model_validate(spec.model_dump() | {"stage": "profile", "workload": workload})


def fsdp_spec(on: Hardware | None = None, **fields: Any) -> FsdpPretrainSpec:
    """The same with PyTorch FSDP2; keywords are those of ``pretrain_spec``."""
    return FsdpPretrainSpec.model_validate(_like_pretraining("fsdp", FsdpMethod, on, FSDP | fields))


def fsdp_finetune_spec(on: Hardware | None = None, *, adapter: AnyAdapter | None = None, **fields: Any) -> Any:
    """A fine-tuning cell of FSDP2, of LoRA unless said otherwise."""
    knobs = FSDP | {"adapter": adapter or Lora(kind="lora")} | fields
    return FsdpFinetuneSpec.model_validate(_like_pretraining("fsdp", FsdpFinetuneMethod, on, knobs))


FSDP = {"cpu_offload": False, "quantization": "none", "optimizer": "torch_adamw"}


def _like_pretraining(
    framework: str, method: type[TrainingMethod], on: Hardware | None, fields: dict[str, Any]
) -> dict[str, Any]:
    """A pre-training cell of another framework; fields that its method has not are those of ``pretrain_spec``."""
    own = {name: value for name, value in fields.items() if name in method.model_fields}
    like = pretrain_spec(on, **{name: value for name, value in fields.items() if name not in own})
    parts = {name: getattr(like, name) for name in ("hardware", "software", "model", "workload", "sampling")}
    knobs = {"attention": "eager", "recompute": False} | own
    return parts | {"framework": framework, "method": method.model_validate(knobs), "protocol": 1}


def inspect_spec(on: Hardware | None = None) -> InspectSpec:
    """What Table I measures."""
    return InspectSpec(framework="system", hardware=on or hardware(), software=Software(python="3.12"), protocol=1)


ALIGNED = {
    "max_sequences": 256, "memory_share": 0.9, "chunked_prefill": True, "cache_reserve_gib": 3.0,
    "prefill_tokens": 8192, "graph_sequences": 256,
}  # fmt: skip


def serve_spec(
    on: Hardware | None = None,
    *,
    engine: str = "vllm",
    aligned: bool = True,
    model: ModelArchitecture = LLAMA_7B,
    **load: Any,
) -> ServeSpec:
    """A serving cell; keywords that are not named are fields of the load."""
    settings = {name: value for name, value in ALIGNED.items() if aligned and name in engine_facts(engine).adjustable}
    knobs: dict[str, Any] = dict.fromkeys(("max_sequences", "memory_share", "chunked_prefill"))
    return ServeSpec.model_validate(
        {
            "framework": engine, "hardware": on or hardware(n_gpus=1), "software": Software(versions={engine: "1.0"}),
            "client": Software(python="3.12", lock_sha256="0" * 64), "model": model,
            "settings": EngineSettings.model_validate(knobs | settings),
            "workload": ServeWorkload.model_validate({"requests": 40} | load), "sampling": ServeSampling(),
            "protocol": 1,
        }
    )  # fmt: skip


def operator_spec(
    operator: str, on: Hardware | None = None, sizes: tuple[int, ...] = (1024, 4096), **changes: Any
) -> OperatorSpec:
    """An operator of any family over two sizes; keywords replace fields of the spec."""
    [family] = [family for family, known in OPERATORS.items() if operator in known]
    fields: dict[str, Any] = {
        "framework": family, "operator": operator,
        "hardware": on or hardware(n_gpus=4 if family == "collectives" else 1),
        "software": Software(python="3.12", lock_sha256="0" * 64),
        "model": LLAMA_7B if operator in OPERATORS_OF_A_MODEL else None,
        "workload": OperatorWorkload(sizes=list(sizes)), "sampling": OperatorSampling(), "protocol": 1,
    }  # fmt: skip
    return OperatorSpec.model_validate(fields | changes)


def key_of(spec: Spec) -> str:
    """The cell's key."""
    return spec_key(canonical_spec(spec))
