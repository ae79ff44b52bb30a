"""Closed lists of values that configuration and specs share."""

from typing import Literal

DType = Literal["bf16", "fp32"]
FlashKernel = Literal["sdpa_flash", "flash_attention_2", "flash_attention_3"]
AttentionKernel = Literal["eager", "sdpa_flash", "flash_attention_2", "flash_attention_3"]
DeviceOptimizer = Literal["torch_adamw", "deepspeed_fused_adam"]
Optimizer = Literal["torch_adamw", "deepspeed_fused_adam", "deepspeed_cpu_adam"]
TorchOptimizer = Literal["torch_adamw", "torch_adamw_foreach", "torch_adamw_loop"]
"""PyTorch's AdamW in one fused kernel, in a few kernels over all parameters, or in several kernels per parameter."""
States = Literal["bf16", "fp32_master"]
"""Optimizer states with bf16 weights: gradients and moments in bf16, or fp32 master weights and moments."""
Quantization = Literal["none", "nf4"]
ZeroStage = Literal[0, 1, 2, 3]
LayerSpec = Literal["local", "transformer_engine"]
Stage = Literal["inspect", "pretrain", "finetune", "profile", "operators", "serve"]
STAGE_TITLES: dict[Stage, str] = {
    "inspect": "Platforms",
    "pretrain": "Pre-training",
    "profile": "Training steps taken apart",
    "finetune": "Fine-tuning",
    "serve": "Serving",
    "operators": "Operators",
}
"""Headings of the stages, in the paper's order."""
LETTER_STAGES: tuple[Stage, ...] = ("pretrain", "finetune", "profile")
"""Stages whose methods are the paper's letters."""
OperatorFamily = Literal["gemm", "memcpy", "collectives", "attention"]
OPERATORS: dict[OperatorFamily, tuple[str, ...]] = {
    "gemm": ("layers", "square"),
    "memcpy": (
        "host_to_host",
        "host_to_device_pinned",
        "host_to_device_pageable",
        "device_to_host_pinned",
        "device_to_host_pageable",
        "device_to_device",
    ),
    "collectives": ("all_reduce", "all_gather", "reduce_scatter"),
    "attention": ("eager", "sdpa_math", "sdpa_efficient", "sdpa_flash", "flash_attention_2"),
}
"""Family -> its operators, which are the methods of its cells."""
OPERATORS_OF_A_MODEL = ("layers", *OPERATORS["attention"])
"""Operators whose shapes come from a model."""
Policy = Literal["tuned", "aligned", "defaults"]
"""Settings of a serving engine: what its documentation recommends, those that all engines share, or none."""
Pinning = Literal["none", "gpu"]
"""Cores that a rank runs on: all that its job has, or of these the ones next to its GPU."""
PythonMinor = Literal["3.11", "3.12"]
Suite = Literal["smoke", "full"]
