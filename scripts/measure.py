#!/usr/bin/env python
"""Measure a run of one cell, or publish the runs that the store already has.

Exit status: 0 for every final outcome, 1 for a failure, 2 for bad arguments.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from dissect.cells.any_spec import parse_spec
from dissect.cells.spec import canonical_spec, spec_key
from dissect.measure.life import CellFailed, Interrupted, measure_cell
from dissect.results.result import ResultError
from dissect.results.store import STORE_DIR, KeyCollision, Store


def parse_arguments() -> argparse.Namespace:
    """The parsed command line; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the cell's spec as JSON")
    parser.add_argument("--publish", required=True, type=Path, help="where the result is copied: .../<key>.json")
    parser.add_argument("--store", default=STORE_DIR, type=Path, help=f"default: {STORE_DIR}")
    parser.add_argument("--launcher", default=sys.executable, help="what starts this Python, on other nodes as well")
    parser.add_argument("--remeasure", action="store_true", help="add a run to those that the store has")
    arguments = parser.parse_args()
    try:
        arguments.spec = parse_spec(arguments.spec)
    except ValidationError as error:
        first = error.errors()[0]
        parser.error(f"--spec: {'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}")
    key = spec_key(canonical_spec(arguments.spec))
    if arguments.publish.name != f"{key}.json":
        parser.error(f"--publish: {arguments.publish.name} is not {key}.json, the key of the spec")
    return arguments


def keep_byte_code() -> None:
    """Enable the writing of byte code, even if a container image disables it.

    Otherwise every cell compiles torch and other libraries anew, which took 7 of 11 seconds where it was measured. Such
    an image's own folders may be read-only, so the byte code lies with the environments' other caches.
    """
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(Path(".cache/bytecode").resolve())


def main() -> int:
    """Measure, print the outcome in one line, and return the exit status."""
    arguments = parse_arguments()
    keep_byte_code()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("dissect").setLevel(logging.INFO)
    store = Store(arguments.store)
    try:
        result = measure_cell(arguments.spec, store, arguments.publish, arguments.remeasure, arguments.launcher)
    except (CellFailed, KeyCollision, ResultError, Interrupted, OSError) as error:
        key = arguments.publish.stem
        print(f"{key}: failed: {error}; log: {store.entry(key).log_path}", file=sys.stderr)
        return 128 + error.number if isinstance(error, Interrupted) else 1
    print(f"{result.key}: {result.status}{f' ({result.reason})' if result.reason else ''}")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the libraries' exit handlers take seconds and have nothing to say
