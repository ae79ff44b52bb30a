"""Entry point of the rule ``references``: list the reference results, and add an export to a set of them."""

import argparse
import json
import sys
from pathlib import Path

from dissect.cells.globs import selection_of
from dissect.cells.references import SETS_DIR, sets_of
from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.present.reference_list import reference_list
from dissect.results.exchange import ExchangeError, read_export
from dissect.results.reference_sets import add_to_set, read_set


def main() -> None:
    """Add the runs of ``file`` to the set ``into`` if both are given, then check all sets and list their cells."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    project = Path.cwd()
    try:
        catalog = load_catalog(project, parser.parse_args().config)
        root = catalog.root
        selection = selection_of(catalog)
        if root.into is not None:
            print(_added(root.file, root.into, project))
        sets = {name: read_set(folder) for name, folder in sets_of(project).items()}
    except (ConfigError, ExchangeError, OSError) as error:
        sys.exit(f"llm-dissect: {error}")
    print(reference_list(sets, selection), end="")


def _added(file: str | None, name: str, project: Path) -> str:
    """Add an export to a set, and say so.

    Raises:
        ConfigError: no file is given.
        ExchangeError: the file or the set is wrong.
        OSError: a file cannot be written.
    """
    if file is None:
        raise ConfigError("--config file: found nothing, expected the export whose runs join the set")
    added = add_to_set(project / SETS_DIR / name, read_export(Path(file)))
    return f"{SETS_DIR}/{name}: {added} runs of {file} added\n"


if __name__ == "__main__":
    main()
