"""config/models/*.yaml: a Llama-like decoder."""

from typing import Literal, get_args

from pydantic import PositiveFloat, PositiveInt

from dissect.base.model import Model

AttentionLayer = Literal["q_proj", "k_proj", "v_proj", "o_proj"]
MlpLayer = Literal["gate_proj", "up_proj", "down_proj"]
LinearLayer = Literal[AttentionLayer, MlpLayer]
"""Linear layers of a decoder layer, by the names of transformers' Llama."""
ATTENTION_LAYERS: tuple[AttentionLayer, ...] = get_args(AttentionLayer)
MLP_LAYERS: tuple[MlpLayer, ...] = get_args(MlpLayer)
LINEAR_LAYERS: tuple[LinearLayer, ...] = get_args(LinearLayer)


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

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.hidden_size // self.num_attention_heads


class ModelFile(Model):
    """One model: a label, and the architecture in the field names of transformers' ``LlamaConfig``."""

    label: str
    """Name in tables and figures."""
    source: str
    """Where the numbers come from."""
    architecture: ModelArchitecture
    """What is built, with random weights."""


def linear_sizes(arch: ModelArchitecture) -> dict[LinearLayer, tuple[int, int]]:
    """(in, out) of each linear layer of a decoder layer."""
    hidden, inner = arch.hidden_size, arch.intermediate_size
    kv_width = arch.num_key_value_heads * arch.head_size
    return {
        "q_proj": (hidden, hidden), "k_proj": (hidden, kv_width), "v_proj": (hidden, kv_width),
        "o_proj": (hidden, hidden), "gate_proj": (hidden, inner), "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }  # fmt: skip
