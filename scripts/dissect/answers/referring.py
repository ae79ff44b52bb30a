"""The answer to ``references``: the reference results, with an export added to a set of them if that is asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.globs import selection_of
from dissect.cells.references import SETS_DIR, sets_of
from dissect.cells.study import Study
from dissect.config.errors import ConfigError
from dissect.present.reference_list import reference_list
from dissect.results.exchange import read_export
from dissect.results.reference_sets import add_to_set, read_set


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """Add the runs of ``file`` to the set ``into`` if both are given, then check all sets; the list of them.

    Raises:
        ConfigError: ``into`` is given without a file.
        ExchangeError: the file or a set is wrong.
        OSError: a file cannot be written.
    """
    root, lines = study.catalog.root, []
    if root.into is not None:
        if root.file is None:
            raise ConfigError("--config file: found nothing, expected the export whose runs join the set")
        added = add_to_set(project / SETS_DIR / root.into, read_export(Path(root.file)))
        lines = [f"{SETS_DIR}/{root.into}: {added} runs of {root.file} added", ""]
    sets = {name: read_set(folder) for name, folder in sets_of(project).items()}
    return "\n".join([*lines, reference_list(sets, selection_of(study.catalog))])
