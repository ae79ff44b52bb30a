"""What letters turn in DeepSpeed."""

from dissect.config.kinds import Quantization, ZeroStage
from dissect.config.knobs import AdapterKnobs


class DeepSpeedKnobs(AdapterKnobs):
    """ZeRO, offloading and the 4-bit base."""

    zero_stage: ZeroStage | None = None
    """DeepSpeed ZeRO stage; 0 is plain data parallel."""
    offload_optimizer: bool | None = None
    """Keep optimizer states in host memory and step there."""
    offload_parameters: bool | None = None
    """Keep parameters in host memory."""
    quantization: Quantization | None = None
    """``nf4``: 4-bit base with double quantisation."""


KNOBS = DeepSpeedKnobs
