"""One clone that is edited again and again: after each edit, what Snakemake plans against what must happen."""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

from clones import Clone, new_clone
from proof import edits, planning
from proof.oracle import REPORT, Expected, expected
from proof.planning import Plan
from proof.project import Draw, Edit
from proof.reading import Refused

MUST, NEED_NOT = "should be measured but was not", "measured but need not"
STALE, NEEDLESS = "table stale", "table rebuilt needlessly"
ACCEPTED, REFUSED = "wrong but not refused in one sentence", "right but refused"
MISTAKES = [MUST, NEED_NOT, STALE, NEEDLESS, ACCEPTED, REFUSED]

CONFIGURATION = ("config", "envs", "rules", "profiles", "Snakefile")
LOST = "result file lost"
BACK = "back to an earlier state"
MANY_CELLS, TOO_MANY_CELLS = 160, 400
"""Large studies are slow to plan: beyond the first number they go back to where they began, the second is no edit."""


@dataclass
class Tally:
    """What all edits of one kind did."""

    edits: int = 0
    refused: int = 0
    measured: int = 0
    drew_only: int = 0
    nothing: int = 0
    cells: int = 0
    mistakes: Counter[str] = field(default_factory=Counter)


@dataclass
class Mistake:
    """One difference between what was planned and what must happen."""

    what: str
    way: str
    details: str
    history: list[str]


