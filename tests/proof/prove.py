"""``make prove-invalidation``: random edits of a clone's configuration, and every mistake in both directions."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st

from proof.real import RealSession
from proof.session import MISTAKES, Mistake, Session, Tally

STEPS = 10
"""Edits of one clone, one after the other."""
PROFILE = settings(
    max_examples=1, phases=[Phase.generate], deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
HEADER = ["edit", "times", "refused", "measured", "drawn only", "nothing", "cells measured", "mistakes"]


def prove(
    kind: Callable[[Path, dict[str, Tally], list[Mistake]], Session], edits: int, start: int, folder: Path
) -> tuple[dict[str, Tally], list[Mistake]]:
    """At least so many edits from a seed on; the tallies by kind of edit, and the mistakes."""
    tallies: dict[str, Tally] = {}
    mistakes: list[Mistake] = []

    def one_clone(data: st.DataObject) -> None:
        assume(data.draw(st.integers(0, 2**32)) > 0)  # the simplest of all edits, which is always tried first
        with tempfile.TemporaryDirectory(dir=folder) as place:
            session = kind(Path(place), tallies, mistakes)
            while session.steps < STEPS and count(tallies) < edits:
                session.step(data.draw)

    while count(tallies) < edits:
        PROFILE(seed(start)(given(st.data())(one_clone)))()
        start += 1
    return tallies, mistakes


def count(tallies: dict[str, Tally]) -> int:
    """Edits so far."""
    return sum(tally.edits for tally in tallies.values())


def table(tallies: dict[str, Tally]) -> str:
    """Markdown, one row per kind of edit."""
    rows = [
        [kind, t.edits, t.refused, t.measured, t.drew_only, t.nothing, t.cells, t.mistakes.total()]
        for kind, t in sorted(tallies.items())
    ]
    rows.append(["all", *(sum(row[column] for row in rows) for column in range(1, len(HEADER)))])
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [HEADER, ["---"] * len(HEADER), *rows])


def report(mistakes: list[Mistake]) -> str:
    """How many of each kind, and each with the edits that led to it."""
    found = Counter(mistake.what for mistake in mistakes)
    lines = [f"{what}: {found[what]}" for what in MISTAKES]
    for mistake in mistakes:
        lines += ["", f"{mistake.what} ({mistake.way}): {mistake.details}"]
        lines += [f"    {line}" for line in mistake.history]
    return "\n".join(lines)


def main() -> int:
    """Prove, print, and return 1 if there was a mistake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=1000, help="planned in three ways each")
    parser.add_argument("--runs", type=int, default=30, help="edits that are run through the command line as well")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started, mistakes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for what, kind, edits in (("planned", Session, arguments.edits), ("run", RealSession, arguments.runs)):
            tallies, found = prove(kind, edits, arguments.seed, Path(folder))
            print(f"{count(tallies)} edits {what}, {len(found)} mistakes\n\n{table(tallies)}\n", flush=True)
            mistakes += found
    print(report(mistakes))
    print(f"\n{time.monotonic() - started:.0f} s")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
