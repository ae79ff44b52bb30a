"""What a policy of a serving engine was when a cell was measured."""

from collections.abc import Iterable, Mapping
from typing import Any

from dissect.cells.spec import ServeSpec
from dissect.present.tables.columns import Column, Record, Scalar
from dissect.present.tables.labels import framework_labels

DEFAULTS = "defaults"
"""Settings of an engine that was given none."""


def _settings(record: Record) -> Scalar:
    if not isinstance(record.spec, ServeSpec):
        return None
    given = record.spec.settings.model_dump(exclude={"prefix_cache", "arguments"}, exclude_none=True)
    return ", ".join(f"{name} {value}" for name, value in given.items()) or DEFAULTS


POLICY = Column("settings", "settings that the policy gave the engine, beside its defaults", _settings)


def policy_remarks(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the policies of shipped results were: they keep the name of a policy that has other settings today."""
    engines: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row["reference"] and (settings := row.get(POLICY.name)) and settings != row["method"]:
            label = framework_labels()[row["framework"]]
            engines.setdefault((row["method"], settings), {})[label] = None
    told = "; ".join(f"{method} of {', '.join(names)}: {settings}" for (method, settings), names in engines.items())
    return [f"Policies as they were when these results were measured: {told}."] if told else []