class Session:
    """A clone, what was measured and drawn in it so far, and the states that it was in."""

    new_clone: Callable[[Path], Clone] = staticmethod(new_clone)
    start = {
        "platforms: [cpu]": "platforms: [cpu, h200]",
        "models: [llama2-7b, llama2-13b, llama2-70b]": "models: [llama2-7b]",
    }
    """What config.yaml says first."""

    def __init__(self, folder: Path, tallies: dict[str, Tally], mistakes: list[Mistake]) -> None:
        self.clone = self.new_clone(folder / "clone")
        for old, new in self.start.items():
            self.clone.edit("config/config.yaml", old, new)
        self.folder, self.tallies, self.mistakes = folder, tallies, mistakes
        self.measured: dict[str, int] = {}
        """Fingerprint of every cell that the store has -> its runs."""
        self.keys: dict[str, int] = {}
        """The same by key."""
        self.drawn: dict[tuple[str, str], str] = {}
        """What each table showed when it was drawn last."""
        self.touched: set[tuple[str, str]] = set()
        """Tables of which a manifest or cell was written since they were drawn, though it says the same."""
        self.known_cells: frozenset[tuple[str, str]] = frozenset()
        self.history: list[str] = []
        self.states = [self.configuration()]
        self.begin()

    @property
    def steps(self) -> int:
        """Edits so far."""
        return len(self.history)

    def begin(self) -> None:
        """Measure and draw what there is."""
        self.accept(expected(self.clone.folder, {}), planning.run(self.clone.folder))

    def configuration(self) -> dict[str, bytes]:
        """Every file that an edit may change."""
        root = self.clone.folder
        found = [path for name in CONFIGURATION for path in [root / name, *(root / name).rglob("*")]]
        return {str(path.relative_to(root)): path.read_bytes() for path in found if path.is_file()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Go back to a state; only files that differ are written."""
        now = self.configuration()
        for name in now.keys() - state.keys():
            (self.clone.folder / name).unlink()
        for name, content in state.items():
            if now.get(name) != content:
                (self.clone.folder / name).write_bytes(content)

    def step(self, draw: Draw) -> None:
        """One edit, planned three ways; then it is as if it had run."""
        self.judge(self.edit(draw))

    def judge(self, edit: Edit) -> None:
        """Compare what is planned after an edit with what must happen."""
        wanted = self.wanted(edit)
        if edit.kind == "nothing" or self.skips(wanted):
            self.restore(self.states[-1])
            return
        self.history.append(f"{edit.kind}: {edit.what}")
        if edit.kind == LOST:
            self.touched |= self.drawn.keys()
        found, plan = self.compare(wanted)
        self.count(edit, wanted, found)
        if wanted is None:
            self.restore(self.states[-1])
        else:
            self.states.append(self.configuration())
            self.accept(wanted, plan)

    def wanted(self, edit: Edit) -> Expected | None:
        """What must come of an edit; None if it must be refused."""
        try:
            return None if edit.wrong else expected(self.clone.folder, self.measured)
        except Refused:
            return None

    def skips(self, wanted: Expected | None) -> bool:
        """Whether an edit is not looked at."""
        return wanted is not None and len(wanted.cells) > TOO_MANY_CELLS

    def count(self, edit: Edit, wanted: Expected | None, found: list[Mistake]) -> None:
        """Add an edit, and the mistakes after it, to the tally of its kind."""
        tally = self.tallies.setdefault(edit.kind, Tally())
        tally.edits += 1
        tally.mistakes.update(mistake.what for mistake in found)
        self.mistakes += found
        if wanted is None:
            tally.refused += 1
            return
        new = self.new_cells(wanted)
        draws = any(self.drawn.get(job) != wanted.drawn[job] for job in wanted.wanted)
        tally.cells += len(new)
        tally.measured += bool(new)
        tally.drew_only += draws and not new
        tally.nothing += not draws and not new

    def new_measurements(self, wanted: Expected) -> list[tuple[int, set[str]]]:
        """The same as (runs that are missing, names): cells that come out the same are measured once."""
        new: dict[str, set[str]] = {}
        for cell, fingerprint in wanted.cells:
            if self.lacks(wanted, fingerprint):
                new.setdefault(fingerprint, set()).add(cell)
        return [(self.lacks(wanted, fingerprint), new[fingerprint]) for fingerprint in sorted(new)]

    def new_cells(self, wanted: Expected) -> set[str]:
        """Ids of the cells that lack runs."""
        return {cell for cell, fingerprint in wanted.cells if self.lacks(wanted, fingerprint)}

    def lacks(self, wanted: Expected, fingerprint: str) -> int:
        """How many runs a cell lacks."""
        return max(0, wanted.runs[fingerprint] - self.measured.get(fingerprint, 0))

    def edit(self, draw: Draw) -> Edit:
        """Draw an edit and make it."""
        large = len(self.known_cells) > MANY_CELLS
        if large or (len(self.states) > 1 and draw(st.integers(0, 9)) == 9):
            index = 0 if large else draw(st.integers(0, len(self.states) - 1))
            self.restore(self.states[index])
            return Edit(BACK, f"state {index}")
        kinds = [kind for kind, often in edits.EDITS.items() for _ in range(often)]
        return draw(st.sampled_from(kinds))(draw, self.clone.folder)

    def accept(self, wanted: Expected, plan: Plan) -> None:
        """The plan has run: remember what there is now."""
        self.known_cells = wanted.cells
        for known, runs in ((self.measured, wanted.runs), (self.keys, plan.runs)):
            known |= {each: max(number, known.get(each, 0)) for each, number in runs.items()}
        self.touched |= {job for job, shows in wanted.drawn.items() if self.drawn.get(job, shows) != shows}
        self.touched -= plan.drawn
        self.drawn |= {job: wanted.drawn[job] for job in wanted.wanted}

    def compare(self, wanted: Expected | None) -> tuple[list[Mistake], Plan]:
        """Every mistake of the three plans; the last of them, in the clone itself, has run."""
        ignored = shutil.ignore_patterns(".snakemake")
        ways = {
            "without .snakemake": lambda: planning.plan(self.copied(self.folder / "bare", ignored)),
            "fresh clone": lambda: planning.plan(self.copied(self.folder / "fresh", ignored)),
            "as it is": lambda: planning.run(self.clone.folder),
        }
        mistakes = []
        for way, planned in ways.items():
            plan = attempt(planned)
            faults = self.refusals(plan, wanted) or self.faults(plan, wanted, exact=way != "fresh clone")
            mistakes += [Mistake(what, way, details, list(self.history)) for what, details in faults]
        return mistakes, plan

    def copied(self, target: Path, ignored: object) -> Path:
        """A copy; in one called fresh all times are new and in no useful order."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.clone.folder, target, symlinks=True, ignore=ignored)  # type: ignore[arg-type]
        if target.name == "fresh":
            paths = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
            newest = max(path.stat().st_mtime for path in paths)
            for index, path in enumerate(random.Random(len(self.history)).sample(sorted(paths), len(paths))):
                os.utime(path, (newest + index / 1000,) * 2)
        return target

    def refusals(self, plan: Plan, wanted: Expected | None) -> list[tuple[str, str]]:
        """Whether a wrong configuration, and only that, is refused in one sentence that names a file."""
        sentence = plan.refusal or ""
        if wanted is None:
            clear = sentence.startswith("llm-dissect: config/") and "\n" not in sentence
            return [] if clear else [(ACCEPTED, sentence or "planned")]
        return [(REFUSED, sentence)] if sentence else []

    def faults(self, plan: Plan, wanted: Expected | None, exact: bool) -> list[tuple[str, str]]:
        """Cells and tables in both directions."""
        if wanted is None:
            return []
        must = self.new_cells(wanted)
        does = {cell for cell, key in plan.cells if plan.runs[key] > self.keys.get(key, 0)}
        stale = {job for job in wanted.wanted if self.drawn.get(job) != wanted.drawn[job]}
        may = stale | self.touched | ({REPORT} if plan.drawn - {REPORT} else set())  # it reads what all others write
        return [
            *((MUST, cell) for cell in sorted(must - does)),
            *((NEED_NOT, cell) for cell in sorted(does - must)),
            *((MUST, f"{cell} has as many keys as it should not") for cell in self.miscounted(plan, wanted)),
            *((STALE, " ".join(job)) for job in sorted(stale - plan.drawn)),
            *((NEEDLESS, " ".join(job)) for job in sorted(plan.drawn - may) if exact),
        ]

    def miscounted(self, plan: Plan, wanted: Expected) -> list[str]:
        """Cells that stand in several tables with other specs must have as many keys."""
        keys = Counter(cell for cell, _ in plan.known)
        specs = Counter(cell for cell, _ in wanted.cells)
        return sorted(cell for cell in keys | specs if keys[cell] != specs[cell])


def attempt(planned: Callable[[], Plan]) -> Plan:
    """The plan; a traceback is no sentence."""
    try:
        return planned()
    except Exception as error:
        return Plan(refusal=f"{type(error).__name__}: {error}"[:300])
