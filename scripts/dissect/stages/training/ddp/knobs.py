"""What letters turn in PyTorch DDP."""

from dissect.config.knobs import Knobs


class DdpKnobs(Knobs):
    """How DDP keeps gradients."""

    gradient_bucket_view: bool | None = None
    """PyTorch DDP: gradients are views of the communication buckets, in place of copies beside them."""
    compile_layers: bool | None = None
    """PyTorch: compile every decoder layer with ``torch.compile``."""


KNOBS = DdpKnobs
