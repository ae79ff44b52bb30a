"""A spec of any stage, read from JSON by what its stage and framework declare."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag, TypeAdapter

from dissect.base.registry import FRAMEWORKS
from dissect.cells.frameworks import framework
from dissect.cells.spec import InspectSpec, OperatorSpec, ServeSpec, Spec

_TRAINING = {f"{stage}/{name}": kind.spec for name in FRAMEWORKS for stage, kind in framework(name).stages.items()}
_SPECS = {"operators": OperatorSpec, "serve": ServeSpec, "inspect": InspectSpec, **_TRAINING}


def _tag(value: Any) -> str | None:
    """Which of the specs a value is, by its stage, or by stage and training framework."""
    known = value if isinstance(value, dict) else {name: getattr(value, name, None) for name in ("stage", "framework")}
    stage = known.get("stage")
    return stage if stage in _SPECS else f"{stage}/{known.get('framework')}"


if TYPE_CHECKING:
    AnySpec = Spec
else:
    AnySpec = Annotated[
        Union[tuple(Annotated[kind, Tag(tag)] for tag, kind in _SPECS.items())],  # noqa: UP007
        Discriminator(_tag),
    ]
    """Any spec, as a field of a model."""

_SPEC: TypeAdapter[Spec] = TypeAdapter(AnySpec)


def parse_spec(text: str | bytes) -> Spec:
    """Read a spec from JSON; raises ``pydantic.ValidationError``."""
    return _SPEC.validate_json(text)
