"""LoRA; on a 4-bit base it is QLoRA."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import LINEAR_LAYERS, LinearLayer, ModelArchitecture, linear_sizes
from dissect.config.names import check_unique

if TYPE_CHECKING:
    from peft import PeftConfig

Targets = Annotated[list[LinearLayer], AfterValidator(check_unique), Field(min_length=1)]


class Lora(Adapter):
    """Low-rank updates beside linear layers; the defaults are those of the authors' code."""

    kind: Literal["lora"]
    """Low-rank adaptation (Hu et al., 2021)."""
    rank: PositiveInt = 64
    """Rank of the updates: the inner width of their two matrices."""
    alpha: PositiveInt = 128
    """Numerator of the scale alpha / rank of each update."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability of the inputs of each update."""
    targets: Targets = list(LINEAR_LAYERS)
    """Linear layers that get an update, by the names of transformers' Llama."""

    def parameters(self, arch: ModelArchitecture) -> int:
        """Number of parameters: two matrices, in x rank and rank x out, beside each target of each layer."""
        return arch.num_hidden_layers * sum(map(sum, self.products(arch).values()))

    def products(self, arch: ModelArchitecture) -> Mapping[LinearLayer, tuple[int, ...]]:
        """Sizes of the two matrices, in x rank and rank x out, beside each target."""
        sizes = linear_sizes(arch)
        return {target: (self.rank * sizes[target][0], self.rank * sizes[target][1]) for target in self.targets}

    def peft_config(self) -> "PeftConfig":
        """PEFT's configuration of LoRA, without biases."""
        from peft import LoraConfig

        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
        )
