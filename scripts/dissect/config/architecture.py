"""config/models/*.yaml: a Llama-like decoder."""

from pydantic import PositiveFloat, PositiveInt

from dissect.model import Model


class ModelArchitecture(Model):
    """Sizes of a Llama-like decoder; the head is not tied to the embedding."""

    vocab_size: PositiveInt
    """Tokens in the vocabulary."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    intermediate_size: PositiveInt
    """Width of the gated MLP."""
    num_hidden_layers: PositiveInt
    """Decoder layers."""
    num_attention_heads: PositiveInt
    """Query heads."""
    num_key_value_heads: PositiveInt
    """Key and value heads; fewer than query heads means grouped-query attention."""
    max_position_embeddings: PositiveInt
    """Longest sequence, in tokens."""
    rms_norm_eps: PositiveFloat
    """Epsilon of RMSNorm."""
    rope_theta: PositiveFloat
    """Base of the rotary embedding."""


class ModelFile(Model):
    """One model: a label, and the architecture in the field names of transformers' ``LlamaConfig``."""

    label: str
    """Name in tables and figures."""
    source: str
    """Where the numbers come from."""
    architecture: ModelArchitecture
    """What is built, with random weights."""
