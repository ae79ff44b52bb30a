"""The files of a clone that edits change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

from proof import spelling

Draw = Callable[[Any], Any]
"""Draws from a strategy."""
FOLDERS = {"platforms": "platform", "models": "model", "experiments": "experiment"}


@dataclass(frozen=True)
class Edit:
    """What was done; ``wrong`` if it must be refused whatever else there is."""

    kind: str
    what: str
    wrong: bool = False


def files(project: Path) -> dict[str, str]:
    """Every configuration file, relative to the project -> its kind."""
    named = {
        str(path.relative_to(project)): kind
        for folder, kind in FOLDERS.items()
        for path in sorted((project / "config" / folder).glob("*.yaml"))
    }
    return {
        "config/config.yaml": "config", "config/methods.yaml": "methods", "config/references/paper.yaml": "claims",
        **named,
    }  # fmt: skip


@contextmanager
def editing(project: Path, file: str) -> Iterator[dict[str, Any]]:
    """The content of a file, written back plainly."""
    data = YAML(typ="safe", pure=True).load(project / file)
    yield data
    (project / file).write_text(spelling.plain(data))


def load(project: Path, file: str) -> dict[str, Any]:
    """The content of a file."""
    return YAML(typ="safe", pure=True).load(project / file)


def pick(draw: Draw, items: Any) -> Any:
    """One of them."""
    return draw(st.sampled_from(list(items)))


def pick_file(draw: Draw, project: Path) -> tuple[str, str]:
    """Any file; config.yaml and the platforms in use more often than the rest."""
    known = files(project)
    used = [f"config/platforms/{name}.yaml" for name in load(project, "config/config.yaml").get("platforms", [])]
    file = pick(draw, [*known, *[name for name in used if name in known] * 2, *["config/config.yaml"] * 2])
    return file, known[file]


def put(data: dict[str, Any], path: tuple[str, ...], new: Any) -> None:
    """Set a value, making the mappings on the way to it."""
    for name in path[:-1]:
        if not isinstance(data.get(name), dict):
            data[name] = {}
        data = data[name]
    data[path[-1]] = new


def places(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Every (container, key, path) in a file."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in items:
        yield data, key, (*path, str(key))
        yield from places(inner, (*path, str(key)))
