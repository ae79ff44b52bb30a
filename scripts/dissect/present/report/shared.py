"""Equal parts of many results as one object: thousands of cells differ in a few fields, and the page holds all runs."""

from collections.abc import Iterable
from typing import Any

from dissect.base.model import Model
from dissect.results.cell_runs import CellRuns


class Pool:
    """The parts that were seen, each once; it keeps them all, so that an id stands for a value."""

    def __init__(self) -> None:
        self._seen: dict[Any, Any] = {}

    def runs(self, cell: CellRuns) -> CellRuns:
        """The same runs, with parts that earlier ones have in place of equal ones of their own."""
        runs = tuple(self.part(run) for run in cell.runs)
        return CellRuns(cell.key, runs[0].spec, runs, cell.ids)

    def part(self, value: Any) -> Any:
        """The value with its parts as they were seen first; models are changed in place."""
        parts: Iterable[Any]
        match value:
            case Model():
                fields = value.__dict__
                for name, each in fields.items():
                    fields[name] = self.part(each)
                was_set = value.__pydantic_fields_set__
                # Of two dozen names it takes more room than the values.
                object.__setattr__(value, "__pydantic_fields_set__", self._seen.setdefault(frozenset(was_set), was_set))
                parts = fields.values()
            case list() | tuple():
                value = type(value)(map(self.part, value))
                parts = value
            case dict():
                value = {name: self.part(each) for name, each in value.items()}
                parts = (*value, *value.values())
            case _:
                return self._seen.setdefault((type(value), value), value)
        return self._seen.setdefault((type(value), *map(id, parts)), value)
