"""The overrides of config.yaml that apply to one cell."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from dissect.cells.cell import Cell
from dissect.cells.globs import CellGlob
from dissect.config.errors import ConfigError, validation_sentence
from dissect.config.files import M
from dissect.config.overrides import CellOverride, given

Sections = dict[str, dict[str, Any]]
"""``hardware``, ``method``, ``settings``, ``workload``, ``sampling`` -> parameter -> value."""


class Head(NamedTuple):
    """What a cell is called, known before its spec."""

    cell: Cell
    """The cell without its spec, launcher, or reason why it is unsupported."""
    workload: Any
    """Workload of its spec; None where a stage has none."""
    changes: Sections
    """The other parameters of overrides that apply to it."""


@dataclass(frozen=True)
class Override:
    """One entry of config.yaml's overrides, with its glob checked."""

    glob: CellGlob
    parameters: CellOverride


def overrides_for(cell_id: str, overrides: list[Override], own: str) -> Sections:
    """Parameters of all overrides that match a cell; ``own`` is the section that not every stage has.

    Raises:
        ConfigError: two overrides conflict, or one sets a section that cells of this stage do not have.
    """
    merged: Sections = {section: {} for section in ("hardware", "workload", "sampling", own) if section}
    set_by: dict[tuple[str, str], str] = {}
    for override in overrides:
        if not override.glob.matches(cell_id):
            continue
        for section, parameters in given(override.parameters).items():
            if parameters and section not in merged:
                raise ConfigError(
                    f"config/config.yaml: overrides: '{override.glob.text}' sets the section '{section}', which the "
                    f"cell {cell_id} does not have (known: {', '.join(sorted(merged))}); narrow the glob"
                )
            for name, value in parameters.items():
                before = merged[section].setdefault(name, value)
                other = set_by.setdefault((section, name), override.glob.text)
                if before != value:
                    raise ConfigError(
                        f"config/config.yaml: overrides: '{other}' and '{override.glob.text}' set different values of "
                        f"{section}.{name} for the cell {cell_id}; make the globs disjoint"
                    )
    return merged


def built(model: type[M], parameters: dict[str, Any], where: str) -> M:
    """Build a part of a spec from parameters; ``where`` is how errors name their source.

    Raises:
        ConfigError: a parameter is unknown, missing or has an invalid value.
    """
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        raise ConfigError(validation_sentence(where, error, model)) from None
