"""What an adapter says of itself. Specs, formulas and runners know every kind through this alone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dissect.base.model import Model
from dissect.config.architecture import LinearLayer, ModelArchitecture

if TYPE_CHECKING:
    from peft import PeftConfig


class Adapter(Model, ABC):
    """What trains on a frozen base. Fields are its parameters in methods.yaml, defaults included."""

    kind: str
    """A literal of its own, by which methods.yaml names it."""

    @abstractmethod
    def parameters(self, arch: ModelArchitecture) -> int:
        """Parameters that it adds to the model, all of which train."""

    @abstractmethod
    def peft_config(self) -> "PeftConfig":
        """How PEFT puts it into a model; called in ranks only, so PEFT is imported here and nowhere else."""

    @property
    def positions(self) -> int:
        """Trained positions in front of every sequence, on top of its tokens."""
        return 0

    def products(self, arch: ModelArchitecture) -> Mapping[LinearLayer, tuple[int, ...]]:  # noqa: ARG002
        """Linear layers of a decoder layer that it trains beside -> sizes of its matrices there, in order of use.

        The first is multiplied with the layer's input. A layer that is changed without a matrix has an empty tuple.
        """
        return {}
