"""Write the reference of the configuration from the Pydantic models: ``make schemas``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from dissect.base.model import Model
from dissect.base.registry import ENGINES
from dissect.cells.spec import (
    OperatorSampling,
    OperatorWorkload,
    ProfileWorkload,
    Sampling,
    ServeSampling,
    ServeWorkload,
)
from dissect.config.kinds import AttentionKernel, Stage
from dissect.config.layout import Axis, QuantityName, ViewName
from dissect.config.registered import FRAMEWORK_NAMES
from write_schemas import SCHEMAS

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"

FILES = {
    "config": "config/config.yaml",
    "platform": "config/platforms/*.yaml",
    "gpus": "config/gpus.yaml",
    "model": "config/models/*.yaml",
    "experiment": "config/experiments/*.yaml",
    "methods": "config/methods.yaml",
    "claims": "config/references/paper.yaml",
}
"""Schema -> files that it describes, in the order of the page."""

LISTS = {
    "quantity": get_args(QuantityName),
    "axis": get_args(Axis),
    "view": get_args(ViewName),
    "framework": FRAMEWORK_NAMES,
    "stage": get_args(Stage),
    "engine": tuple(ENGINES),
    "attention kernel": get_args(AttentionKernel),
}
"""Named closed lists, which are too long for a table or used in several places."""

CELL_DEFAULTS: dict[str, dict[str, type[Model]]] = {
    "SamplingOverride": {"": Sampling, "serve": ServeSampling, "operators": OperatorSampling},
    "StepSampling": {"": Sampling},
    "WorkloadOverride": {"": ProfileWorkload, "serve": ServeWorkload, "operators": OperatorWorkload},
}
"""Sections whose missing keys take the default of a cell's spec: stage (all others: empty) -> its model."""

UNITS = {
    r"(.*_)?gb_per_s": "GB/s", r".*tokens_per_s": "tokens/s", r"peak_tflops": "TFLOP/s",
    r".*_s": "s", r".*_h": "h", r".*_gib": "GiB",
    r".*_tokens|seq_len|max_position_embeddings": "tokens", r"rate": "requests/s", r".*_share|interval_target": "share",
    r".*_steps": "steps", r"requests|.*_requests|max_sequences": "requests", r"batch": "sequences per GPU",
    r"gpus_per_node|gpu_counts|n_gpus|.*_parallel": "GPUs", r"nodes": "nodes", r"cpus": "cores",
}  # fmt: skip
"""Pattern of a key -> unit of its numbers."""

HEAD = """\
# Configuration reference

Every key of every file below `config/`, written by `make schemas` from the Pydantic models in
`scripts/dissect/config/`. [configuration.md](configuration.md) says how the files work together. A key that is not
here is refused; a key without a default must be given.
"""


class Reference:
    """The page: sections of files, of the models inside them, and of models that several files share."""

    def __init__(self) -> None:
        self.schemas = {name: model.model_json_schema() for name, model in SCHEMAS.items()}
        self.models = {title: model for schema in self.schemas.values() for title, model in schema["$defs"].items()}
        homes = [(title, name) for name in FILES for title in self.schemas[name]["$defs"]]
        self.shared = {title for title, _ in homes if sum(title == other for other, _ in homes) > 1}
        self.headings: dict[tuple[str, str], str] = {}
        for name in FILES:
            self._name_sections(name, self.schemas[name], "")

    def _name_sections(self, name: str, section: dict[str, Any], path: str) -> None:
        """Give every model a heading: the path where its file has it first."""
        for key, facts in section["properties"].items():
            for title, step, is_one_of in _models_of(facts):
                home = "shared" if title in self.shared else name
                if (home, title) in self.headings:
                    continue
                model = self.models[title]
                inner = f"{path}{key}{step}"
                shown = key if home == "shared" else inner
                self.headings[home, title] = f"{home} `{shown}`" + (_kinds_of(model) if is_one_of else "")
                self._name_sections(name, model, f"{inner}.")

    def text(self) -> str:
        """The whole page."""
        parts = [HEAD]
        for name, files in FILES.items():
            parts += [f"## `{files}`\n", *self._section(name, self.schemas[name])]
            parts += self._sections_of(name)
        parts += ["## What several files have\n", *self._sections_of("shared")]
        parts.append("## Lists of names\n")
        parts += [f"### {name}\n\n{', '.join(f'`{value}`' for value in values)}\n" for name, values in LISTS.items()]
        return "\n".join(parts)

    def _sections_of(self, home: str) -> Iterator[str]:
        for (place, title), heading in self.headings.items():
            if place == home:
                yield f"### {heading}\n"
                yield from self._section(home, self.models[title], title)

    def _section(self, home: str, section: dict[str, Any], title: str = "") -> Iterator[str]:
        yield _prose(section["description"]) + "\n"
        required = section.get("required", [])
        rows = ["| key | type | default | unit | meaning |", "| --- | --- | --- | --- | --- |"]
        for key, facts in section["properties"].items():
            default = "required" if key in required else _default(key, facts, title)
            # Pydantic leaves out a description that the section's own model repeats.
            text = facts.get("description") or self.models[_title(facts)]["description"]
            meaning = _prose(text).replace("\n\n", " ").replace("\n", " ")
            cells = [f"`{key}`", self._type(home, facts), default, _unit(key, facts), meaning]
            rows.append("| " + " | ".join(cells) + " |")
        yield "\n".join(rows) + "\n"

    def _type(self, home: str, facts: dict[str, Any]) -> str:
        """Type of a key's values, in words."""
        if "$ref" in facts:
            title = _title(facts)
            heading = self.headings.get((home, title)) or self.headings["shared", title]
            return f"[{heading.split(' ', 1)[1]}](#{_slug(heading)})"
        if options := facts.get("anyOf", facts.get("oneOf")):
            return ", or ".join(self._type(home, option) for option in options if option.get("type") != "null")
        if "enum" in facts or "const" in facts:
            return _values(facts)
        if facts["type"] == "array":
            return f"list of {self._type(home, facts['items'])}"
        if facts["type"] == "object":
            names = f" of {_values(facts['propertyNames'])}" if "enum" in facts.get("propertyNames", {}) else ""
            values = facts["additionalProperties"]
            return f"mapping{names} to {'any value' if values is True else self._type(home, values)}"
        return _scalar(facts)


