"""The answer to ``import``: another clone's finished cells are in the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study, published_paths
from dissect.config.errors import ConfigError
from dissect.results.exchange import import_cells, read_export
from dissect.results.store import STORE_DIR, Store


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Check the whole file, and add the runs that are missing here; their number.

    Raises:
        ConfigError: no file is given.
        ExchangeError: the file is no export, or wrong.
        KeyCollision: a spec has the key of another.
        ResultError: a run that is here is broken.
    """
    file = study.catalog.root.file
    if file is None:
        raise ConfigError("--config file: found nothing, expected the file to import: --config file=<path>")
    shared = read_export(Path(file))
    published = {key: [project / path for path in paths] for key, paths in published_paths(project, given).items()}
    merged = import_cells(shared, Store(project / STORE_DIR), published)
    unused = sum(key not in published for key in shared)
    return (
        f"{file}: {len(shared)} cells; {merged.added} runs added, {merged.known} were here; "
        f"{unused} cells are of no table of this configuration"
    )
