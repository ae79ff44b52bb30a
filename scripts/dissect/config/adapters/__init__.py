"""Adapters of parameter-efficient fine-tuning: each module here is one kind, and is found because it is here."""

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from dissect.config.adapters.adapter import Adapter


def adapter_kinds() -> list[type[Adapter]]:
    """Every kind that this package has, in the order of their modules."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    classes = [(module, value) for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [
        value
        for module, value in classes
        if issubclass(value, Adapter) and value.__module__ == module.__name__ and not isabstract(value)
    ]


if TYPE_CHECKING:
    AnyAdapter = Adapter
else:
    AnyAdapter = Annotated[Union[tuple(adapter_kinds())], Field(discriminator="kind")]  # noqa: UP007
    """Any adapter, as methods.yaml names it and as a spec keeps it; ``kind`` is always given."""
