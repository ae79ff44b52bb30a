"""What the overrides of config.yaml say about one cell."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dissect.cells.globs import CellGlob
from dissect.config.errors import ConfigError, validation_sentence
from dissect.config.files import M
from dissect.config.overrides import CellOverride, given

Sections = dict[str, dict[str, Any]]
"""``hardware``, ``method``, ``settings``, ``workload``, ``sampling`` -> parameter -> value."""


@dataclass(frozen=True)
class Override:
    """One entry of config.yaml's overrides, its glob checked."""

    glob: CellGlob
    parameters: CellOverride


def overrides_for(cell_id: str, overrides: list[Override], own: str) -> Sections:
    """What all overrides that match set together; ``own`` is the section that not every stage has.

    Raises:
        ConfigError: two set the same differently, or one sets what cells of this stage do not have.
    """
    merged: Sections = {section: {} for section in ("hardware", "workload", "sampling", own) if section}
    set_by: dict[tuple[str, str], str] = {}
    for override in overrides:
        if not override.glob.matches(cell_id):
            continue
        for section, parameters in given(override.parameters).items():
            if parameters and section not in merged:
                raise ConfigError(
                    f"config/config.yaml: overrides: '{override.glob.text}' sets {section}, which the cell {cell_id} "
                    f"does not have; it has {', '.join(sorted(merged))}: narrow the glob"
                )
            for name, value in parameters.items():
                before = merged[section].setdefault(name, value)
                other = set_by.setdefault((section, name), override.glob.text)
                if before != value:
                    raise ConfigError(
                        f"config/config.yaml: overrides: '{other}' and '{override.glob.text}' set {section}.{name} "
                        f"differently for the cell {cell_id}; make them disjoint"
                    )
    return merged


def built(model: type[M], parameters: dict[str, Any], where: str) -> M:
    """A part of a spec; raises ConfigError, also for a parameter that cells of this kind do not have."""
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        raise ConfigError(validation_sentence(where, error, model)) from None
