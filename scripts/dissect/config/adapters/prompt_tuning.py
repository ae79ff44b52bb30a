"""Prompt tuning."""

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
    """Positions that are trained; they come on top of the sequence."""

    @property
    def positions(self) -> int:
        """One per virtual token."""
        return self.virtual_tokens

    def parameters(self, arch: ModelArchitecture) -> int:
        """One embedding per virtual token."""
        return self.virtual_tokens * arch.hidden_size

    def peft_config(self) -> "PeftConfig":
        """PEFT's prompt tuning from random embeddings."""
        from peft import PromptTuningConfig

        return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=self.virtual_tokens)
