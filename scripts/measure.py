#!/usr/bin/env python
"""Measure a run of one cell, or publish the runs that the store already has.

Exit status: 0 for every final outcome, 1 for a failure, 2 for bad arguments.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import dissect.base.needs  # noqa: F401  # ends here where this Python lacks a library

# isort: split
from pydantic import ValidationError

from dissect.cells.any_spec import parse_spec
from dissect.cells.spec import canonical_spec, spec_key
from dissect.measure.attempt_process import Interrupted
from dissect.measure.child import end
from dissect.measure.life import Asked, CellFailed, measure_cell
from dissect.results.result import ResultError, Round
from dissect.results.store import STORE_DIR, KeyCollision, Store
from dissect.results.unwritable import remedy


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments; exits with status 2 if they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the cell's spec as JSON")
    parser.add_argument("--publish", required=True, type=Path, help="where the result is copied: .../<key>.json")
    parser.add_argument("--store", default=STORE_DIR, type=Path, help=f"default: {STORE_DIR}")
    parser.add_argument("--launcher", default=sys.executable, help="what starts this Python, on other nodes as well")
    parser.add_argument("--runs", default=1, type=int, help="runs that the cell needs; default: 1")
    parser.add_argument("--once", action="store_true", help="measure one run at most")
    parser.add_argument("--round", type=Round.model_validate_json, help="the round of the run as JSON")
    parser.add_argument("--again", action="store_true", help="measure also a cell whose outcome is not ok")
    parser.add_argument("--fork", action="store_true", help="fork several runs from one process with the libraries")
    parser.add_argument("--fresh", help="name under which earlier runs are set aside first")
    parser.add_argument(
        "--late-s", default=0.0, type=float, help="seconds by which files of an earlier try may lag behind"
    )
    arguments = parser.parse_args(words)
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


def measure(arguments: argparse.Namespace, store: Store, forked: bool = False) -> int:
    """Measure one run if the cell lacks any, print the outcome in one line, and return the exit status."""
    asked = Asked(arguments.runs, arguments.round, arguments.again, arguments.fresh, forked, arguments.late_s)
    try:
        cell = measure_cell(arguments.spec, store, arguments.publish, asked, arguments.launcher)
    except (CellFailed, KeyCollision, ResultError, Interrupted, OSError) as error:
        key = arguments.publish.stem
        reason = (remedy(error) if isinstance(error, OSError) else None) or error
        print(f"{key}: failed: {reason}; log: {store.entry(key).log_path}", file=sys.stderr)
        return 128 + error.number if isinstance(error, Interrupted) else 1
    runs = f", {len(cell.runs)} runs" if len(cell.runs) > 1 else ""
    print(f"{cell.key}: {cell.status}{f' ({cell.reason})' if cell.reason else ''}{runs}")
    return 0


def measure_several(arguments: argparse.Namespace) -> int:
    """Measure the runs that the cell lacks, each in a process of its own, and return the exit status.

    This Python starts them itself: what launched it, such as a container runtime, may not be there inside.
    """
    from dissect.measure.run_process import RunProcess

    store, measured = Store(arguments.store), False
    entry = store.entry(arguments.publish.stem)
    program = [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]
    with RunProcess(arguments.store, fork=arguments.fork) as process:
        while True:
            while entry.lacks_runs(arguments.runs, arguments.again) or (arguments.fresh and not measured):
                # Once a run is there, nothing else is late.
                late = ["--late-s", "0"] if measured else []
                if status := process.run(program, arguments.spec, [*sys.argv[1:], *late]):
                    return status
                measured = True
            if measured:
                return 0
            # This publishes the runs that are there, or finds broken ones among them and measures the first anew.
            if status := measure(arguments, store):
                return status
            measured = True


def measure_forked(words: Sequence[str]) -> int:
    """Measure one run at most in this forked process, as the arguments say, and return the exit status."""
    arguments = parse_arguments(words)
    return measure(arguments, Store(arguments.store), forked=True)


def serve_forks() -> None:
    """Measure the runs that are asked for on standard input, each in a process forked from this one."""
    from dissect.measure.fork_server import serve
    from dissect.measure.preload import preload

    serve(lambda words: preload(parse_arguments(words).spec), measure_forked)


def main() -> int:
    """Measure run by run, each of several in a process of its own, and return the exit status."""
    keep_byte_code()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("dissect").setLevel(logging.INFO)
    if sys.argv[1:] == ["--serve"]:
        serve_forks()
        return 0
    arguments = parse_arguments(sys.argv[1:])
    if arguments.runs == 1 or arguments.once:
        return measure(arguments, Store(arguments.store))
    return measure_several(arguments)


if __name__ == "__main__":
    end(main())
