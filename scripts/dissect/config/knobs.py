"""What letters can turn, whatever the framework; each framework adds its own in ``knobs.py`` of its package."""

from dissect.base.model import Model
from dissect.config.adapters import AnyAdapter


class Knobs(Model):
    """Of every training framework; None keeps the framework's default."""

    flash_attention: bool | None = None
    """Attention by the platform's FlashAttention kernel in place of transformers' ``eager``."""
    recompute: bool | None = None
    """Recompute the activations of every decoder layer in the backward pass."""


class AdapterKnobs(Knobs):
    """Of a framework that fine-tunes."""

    adapter: AnyAdapter | None = None
    """What trains in fine-tuning, on a frozen base."""
