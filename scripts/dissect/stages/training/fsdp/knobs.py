"""What letters turn in PyTorch FSDP2."""

from dissect.config.kinds import Quantization
from dissect.config.knobs import AdapterKnobs


class FsdpKnobs(AdapterKnobs):
    """Offloading and the 4-bit base."""

    cpu_offload: bool | None = None
    """PyTorch FSDP2: keep parameters, gradients and optimizer states in host memory and step there."""
    quantization: Quantization | None = None
    """``nf4``: 4-bit base with double quantisation."""
    compile_layers: bool | None = None
    """PyTorch: compile every decoder layer with ``torch.compile``."""


KNOBS = FsdpKnobs
