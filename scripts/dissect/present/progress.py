"""Progress of a run, for a second terminal: cells done, failed, running and waiting, and how long the rest takes.

It only reads: results, failures, and the file that a measuring process leaves beside its lock. The rest is predicted as
by ``plan``, from the same runs, among them those of this run that have just ended. Imports no torch.
"""

import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path

from tabulate import tabulate

from dissect.cells.cell import Cell
from dissect.cells.study import Study
from dissect.present.no_cells import why_no_cells
from dissect.present.run_times import RunTimes, measured_times
from dissect.results.activity import Activity, activity_of, is_true, slurm_jobs
from dissect.results.cell_runs import CellRuns
from dissect.results.result import ResultError
from dissect.results.store import Entry, Failure, Store

SIGNS = (("under load", "guidellm.log"), ("server starts", "server.log"), ("ranks at work", "ranks"))
"""(Activity, name of the newest file or folder that shows it)."""
TELLING = ("trial of batch", "waiting for", "making the checkpoint")
"""Beginnings of those lines of a cell's log that show its progress."""


class State(StrEnum):
    """State of one cell."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"


LEFT = (State.RUNNING, State.INTERRUPTED, State.WAITING)
"""States of cells that a run still has to measure; the next run measures failed cells again."""


@dataclass(frozen=True)
class CellProgress:
    """One cell with its state."""

    cell: Cell
    state: State
    lacks: int = 0
    """Runs that are left to measure, the one under way among them."""
    outcome: str | None = None
    """Outcome of a finished cell."""
    activity: Activity | None = None
    """Activity of a running or interrupted cell."""
    doing: str = ""
    """What a running cell does, as far as its files show."""
    failure: Failure | None = None

    def spent_s(self, now: datetime) -> float:
        """Seconds since the run under way started; 0 without one."""
        return self.activity.seconds(now) if self.activity and self.state is State.RUNNING else 0.0

    @property
    def budget_s(self) -> float:
        """The budget of a run in seconds; 0 if it has none."""
        return _budget_s(self.cell)


def _budget_s(cell: Cell) -> float:
    budget: float | None = json.loads(cell.canonical or "{}").get("sampling", {}).get("budget_s")
    return budget or 0.0


class ProgressReader:
    """Reads the state of all cells of a study, as often as called; what has not changed is read once."""

    def __init__(self, study: Study, store: Store) -> None:
        self._study, self._store = study, store
        self._known: dict[Path, tuple[tuple[object, ...], CellRuns | None]] = {}
        self._times: RunTimes | None = None

    def read(self, now: datetime) -> list[CellProgress]:
        """The state of all cells at the time ``now``."""
        cells, jobs = {path: self._study.by_path[path] for path in self._study.selected_targets}, cache(slurm_jobs)
        return [self._read_cell(Path(path), cell, now, jobs) for path, cell in cells.items()]

    @property
    def times(self) -> RunTimes:
        """What all runs that are there tell of the time of others."""
        if self._times is None:
            self._times = measured_times(self._study, Path(), self._runs)
        return self._times

    def _read_cell(self, path: Path, cell: Cell, now: datetime, jobs: Callable[[], Set[str] | None]) -> CellProgress:
        entry, runs = self._store.entry(path.stem), self._runs(path)
        lacks = runs.lacking(cell.runs) if runs else cell.runs
        activity = activity_of(entry)
        ours = activity is not None and activity.publishes == str(path)
        if ours and activity is not None and is_true(activity, entry.held(), _budget_s(cell), now, jobs):
            return CellProgress(cell, State.RUNNING, max(1, lacks), activity=activity, doing=_doing(entry, activity))
        if runs and not lacks:
            return CellProgress(cell, State.DONE, outcome=runs.status)
        if ours:
            return CellProgress(cell, State.INTERRUPTED, lacks, activity=activity)
        failure = entry.failure()
        return CellProgress(cell, State.FAILED if failure else State.WAITING, lacks, failure=failure)

    def _runs(self, path: Path) -> CellRuns | None:
        """The valid runs of a published path, else those of the store, which has them as soon as each has ended."""
        entry = self._store.entry(path.stem)
        version: tuple[object, ...] = tuple(run.id for run in entry.run_files())
        with suppress(FileNotFoundError):
            version = (path.stat().st_mtime_ns, *version)
        if path not in self._known or self._known[path][0] != version:
            found = None
            with suppress(ResultError):
                found = self._store.runs_at(path)
            self._known[path], self._times = (version, found or entry.peek()), None
        return self._known[path][1]


def _doing(entry: Entry, activity: Activity) -> str:
    start = datetime.fromisoformat(activity.started_at).timestamp()
    found = "starting"
    for doing, name in SIGNS:
        with suppress(OSError):
            if (entry.folder / name).stat().st_mtime >= start:
                found = doing
                break
    said = _last_line(entry.log_path)
    return f"{found} ({said})" if said.startswith(TELLING) else found


def _last_line(log: Path) -> str:
    """Last line of the attempt's log; empty without a log."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        return (file.read().decode(errors="replace").strip().splitlines() or [""])[-1]
    return ""


