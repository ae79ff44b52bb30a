"""Models that grow: which there are, and how a field is written into the sources of a copy of the library."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from dissect.base.model import Model
from dissect.base.registry import FRAMEWORKS
from dissect.cells.exported import ExportManifest
from dissect.cells.frameworks import framework
from dissect.cells.spec import InspectSpec, OperatorSpec, ServeSpec
from dissect.results.result import Result


def models_within(model: type[Model]) -> Iterator[type[Model]]:
    """A model of the library, those that it extends, and all that its fields hold."""
    yield from (base for base in model.__mro__ if issubclass(base, Model) and base is not Model)
    for field in model.model_fields.values():
        for inner in classes_in(field.annotation):
            yield from models_within(inner)


def classes_in(annotation: Any) -> Iterator[type[Model]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from classes_in(argument)


_TRAINING = [stage.spec for name in FRAMEWORKS for stage in framework(name).stages.values()]
SPEC_MODELS = {
    model.__name__: model
    for spec in (InspectSpec, OperatorSpec, ServeSpec, *_TRAINING)
    for model in models_within(spec)
}
"""Of specs: what a key is made of."""
MODELS = SPEC_MODELS | {m.__name__: m for stored in (Result, ExportManifest) for m in models_within(stored)}
"""Of specs, results and exports, by name."""


def add_field(scripts: Path, name: str, field: str, default: str | None = None) -> None:
    """Write one more field into a model's source, right below its docstring, as docs/extending.md says."""
    path = scripts / Path(*MODELS[name].__module__.split(".")).with_suffix(".py")
    source = path.read_text()
    (found,) = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ClassDef) and n.name == name]
    lines = source.splitlines(keepends=True)
    default = default or ("added(None)" if name in SPEC_MODELS else "None")
    lines.insert(found.body[0].end_lineno or 0, f"    {field}: int | None = {default}\n")
    imports = next(number for number, line in enumerate(lines) if line.startswith(("from ", "import ")))
    lines.insert(imports, "from dissect.base.model import added\n")
    path.write_text("".join(lines))
