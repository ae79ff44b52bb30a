"""The interface of an adapter. Specs, formulas and runners know every kind through this interface only."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dissect.base.model import Model
from dissect.config.architecture import LinearLayer, ModelArchitecture

if TYPE_CHECKING:
    from peft import PeftConfig


class Adapter(Model, ABC):
    """An adapter that trains on a frozen base. Its fields are its parameters in methods.yaml, with their defaults."""

    kind: str
    """Name of this kind of adapter in methods.yaml; a literal that no other kind uses."""

    @abstractmethod
    def parameters(self, arch: ModelArchitecture) -> int:
        """Number of parameters that the adapter adds to the model; all of them train."""

    @abstractmethod
    def peft_config(self) -> "PeftConfig":
        """PEFT's configuration of the adapter; called in ranks only, so PEFT is imported here and nowhere else."""

    @property
    def positions(self) -> int:
        """Number of trained positions that the adapter adds in front of every sequence."""
        return 0

    def products(self, arch: ModelArchitecture) -> Mapping[LinearLayer, tuple[int, ...]]:  # noqa: ARG002
        """Matrices that the adapter trains: linear layer of a decoder layer -> sizes in elements, in order of use.

        The first matrix is multiplied with the layer's input. A layer that is changed without a matrix has an empty
        tuple.
        """
        return {}