@dataclass(frozen=True)
class RemainingWork:
    """The work that is left, with predictions of its time, one run after the other."""

    seconds: float = 0.0
    low_s: float = 0.0
    high_s: float = 0.0
    unknown: int = 0
    """Number of cells that are not predicted."""
    at_most_s: float = 0.0
    """Sum of the budgets of those cells in seconds."""


def work_left(seen: Sequence[CellProgress], times: RunTimes, now: datetime) -> RemainingWork:
    """Predict the runs that are left; two names of one key are measured once."""
    seconds = low = high = at_most = 0.0
    unknown = 0
    waiting_first = sorted((each for each in seen if each.state in LEFT), key=lambda each: -LEFT.index(each.state))
    for each in {each.cell.key: each for each in waiting_first}.values():
        run, spent_s = times.of(each.cell), each.spent_s(now)
        runs = run.runs(each.lacks)
        if run.wall is None:
            unknown += runs > 0
            at_most += max(0.0, each.budget_s * runs - spent_s)
        else:
            seconds += max(0.0, run.wall.seconds * runs - spent_s)
            low += max(0.0, run.wall.low_s * runs - spent_s)
            high += max(0.0, run.wall.high_s * runs - spent_s)
    return RemainingWork(seconds, low, high, unknown, at_most)


def progress_text(seen: Sequence[CellProgress], times: RunTimes, now: datetime) -> str:
    """Text for the terminal: counts by platform and stage, running and failed cells, and how long the rest takes."""
    counts = Counter(each.state for each in seen)
    numbers = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    left = [each for each in seen if each.state in LEFT]
    runs = sum(each.lacks for each in left)
    numbers += f"; {runs} runs to measure" if runs > len(left) else ""
    lines = [f"{now:%Y-%m-%d %H:%M:%S} UTC: {len(seen)} cells{': ' if numbers else ''}{numbers}", ""]
    lines += [_counts(seen, times, now), ""]
    by_state = {state: [each for each in seen if each.state is state] for state in State}
    sections = {
        State.RUNNING: [_running(e.cell, e.activity, e.doing, now) for e in by_state[State.RUNNING] if e.activity],
        State.INTERRUPTED: [_interrupted(e.cell, e.activity, now) for e in by_state[State.INTERRUPTED] if e.activity],
        State.FAILED: [_failed(e.cell, e.failure) for e in by_state[State.FAILED] if e.failure],
    }
    for title, found in sections.items():
        lines += [f"{title}:", *(f"  {line}" for line in found), ""] if found else []
    return "\n".join([*lines, _verdict(seen, work_left(seen, times, now))])