def _models_of(facts: Any, step: str = "", is_one_of: bool = False) -> Iterator[tuple[str, str, bool]]:
    """Yield the models in a key's value: title, rest of the path after the key, whether ``kind`` chooses it."""
    if "$ref" in facts:
        yield _title(facts), step, is_one_of
    for option in facts.get("anyOf", []):
        yield from _models_of(option, step)
    for option in facts.get("oneOf", []):
        yield from _models_of(option, step, is_one_of=True)
    if "items" in facts:
        yield from _models_of(facts["items"], f"{step}[]")
    if isinstance(facts.get("additionalProperties"), dict):
        yield from _models_of(facts["additionalProperties"], f"{step}.<name>")


def _title(facts: dict[str, Any]) -> str:
    return str(facts["$ref"]).rsplit("/", 1)[1]


def _kinds_of(model: dict[str, Any]) -> str:
    """Values of ``kind`` that select a section; nothing of a section that its notation selects."""
    if (kind := model["properties"].get("kind")) is None:
        return ""
    kinds = kind.get("enum") or [kind["const"]]
    return f", kind {kinds[0]}" + (" and others" if len(kinds) > 1 else "")


def _values(facts: dict[str, Any]) -> str:
    values = facts.get("enum", [facts["const"]] if "const" in facts else [])
    for name, known in LISTS.items():
        if tuple(values) == known:
            return f"[{name}](#{_slug(name)})"
    return ", ".join(f"`{value}`" for value in values)


def _scalar(facts: dict[str, Any]) -> str:
    ends = {"exclusiveMinimum": "> {}", "minimum": "≥ {}", "exclusiveMaximum": "< {}", "maximum": "≤ {}"}
    limits = [form.format(facts[end]) for end, form in ends.items() if end in facts]
    return " ".join([facts["type"], *limits]) + (f", `{facts['pattern']}`" if "pattern" in facts else "")


def _default(key: str, facts: dict[str, Any], title: str) -> str:
    """Value of a missing key."""
    of_cells = CELL_DEFAULTS.get(title, {})
    fields = {stage: model.model_fields[key] for stage, model in of_cells.items() if key in model.model_fields}
    found = {stage: json.dumps(f.default) for stage, f in fields.items() if not f.is_required()}
    if found:
        first = next(iter(found.values()))
        others = [f"`{value}` (`{stage}`)" for stage, value in found.items() if stage and value != first]
        return ", ".join([f"`{first}`", *others])
    default = facts["default"]
    if "$ref" in facts or default is None:
        return "–"
    return f"`{json.dumps(_without_nulls(default))}`"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def _unit(key: str, facts: dict[str, Any]) -> str:
    has_numbers = any(f'"{kind}"' in json.dumps(facts) for kind in ("integer", "number"))
    units = (unit for pattern, unit in UNITS.items() if re.fullmatch(pattern, key))
    return next(units, "") if has_numbers else ""


def _prose(text: str) -> str:
    """A docstring as Markdown, with code kept and other markup escaped."""
    parts = text.split("``")
    return "".join(
        f"`{part}`" if index % 2 else re.sub(r"([*_<|\[])", r"\\\1", part) for index, part in enumerate(parts)
    )


def _slug(heading: str) -> str:
    """The anchor of a heading, as code hosts and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main() -> None:
    """Write the page."""
    PAGE.write_text(Reference().text())


if __name__ == "__main__":
    main()
