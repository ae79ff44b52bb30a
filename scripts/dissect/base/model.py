"""The base of every Pydantic model in the project."""

import ast
import inspect
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Model(BaseModel):
    """Immutable, closed (an unknown field is an error), strictly typed (no silent conversion) and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The JSON Schema of the model, with the docstrings of its fields as descriptions.

        Pydantic's ``use_attribute_docstrings`` reads them whenever a model is imported, which is half of the time that
        the import takes.
        """
        found = handler(schema)
        fields = handler.resolve_ref_schema(found)["properties"]
        for name, text in dict(_docstrings(cls)).items():
            own = handler.resolve_ref_schema(fields[name]).get("description")
            if text != own:
                fields[name]["description"] = text
        return found


def _docstrings(model: type[Model]) -> Iterator[tuple[str, str]]:
    """Name and docstring of each field, those of base classes first."""
    for base in reversed(model.__mro__):
        if not issubclass(base, Model):
            continue
        with suppress(OSError):  # a model that ``create_model`` made has no source
            (tree,) = ast.parse(dedent(inspect.getsource(base))).body
            for field, said in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
                match field, said:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        yield name, inspect.cleandoc(text)


def added(default: Any) -> Any:
    """A field that joins a spec after cells were measured; ``default`` means what the code did before it.

    The field is written only where its value differs from the default, so that specs without it keep their keys.
    """
    return Field(default=default, exclude_if=lambda value: value == default)
