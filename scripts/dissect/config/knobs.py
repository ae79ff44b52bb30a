"""Knobs that letters set in every framework; each framework adds its own in ``knobs.py`` of its package."""

from dissect.base.model import Model
from dissect.config.adapters import AnyAdapter
from dissect.config.kinds import States


class Knobs(Model):
    """Knobs of every training framework; None keeps the framework's default."""

    flash_attention: bool | None = None
    """Whether attention uses the platform's FlashAttention kernel in place of transformers' ``eager``."""
    recompute: bool | None = None
    """Whether the backward pass recomputes the activations of every decoder layer."""
    states: States | None = None
    """Optimizer states with bf16 weights: ``bf16`` gradients and moments, or ``fp32_master`` weights and moments."""


class AdapterKnobs(Knobs):
    """Knobs of a framework that supports fine-tuning."""

    adapter: AnyAdapter | None = None
    """Adapter that fine-tuning trains on a frozen base."""
