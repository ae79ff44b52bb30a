"""The base of every Pydantic model in the project."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Immutable, closed (an unknown field is an error) and strictly typed (no silent conversion)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
