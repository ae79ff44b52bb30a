"""Reading a spec of any stage from JSON: its stage and framework determine its model."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag, TypeAdapter

from dissect.base.registry import FRAMEWORKS
from dissect.cells.frameworks import framework
from dissect.cells.spec import InspectSpec, OperatorSpec, ServeSpec, Spec

_TRAINING = {f"{stage}/{name}": kind.spec for name in FRAMEWORKS for stage, kind in framework(name).stages.items()}
_SPECS = {"operators": OperatorSpec, "serve": ServeSpec, "inspect": InspectSpec, **_TRAINING}


def _tag(value: Any) -> str | None:
    """Tag of a spec: its stage, or ``stage/framework`` for training."""
    known = value if isinstance(value, dict) else {name: getattr(value, name, None) for name in ("stage", "framework")}
    stage = known.get("stage")
    return stage if isinstance(stage, str) and stage in _SPECS else f"{stage}/{known.get('framework')}"


if TYPE_CHECKING:
    AnySpec = Spec
else:
    AnySpec = Annotated[
        Union[tuple(Annotated[kind, Tag(tag)] for tag, kind in _SPECS.items())],  # noqa: UP007
        Discriminator(_tag),
    ]
    """A spec of any stage, as a field of a model."""

_SPEC: TypeAdapter[Spec] = TypeAdapter(AnySpec)


def parse_spec(text: str | bytes) -> Spec:
    """Read a spec from JSON.

    Raises:
        pydantic.ValidationError: the text is not JSON, or not a valid spec.
    """
    return _SPEC.validate_json(text)
