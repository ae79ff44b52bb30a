"""Globs over cells: ``stage/platform/model/framework/method/workload``, as ``select`` and overrides use them."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import filter as matching
from fnmatch import fnmatchcase

from dissect.cells.cell_id import NO_NAME, PARTS, CellId
from dissect.config.catalog import Catalog, methods_of
from dissect.config.errors import ConfigError, unknown
from dissect.config.question import names

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class CellGlob:
    """A glob over cells whose parts were checked."""

    text: str
    parts: CellId
    """Parts of the glob, with the method in its normal spelling."""

    @property
    def is_wild(self) -> bool:
        """Whether it can match several cells."""
        return any(map(_WILD.search, self.parts))

    def matches(self, cell_id: str) -> bool:
        """Whether the glob matches the id of a cell."""
        return all(map(fnmatchcase, CellId.parse(cell_id), self.parts))


@dataclass(frozen=True)
class Selection:
    """The globs of ``--config select``; without any, everything is selected."""

    globs: tuple[CellGlob, ...]

    def matches(self, cell_id: str) -> bool:
        """Whether one of the globs matches the id of a cell."""
        return not self.globs or any(glob.matches(cell_id) for glob in self.globs)

    def matches_beside(self, others: Collection[str], cell_id: str) -> bool:
        """Whether a glob matches the id of a cell; one of these other models only if the glob names it in full."""
        model = CellId.parse(cell_id).model
        globs = (glob for glob in self.globs if model not in others or glob.parts.model == model)
        return not self.globs or any(glob.matches(cell_id) for glob in globs)

    def __str__(self) -> str:
        return " ".join(glob.text for glob in self.globs)


def selection_of(catalog: Catalog) -> Selection:
    """What ``select`` selects.

    Raises:
        ConfigError: a glob has a wrong number of parts, or a part matches no known name.
    """
    return Selection(tuple(parse_glob(text, catalog, "--config select") for text in names(catalog.root.select)))


def parse_glob(text: str, catalog: Catalog, where: str) -> CellGlob:
    """Parse a glob, and check that each part can match a known name.

    Raises:
        ConfigError: the number of parts is wrong, or a part matches no known name.
    """
    parts = text.split("/")
    if len(parts) != len(PARTS):
        raise ConfigError(f"{where}: found '{text}', expected {len(PARTS)} parts: {'/'.join(PARTS)}")
    known = known_names(catalog)
    checked = [_check_part(what, part, known, catalog, where) for what, part in zip(PARTS, parts, strict=True)]
    return CellGlob(text, CellId(*checked))


def known_names(catalog: Catalog) -> Mapping[str, Iterable[str]]:
    """Known names by part of a cell's id; workloads are not checked."""
    experiments = catalog.experiments.values()
    axes = [(e, method) for e in experiments for method in e.method_axes]
    methods = {name for e, method in axes for name in methods_of(e, method, catalog.methods, "")}
    return {
        "stage": {e.stage for e in experiments},
        "platform": catalog.platforms,
        "model": {*catalog.models, NO_NAME},
        "framework": {framework for e in experiments for framework in e.axes.framework},
        "method": {*methods, *catalog.methods.letters, NO_NAME},
    }


def _check_part(what: str, part: str, known: Mapping[str, Iterable[str]], catalog: Catalog, where: str) -> str:
    if what == "workload":
        return part
    if _WILD.search(part):
        if not matching(known[what], part):
            raise unknown(where, what, part, known[what])
        return part
    if what == "method" and part not in known[what]:
        return catalog.methods.normal(part, where)
    if part not in known[what]:
        raise unknown(where, what, part, known[what])
    return part
