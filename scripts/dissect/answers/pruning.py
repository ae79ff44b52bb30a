"""The answer to ``prune``: runs of the store by age, protocol or glob, removed if that is asked."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dissect.cells.cell import CELLS_DIR, published_id
from dissect.cells.globs import selection_of
from dissect.cells.study import Study, published_paths
from dissect.config.errors import ConfigError
from dissect.present.prune_text import prune_text
from dissect.results.folder_lock import planning
from dissect.results.prune import PruneQuestion, find_prunable, remove
from dissect.results.store import STORE_DIR, Store, published_below


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Remove the runs that fit with ``really``; the runs that fit.

    Raises:
        ConfigError: nothing says which runs, or another snakemake is active.
    """
    root, question = study.catalog.root, _question(study)
    wanted = {str(study.by_path[path].key) for path in study.targets}
    published: dict[str, list[Path]] = defaultdict(list)
    for path in published_below(Path(CELLS_DIR)):
        published[path.stem].append(path)
    ids = {key: published_id(paths[0].as_posix()) for key, paths in published.items()}
    store = Store(STORE_DIR)
    if not store.keys() <= ids.keys():  # to resolve every cell takes seconds
        ids |= {key: published_id(paths[0]) for key, paths in published_paths(project, given).items()}
    with planning(project) if root.really else nullcontext(True) as alone:
        if not alone:
            raise ConfigError("another snakemake is active in this folder: prune when it has ended")
        found = find_prunable(store, question, ids, wanted, datetime.now(UTC))
        locked = set()
        if root.really:
            for key in dict.fromkeys(run.key for run in found):
                paths = [run.path for run in found if run.key == key and not run.kept]
                if not remove(store.entry(key), paths, published[key]):
                    locked.add(key)
    return prune_text(found, locked, root.really)


def _question(study: Study) -> PruneQuestion:
    """What to prune.

    Raises:
        ConfigError: nothing says so.
    """
    root = study.catalog.root
    if not root.select and root.older_than is None and root.protocol is None:
        raise ConfigError(
            "--config: found none of select, older_than and protocol, expected at least one: they say what to prune"
        )
    age = None if root.older_than is None else timedelta(days=root.older_than)
    return PruneQuestion(selection_of(study.catalog), age, root.protocol)
