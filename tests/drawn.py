"""What a description in Vega-Lite comes to when it is drawn: the marks and words of the real renderer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vl_convert

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.describe import describe
from dissect.present.figures.look import CONFIGS
from dissect.present.tables.read_tidy import read_tidy
from dissect.present.tables.table import build_table


def described(manifest: Manifest, project: Path) -> dict[str, Any]:
    """The figure of a manifest, from its tidy CSV as the pipeline draws it."""
    path = project / "tidy.csv"
    path.write_text(build_table(manifest, project).csv)
    return describe(manifest, FigureLayout.model_validate(manifest.layout), read_tidy(path))


def marks(described: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The marks of one kind, without axes and legends: places in pixels, ``description`` in the units of the axes."""
    return [
        item
        for node in _nodes(described)
        if (node["role"], node["marktype"]) == ("mark", kind)
        for item in node["items"]
    ]


def texts(described: dict[str, Any]) -> list[str]:
    """All words of the picture, whatever they stand at."""
    found = []
    for node in _nodes(described):
        for item in node["items"] if node["marktype"] == "text" else []:
            lines = item.get("text") or ""
            found += lines if isinstance(lines, list) else [str(lines)]
    return [text for text in found if text]


def values(mark: dict[str, Any]) -> dict[str, str]:
    """What the renderer says of a mark: title of an axis or name of a field -> value."""
    return dict(part.split(": ", 1) for part in mark["description"].split("; ") if ": " in part)


def title_heights(described: dict[str, Any]) -> list[float]:
    """Where the title of each panel stands: pixels from the upper end of its drawing area, negative above it."""
    return [item["y"] for node in _nodes(described) if node["role"] == "title" for item in node["items"]]


def data(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of all panels."""
    own = [row for row in described.get("data", {}).get("values", []) if row]
    inside = [row for name in ("concat", "layer") for part in described.get(name, []) for row in data(part)]
    return [*own, *inside]


def _nodes(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    drawn = vl_convert.vegalite_to_scenegraph(described, config=dict(CONFIGS["light"]))
    waiting = [drawn["scenegraph"]]
    while waiting:
        node = waiting.pop(0)
        if "marktype" in node:
            yield node
        waiting += node.get("items", [])
        waiting += [node["title"]] if isinstance(node.get("title"), dict) else []
