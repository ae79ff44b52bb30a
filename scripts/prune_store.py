"""Entry point of the rule ``prune``: name runs of the store by age, protocol or glob, and remove them if asked to."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dissect.cells.cell import CELLS_DIR, published_id
from dissect.cells.globs import selection_of
from dissect.cells.study import load_study, published_paths
from dissect.config.errors import ConfigError
from dissect.present.prune_text import prune_text
from dissect.results.folder_lock import planning
from dissect.results.prune import PruneQuestion, find_prunable, remove
from dissect.results.store import STORE_DIR, Store


def main() -> None:
    """Print the runs that fit; remove them with ``really``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    given = parser.parse_args().config
    try:
        question, really, wanted = _question(given)
        ids = {key: published_id(paths[0]) for key, paths in published_paths(Path.cwd(), given).items()}
    except ConfigError as error:
        sys.exit(f"llm-dissect: {error}")
    published: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(Path(CELLS_DIR).rglob("*.json")):
        published[path.stem].append(path)
        ids.setdefault(path.stem, published_id(path.as_posix()))
    store = Store(STORE_DIR)
    with planning(Path.cwd()) as alone:
        if really and not alone:
            sys.exit("llm-dissect: another snakemake is active in this folder: prune when it has ended")
        found = find_prunable(store, question, ids, wanted, datetime.now(UTC))
        locked = set()
        if really:
            for key in dict.fromkeys(run.key for run in found):
                paths = [run.path for run in found if run.key == key and not run.kept]
                if not remove(store.entry(key), paths, published[key]):
                    locked.add(key)
    print(prune_text(found, locked, really), end="")


def _question(given: Mapping[str, Any]) -> tuple[PruneQuestion, bool, set[str]]:
    """What is asked, whether to remove it, and the keys of the cells that the configuration wants.

    Raises:
        ConfigError: the configuration or the question is wrong.
    """
    study = load_study(Path.cwd(), given)
    root = study.catalog.root
    if not root.select and root.older_than is None and root.protocol is None:
        raise ConfigError(
            "--config: found none of select, older_than and protocol, expected at least one: they say what to prune"
        )
    question = PruneQuestion(
        selection_of(study.catalog),
        None if root.older_than is None else timedelta(days=root.older_than),
        root.protocol,
    )
    return question, root.really, {str(study.by_path[path].key) for path in study.targets}


if __name__ == "__main__":
    main()
