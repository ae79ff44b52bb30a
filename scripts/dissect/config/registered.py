"""Registered names as types of the configuration: other names are refused, and editors complete them."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

from dissect.base.registry import DEVICES, ENGINES, FRAMEWORKS, INSPECTIONS
from dissect.config.kinds import OPERATORS

FRAMEWORK_NAMES = (*INSPECTIONS, *FRAMEWORKS, *OPERATORS, *ENGINES)
"""Names of everything that can measure a cell."""
ENVIRONMENT_NAMES = ("train", "train-flash", "client", *FRAMEWORKS, *ENGINES)
"""Names of software environments.

``train-flash`` is for cells that use flash-attn; ``client`` has the load generator and measures serving cells.
"""


def _one_of(names: Collection[str]) -> Any:
    """A type whose values are these names; others are refused as a ``Literal`` refuses them."""

    def check(value: str) -> str:
        if value in names:
            return value
        *most, last = (f"'{name}'" for name in names)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})

    return Annotated[str, AfterValidator(check), WithJsonSchema({"enum": list(names), "type": "string"})]


if TYPE_CHECKING:
    Device = str
    Engine = str
    Framework = str
    EnvironmentName = str
else:
    Device = _one_of(tuple(DEVICES))
    """A device that a platform computes on."""
    Engine = _one_of(tuple(ENGINES))
    """A serving engine."""
    Framework = _one_of(FRAMEWORK_NAMES)
    """A training framework, a family of operators or a serving engine."""
    EnvironmentName = _one_of(ENVIRONMENT_NAMES)
