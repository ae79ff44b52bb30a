"""Stands where ``envs/run`` stands in a real clone: the real store and publishing, invented numbers.

These tests are about what is measured when, not about the measurement. Called as
``envs/run <environment> -- python scripts/measure.py --spec ... --publish ... --runs ...``, or once for several of
these with ``--serve``; a spec whose key is in ``fail_keys.txt`` fails, one whose key is in ``slow_keys.txt`` goes on
until that file is gone.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dissect.base.outcome import Phase
from dissect.cells.any_spec import parse_spec
from dissect.cells.spec import canonical_spec, spec_key
from dissect.results.activity import announced, next_attempt
from dissect.results.result import Round
from dissect.results.store import STORE_DIR, Failure, Store
from factories import measured_at, ok_result, sample_lines_of

MEASURED = Path("measured.txt")
FAILING = Path("fail_keys.txt")
SLOW = Path("slow_keys.txt")


def serve() -> int:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        replies.write(json.dumps({"status": measure(json.loads(line))}) + "\n")
    return 0


def measure(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", required=True)
    parser.add_argument("--launcher", required=True)
    parser.add_argument("--publish", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=STORE_DIR)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--round", type=Round.model_validate_json)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--fresh")
    parser.add_argument("--late-s", type=float)
    arguments = parser.parse_args(words)
    spec = parse_spec(arguments.spec)
    key = spec_key(canonical_spec(spec))
    entry = Store(arguments.store).entry(key)
    with entry.locked():
        entry.claim(canonical_spec(spec))
        if arguments.fresh:
            entry.set_aside_runs(arguments.fresh)
        entry.runs()
        while entry.lacks_runs(arguments.runs, arguments.again):
            with MEASURED.open("a") as file:
                file.write(f"{key}\n")
            with announced(entry, arguments.publish, next_attempt(entry)):
                while SLOW.exists() and key in SLOW.read_text():
                    time.sleep(0.05)
            if FAILING.exists() and key in FAILING.read_text():
                log = str(entry.log_path)
                entry.write_failure(
                    Failure(attempt=1, phase=Phase.BUILD, reason="it was told to", log=log, failed_at="2026-01-01")
                )
                print(f"{key} failed: it was told to; log: {log}", file=sys.stderr)
                return 1
            result = measured_at(ok_result(spec), entry.count() + 1).model_copy(update={"round": arguments.round})
            entry.write_run(result, sample_lines_of(result.metrics))
            if arguments.once:
                break
        if not entry.lacks_runs(arguments.runs, arguments.again):
            entry.publish(arguments.publish)
    return 0


if __name__ == "__main__":
    words = sys.argv[sys.argv.index("scripts/measure.py") + 1 :]
    sys.exit(serve() if words == ["--serve"] else measure(words))
