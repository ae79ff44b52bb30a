"""Registries by name: one line for each device, training framework and serving engine.

A line names the package or module that contains everything about it. No other code imports these modules by name; it
loads them from here, so that adding one takes its own files and one line.
"""

DEVICES = {
    "cpu": "dissect.machine.cpu",
    "cuda": "dissect.machine.nvidia",
}
"""Devices of platforms: each module defines a ``VENDOR``."""

FRAMEWORKS = {
    "deepspeed": "dissect.stages.training.deepspeed",
    "megatron": "dissect.stages.training.megatron",
    "ddp": "dissect.stages.training.ddp",
    "fsdp": "dissect.stages.training.fsdp",
}
"""Training frameworks: packages with ``knobs``, ``declaration`` and the runners that the declaration names."""

ENGINES = {
    "vllm": "dissect.stages.serving.engines.vllm",
    "lightllm": "dissect.stages.serving.engines.lightllm",
    "tgi": "dissect.stages.serving.engines.tgi",
    "transformers": "dissect.stages.serving.engines.transformers",
    "sglang": "dissect.stages.serving.engines.sglang",
}
"""Serving engines: each module defines an ``ENGINE``."""

OPERATORS = "dissect.stages.operators.declaration"
"""The module whose ``FAMILIES`` are the families of operators."""

INSPECTIONS = {"system": "dissect.stages.inspection.system"}
"""Inspections of a node: modules that record its hardware."""
