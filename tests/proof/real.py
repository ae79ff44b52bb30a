"""The same proof with real runs of ``snakemake all`` over invented measurements, for a sample of edits."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from clones import Clone, Run, stubbed_clone, with_new_times
from dissect.cells.manifest import read_manifest
from dissect.cells.places import LayoutError
from dissect.present.tables.table import build_table
from proof.oracle import Expected, expected
from proof.planning import Plan
from proof.session import ACCEPTED, MUST, NEED_NOT, REFUSED, STALE, Mistake, Session

FEW_CELLS = 10
"""An edit that asks for more new cells is taken back: each costs a second here and proves the same."""


class RealSession(Session):
    """A clone that is really run after each edit, in the three states by turns."""

    new_clone: Callable[[Path], Clone] = staticmethod(stubbed_clone)
    start = {"platforms: [cpu]": "platforms: [cpu]", "tables: all": "tables: [table_I, table_III]"}

    def begin(self) -> None:
        """Measure what there is."""
        self.clone.snakemake("all")
        self.accept(expected(self.clone.folder, {}), Plan())

    def skips(self, wanted: Expected | None) -> bool:
        """Too much to run."""
        return wanted is not None and len(self.new_cells(wanted)) > FEW_CELLS

    def compare(self, wanted: Expected | None) -> tuple[list[Mistake], Plan]:
        """Run once, in the state whose turn it is."""
        way = ["as it is", "without .snakemake", "fresh clone"][self.steps % 3]
        if way != "as it is":
            self.renew(fresh=way == "fresh clone")
        self.clone.measured()
        run = self.clone.snakemake("all", expect=None)
        faults = self.refusal_faults(run) if wanted is None else self.run_faults(run, wanted)
        return [Mistake(what, way, details, list(self.history)) for what, details in faults], Plan()

    def renew(self, fresh: bool) -> None:
        """Lose Snakemake's metadata; in a fresh clone all times are new as well."""
        shutil.rmtree(self.clone.folder / ".snakemake")
        if fresh:
            with_new_times(self.clone)

    def refusal_faults(self, run: Run) -> list[tuple[str, str]]:
        """It must end with one sentence and measure nothing."""
        last = (run.output.strip().splitlines() or [""])[-1]
        clear = run.code and last.startswith("llm-dissect: config/") and not self.clone.measured() and not run.jobs
        return [] if clear else [(ACCEPTED, run.output[-300:])]

    def run_faults(self, run: Run, wanted: Expected) -> list[tuple[str, str]]:
        """Cells by name, in both directions, and tables that do not show what there is now."""
        if not run.jobs and run.code:
            return [(REFUSED, run.output[-300:])]
        must = self.new_measurements(wanted)
        does = Counter(self.clone.measured())
        named: Counter[str] = Counter()
        for runs, names in must:
            named.update(dict.fromkeys(names, runs))
        failed = run.code and ": layout: " not in run.output
        return [
            *([(STALE, run.output[-300:])] if failed else []),
            *((MUST, " = ".join(sorted(names))) for runs, names in must if sum(does[name] for name in names) < runs),
            *((NEED_NOT, cell) for cell in does - named),
            *((STALE, name) for rule, name in sorted(wanted.wanted) if rule == "write_table" and self.stale(name)),
        ]

    def stale(self, name: str) -> bool:
        """Whether a table is not what its cells and layout make; a layout that fits no cells has no table."""
        results = self.clone.folder / "results"
        try:
            now = build_table(read_manifest(results / f"manifests/{name}.json"), self.clone.folder)
        except LayoutError:
            return False
        return (results / f"tables/{name}.csv").read_text() != now.csv or (
            results / f"tables/{name}.md"
        ).read_text() != now.markdown
