"""The base of every Pydantic model in the project."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Immutable, closed (an unknown field is an error), strictly typed (no silent conversion) and finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def added(default: Any) -> Any:
    """A field that joins a spec after cells were measured; ``default`` means what the code did before it.

    The field is written only where its value differs from the default, so that specs without it keep their keys.
    """
    return Field(default=default, exclude_if=lambda value: value == default)
