"""Names of ranges in a trace, and of the parts into which a step is dissected."""

from dissect.base.outcome import Phase

_PREFIX = "dissect/"
STEP = f"{_PREFIX}step"
ATTENTION_FUNCTION = "attention_function"
GRADIENTS, OPTIMIZER, UNATTRIBUTED = "gradients", "optimizer", "unattributed"
"""Parts that are no module: work on a parameter's gradient, the optimizer's step, and work without attribution."""
DECODER_LAYER, ATTENTION, ATTENTION_CORE = "decoder_layer", "attention", "attention_core"
"""Groups of parts: the decoder layer, its attention module, and that module's attention function."""

OWN_WORK = {
    "decoder_layer": "residual",
    "attention": "attention_rest",
    "mlp": "silu",
    "model": "mask",
    "causal_model": "head",
}
"""Region with inner regions -> the part of its own operators: a layer adds the residuals, the attention reshapes, the
MLP multiplies gate and up projection, the model makes mask and positions and selects the head's input."""


def phase_range(phase: Phase) -> str:
    """Name of the range around a phase of the step."""
    return f"{_PREFIX}phase/{phase}"


def region_range(region: str) -> str:
    """Name of the range around a module or function."""
    return f"{_PREFIX}region/{region}"


def region_of(name: str) -> str | None:
    """The region that a range encloses; None for any other range."""
    prefix = region_range("")
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def phase_of(name: str) -> Phase | None:
    """The phase that a range encloses; None for any other range."""
    prefix = f"{_PREFIX}phase/"
    return Phase(name.removeprefix(prefix)) if name.startswith(prefix) else None
