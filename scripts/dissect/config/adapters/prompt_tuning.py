"""Prompt tuning: trained embeddings in front of every sequence."""

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import ModelArchitecture

if TYPE_CHECKING:
    from peft import PeftConfig


class PromptTuning(Adapter):
    """Trained embeddings in front of every sequence."""

    kind: Literal["prompt_tuning"]
    """Prompt tuning (Lester et al., 2021)."""
    virtual_tokens: PositiveInt = 20
    """Number of trained positions in front of the sequence, in addition to its tokens."""

    @property
    def positions(self) -> int:
        """Number of trained positions: one per virtual token."""
        return self.virtual_tokens

    def parameters(self, arch: ModelArchitecture) -> int:
        """Number of parameters: one embedding per virtual token."""
        return self.virtual_tokens * arch.hidden_size

    def peft_config(self) -> "PeftConfig":
        """PEFT's configuration of prompt tuning, with random initial embeddings."""
        from peft import PromptTuningConfig

        return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=self.virtual_tokens)
