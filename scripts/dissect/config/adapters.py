"""Adapters of parameter-efficient fine-tuning, as methods.yaml names them and as a spec keeps them."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from dissect.model import Model


class Lora(Model):
    """Low-rank updates beside linear layers; the defaults are those of the authors' code."""

    kind: Literal["lora"]
    """Low-rank adaptation (Hu et al., 2021)."""
    rank: PositiveInt = 64
    """Inner width."""
    alpha: PositiveInt = 128
    """The update is scaled by alpha / rank."""
    dropout: NonNegativeFloat = 0.0
    """Share of the inputs of each update that is dropped."""
    targets: list[str] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    """Linear layers that get one, by the names of transformers' Llama."""


class PromptTuning(Model):
    """Trained embeddings in front of every sequence."""

    kind: Literal["prompt_tuning"]
    """Prompt tuning (Lester et al., 2021)."""
    virtual_tokens: PositiveInt = 20
    """Positions that are trained; they come on top of the sequence."""


Adapter = Annotated[Lora | PromptTuning, Field(discriminator="kind")]
"""Any adapter; ``kind`` is always given."""