def _counts(seen: Sequence[CellProgress], times: RunTimes, now: datetime) -> str:
    groups: dict[tuple[str, str], list[CellProgress]] = defaultdict(list)
    for each in seen:
        groups[each.cell.platform, each.cell.stage].append(each)
    found = {each.state for each in seen} | {State.DONE}
    columns = [state for state in State if state in found]
    is_left = any(state in LEFT for state in found)
    rows = []
    for (platform, stage), group in sorted(groups.items()):
        states = Counter(each.state for each in group)
        outcomes = Counter(each.outcome for each in group if each.outcome)
        left = [_amount(work_left(group, times, now)) if any(each.state in LEFT for each in group) else ""]
        named = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        rows.append([platform, stage, *(states[state] or "-" for state in columns), *left[:is_left], named])
    headers = ["platform", "stage", *columns, *["left"][:is_left], "outcomes"]
    align = ("left", "left", *("right" for _ in headers[3:]), "left") if rows else None
    return tabulate(rows, headers, tablefmt="plain", colalign=align)


def _running(cell: Cell, activity: Activity, doing: str, now: datetime) -> str:
    job = f", job {activity.slurm_job}" if activity.slurm_job else ""
    attempt = f", attempt {activity.attempt}" if activity.attempt > 1 else ""
    return f"{cell.id}  {doing}, for {span(activity.seconds(now))}{attempt}, on {activity.host}{job}"


def _interrupted(cell: Cell, activity: Activity, now: datetime) -> str:
    when = f"attempt {activity.attempt}, begun {span(activity.seconds(now))} ago on {activity.host}"
    return f"{cell.id}  {when}, was killed without a result; the next job measures it"


def _failed(cell: Cell, failure: Failure) -> str:
    phase = f" in phase {failure.phase}" if failure.phase else ""
    when = f"attempt {failure.attempt}, {failure.failed_at}"
    return f"{cell.id}  {failure.reason}{phase} ({when}); log: {failure.log}"


def _verdict(seen: Sequence[CellProgress], work: RemainingWork) -> str:
    """The last line: the predicted remaining time, or that nothing is left."""
    running = sum(each.state is State.RUNNING for each in seen)
    if not any(each.state in LEFT for each in seen):
        failed = any(each.state is State.FAILED for each in seen)
        return (
            "nothing runs, nothing waits; the next run tries what failed again" if failed else "everything is measured"
        )
    pace = f"{running} at a time" if running > 1 else "one after the other"
    middle, low, high = (span(each / max(1, running)) for each in (work.seconds, work.low_s, work.high_s))
    known = f"about {middle} ({low} to {high}) left (predicted), {pace}" if work.high_s or not work.unknown else ""
    unknown = f"{work.unknown} cell{'s' * (work.unknown != 1)} not predicted" if work.unknown else ""
    budgets = f", at most {span(work.at_most_s)} by their budgets" if work.at_most_s else ""
    idle = "" if running else "nothing is measured at the moment"
    return "; ".join(part for part in (known, unknown + budgets, idle) if part)


def _amount(work: RemainingWork) -> str:
    known = span(work.seconds) if work.high_s or not work.unknown else ""
    return " + ".join(part for part in (known, f"{work.unknown} not predicted" if work.unknown else "") if part)


def span(seconds: float) -> str:
    """A duration in words: 40 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{max(0.0, seconds):.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def reports(study: Study, store: Store, every_s: float | None) -> Iterator[str]:
    """Yield one report, or one every ``every_s`` seconds while cells are left."""
    reader = ProgressReader(study, store)
    while True:
        now = datetime.now(UTC)
        seen = reader.read(now)
        yield progress_text(seen, reader.times, now) if seen else why_no_cells(study.catalog)
        if every_s is None or not any(each.state in LEFT for each in seen):
            return
        time.sleep(every_s)


def show_progress(study: Study, store: Store) -> None:
    """Print the progress once, or with ``every`` repeatedly, in place on a terminal, until Ctrl-C or the end."""
    os.nice(19)  # What is measured beside it comes first: predictions take seconds of a core.
    clear = "\x1b[2J\x1b[H" if sys.stdout.isatty() and study.catalog.root.every else ""
    with suppress(KeyboardInterrupt):
        for report in reports(study, store, study.catalog.root.every):
            print(clear + report, flush=True)
