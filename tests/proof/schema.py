"""Values that a JSON Schema of config/schemas/ allows, so that a key added to the configuration is edited at once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from clones import ROOT
from proof.project import Draw

Path = tuple[str, ...]

KINDS = {
    name: json.loads((ROOT / f"config/schemas/{name}.schema.json").read_text())
    for name in ("claims", "config", "experiment", "methods", "model", "platform")
}
INTEGERS = [1, 2, 3, 4, 8, 64, 128, 2048]
NUMBERS = [0.05, 0.25, 1, 1.5, 2, 24.0, 80, 900]


@dataclass(frozen=True)
class Key:
    """One key that a file has or may have."""

    path: Path
    schema: Mapping[str, Any]

    def shown(self, kind: str) -> str:
        """Without names that users choose, for the table of kinds."""
        return f"{kind}: {'.'.join(self.path)}"


def keys(kind: str, data: Any) -> list[Key]:
    """Every key that holds no further keys; where users choose names, those in the file and a new one."""
    return list(_keys(KINDS[kind], KINDS[kind]["$defs"], data, ()))


def _keys(schema: Mapping[str, Any], defs: Mapping[str, Any], data: Any, path: Path) -> Iterator[Key]:
    schema = _resolved(schema, defs, data)
    here = data if isinstance(data, dict) else {}
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from _keys(inner, defs, here.get(name), (*path, name))
    elif isinstance(schema.get("additionalProperties"), dict):
        allowed = schema.get("propertyNames", {}).get("enum", [])
        for name in [*here, *(name for name in allowed or [_new_name(path)] if name and name not in here)]:
            yield from _keys(schema["additionalProperties"], defs, here.get(name), (*path, name))
    else:
        yield Key(path, {**schema, "$defs": defs})


def _new_name(path: Path) -> str | None:
    """A new name where any will do; letters, methods and globs are added by edits of their own."""
    return {"environment": "NCCL_DEBUG", "versions": "numpy", "gpus": "llama2-7b"}.get(path[-1])


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any], data: Any) -> Mapping[str, Any]:
    """Without references, and of several kinds the one that the file has."""
    if "$ref" in schema:
        return _resolved(defs[schema["$ref"].rsplit("/", 1)[-1]], defs, data)
    if "discriminator" in schema:
        kind = schema["discriminator"]["mapping"].get(data and data.get("kind"))
        return _resolved({"$ref": kind}, defs, data) if kind else schema
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    return _resolved(choices[0], defs, data) if len(choices) == 1 else schema


def value(draw: Draw, schema: Mapping[str, Any], text: st.SearchStrategy[str]) -> Any:
    """A value of a key; ``text`` draws strings."""
    defs = schema.get("$defs", {})
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return value(draw, {**draw(st.sampled_from(choices)), "$defs": defs}, text)
    if "$ref" in schema:
        return value(draw, {**defs[schema["$ref"].rsplit("/", 1)[-1]], "$defs": defs}, text)
    if "const" in schema or "enum" in schema:
        return draw(st.sampled_from(schema.get("enum") or [schema["const"]]))
    inner = {**schema.get("items", {}), "$defs": defs}
    match schema["type"]:
        case "boolean":
            return draw(st.booleans())
        case "integer":
            return draw(st.sampled_from(INTEGERS))
        case "number":
            return draw(st.sampled_from(NUMBERS))
        case "string":
            return draw(text)
        case "array":
            return [value(draw, inner, text) for _ in range(draw(st.integers(1, 3)))]
        case "object":
            found = {name: value(draw, {**s, "$defs": defs}, text) for name, s in schema["properties"].items()}
            return {
                name: new for name, new in found.items() if name in schema.get("required", ()) or draw(st.booleans())
            }
    return None
