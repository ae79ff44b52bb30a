"""A predicted number with its interval."""

from typing import Generic, NamedTuple, TypeVar

Size = TypeVar("Size", int, float)


class PredictedValue(NamedTuple, Generic[Size]):
    """What is expected, and the ends of its interval."""

    value: Size
    low: Size
    high: Size
