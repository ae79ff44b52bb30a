"""config/models/*.yaml: a Llama-like decoder."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.config.names import Label

AttentionLayer = Literal["q_proj", "k_proj", "v_proj", "o_proj"]
MlpLayer = Literal["gate_proj", "up_proj", "down_proj"]
LinearLayer = Literal[AttentionLayer, MlpLayer]
"""Linear layers of a decoder layer, by the names of transformers' Llama."""
ATTENTION_LAYERS: tuple[AttentionLayer, ...] = get_args(AttentionLayer)
MLP_LAYERS: tuple[MlpLayer, ...] = get_args(MlpLayer)
LINEAR_LAYERS: tuple[LinearLayer, ...] = get_args(LinearLayer)


class ModelArchitecture(Model):
    """Sizes of a Llama-like decoder; the embedding and the head are not tied."""

    vocab_size: PositiveInt
    """Number of tokens in the vocabulary."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    intermediate_size: PositiveInt
    """Width of the gated MLP."""
    num_hidden_layers: Annotated[int, Field(gt=0, le=1000)]
    """Number of decoder layers."""
    num_attention_heads: PositiveInt
    """Number of query heads."""
    num_key_value_heads: PositiveInt
    """Number of key and value heads; fewer than query heads means grouped-query attention."""
    max_position_embeddings: PositiveInt
    """Longest sequence of the model, in tokens."""
    rms_norm_eps: PositiveFloat
    """Epsilon of RMSNorm."""
    rope_theta: PositiveFloat
    """Base of the rotary position embedding."""

    @model_validator(mode="after")
    def _heads_are_whole(self) -> Self:
        width, heads, key_value_heads = self.hidden_size, self.num_attention_heads, self.num_key_value_heads
        if width % (2 * heads):
            raise ValueError(
                f"'hidden_size' is {width}, no multiple of twice 'num_attention_heads' ({heads}): the rotary position "
                "embedding needs heads of an even width"
            )
        if heads % key_value_heads:
            raise ValueError(
                f"'num_attention_heads' is {heads}, no multiple of 'num_key_value_heads' ({key_value_heads})"
            )
        return self

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


class ModelFile(Model):
    """A model: its label, and its architecture in the field names of transformers' ``LlamaConfig``."""

    label: Label
    """Name of the model in tables and figures."""
    source: str
    """Source of the sizes, such as a paper or a model card."""
    architecture: ModelArchitecture
    """Architecture that is built, with random weights."""


def linear_sizes(arch: ModelArchitecture) -> dict[LinearLayer, tuple[int, int]]:
    """Shapes (in, out) of the linear layers of a decoder layer, by name."""
    hidden, inner = arch.hidden_size, arch.intermediate_size
    kv_width = arch.num_key_value_heads * arch.head_size
    return {
        "q_proj": (hidden, hidden), "k_proj": (hidden, kv_width), "v_proj": (hidden, kv_width),
        "o_proj": (hidden, hidden), "gate_proj": (hidden, inner), "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }  # fmt: skip
