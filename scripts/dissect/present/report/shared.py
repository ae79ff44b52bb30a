"""Equal parts of many results as one object: thousands of cells differ in a few fields, and the page holds all runs."""

from typing import Any, TypeVar

from pydantic_core import to_json

from dissect.base.model import Model

M = TypeVar("M", bound=Model)


class Pool:
    """The parts that were seen, each once."""

    def __init__(self) -> None:
        self._seen: dict[Any, Any] = {}

    def part(self, value: M) -> M:
        """The model that was seen first with its fields; one that has models in it, changed in place to share those."""
        fields, was_set = vars(value), value.__pydantic_fields_set__
        # Of two dozen names it takes more room than the values.
        object.__setattr__(value, "__pydantic_fields_set__", self._seen.setdefault(frozenset(was_set), was_set))
        parts: dict[str, Any] = {}
        for name, each in fields.items():
            if isinstance(each, Model):
                parts[name] = self.part(each)
            elif isinstance(each, list) and each and isinstance(each[0], Model):
                parts[name] = [self.part(one) for one in each]
        fields.update(parts)
        return value if parts else self._seen.setdefault((type(value), to_json(value)), value)
