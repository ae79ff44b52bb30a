"""What a cell can be measured with, by name: one line for each device, training framework and serving engine.

A line names the package or module that holds everything about it. Nothing imports these by name: whoever needs one
loads it from here, so that adding one is its own files and a line.
"""

DEVICES = {
    "cpu": "dissect.machine.cpu",
    "cuda": "dissect.machine.nvidia",
}
"""What a platform may have as its ``device``: modules with a ``VENDOR``."""

FRAMEWORKS = {
    "deepspeed": "dissect.stages.training.deepspeed",
    "megatron": "dissect.stages.training.megatron",
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
