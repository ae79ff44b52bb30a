"""Progress of a run, for a second terminal: cells done, failed, running and waiting, and an estimate of the rest.

It only reads: results, failures, and the file that a measuring process leaves beside its lock. Imports no torch.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from statistics import median

from tabulate import tabulate

from dissect.base.outcome import Status
from dissect.cells.cell import Cell
from dissect.cells.study import Study
from dissect.results.activity import Activity, activity_of, is_true, slurm_jobs
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
class Seen:
    """One cell with its state."""

    cell: Cell
    state: State
    outcome: str | None = None
    """Outcome of a finished cell."""
    wall_s: float | None = None
    """Wall time of a finished cell in seconds."""
    activity: Activity | None = None
    """Activity of a running or interrupted cell."""
    doing: str = ""
    """What a running cell does, as far as its files show."""
    failure: Failure | None = None

    @property
    def budget_s(self) -> float | None:
        """The cell's budget in seconds; None if it has none."""
        return _budget_s(self.cell)


def _budget_s(cell: Cell) -> float | None:
    budget: float | None = json.loads(cell.canonical or "{}").get("sampling", {}).get("budget_s")
    return budget


class Look:
    """Reads the state of all cells of a study, as often as called; a finished cell is read once."""

    def __init__(self, study: Study, store: Store) -> None:
        self._cells = {path: study.by_path[path] for path in study.selected_targets}
        self._store = store
        self._finished: dict[Path, tuple[int, str, float]] = {}

    def __call__(self, now: datetime) -> list[Seen]:
        """The state of all cells at the time ``now``."""
        keys, jobs = self._store.keys(), cache(slurm_jobs)
        return [self._look(Path(path), cell, keys, now, jobs) for path, cell in self._cells.items()]

    def _look(self, path: Path, cell: Cell, keys: Set[str], now: datetime, jobs: Callable[[], Set[str] | None]) -> Seen:
        if cell.key is None or cell.key not in keys:
            return self._done(cell, path) or Seen(cell, State.WAITING)
        entry = self._store.entry(cell.key)
        activity = activity_of(entry)
        ours = activity is not None and activity.publishes == str(path)
        if ours and activity is not None and is_true(activity, entry.held(), _budget_s(cell) or 0.0, now, jobs):
            return Seen(cell, State.RUNNING, activity=activity, doing=_doing(entry, activity))
        for finished in (path, *(run.path for run in entry.run_files())):
            if done := self._done(cell, finished):
                return done
        if ours:
            return Seen(cell, State.INTERRUPTED, activity=activity)
        failure = entry.failure()
        return Seen(cell, State.FAILED, failure=failure) if failure else Seen(cell, State.WAITING)

    def _done(self, cell: Cell, path: Path) -> Seen | None:
        """A finished cell, or None; a broken result does not count."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            changed = path.stat().st_mtime_ns
            if path not in self._finished or self._finished[path][0] != changed:
                document = json.loads(path.read_bytes())
                result = document["runs"][-1] if "runs" in document else document
                self._finished[path] = (changed, result["status"], result["durations"]["total_s"])
            _, outcome, wall_s = self._finished[path]
            return Seen(cell, State.DONE, outcome, wall_s)
        return None


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


Kind = tuple[object, ...]


def kinds(cell: Cell) -> tuple[Kind, ...]:
    """Kinds of cells that a cell belongs to, the most specific first; a ``max`` search takes longer than one batch."""
    base = (cell.stage, cell.platform, cell.batch == "max")
    more = (cell.framework, cell.model)
    return ((*base, *more, cell.method), (*base, *more), (*base, cell.framework), base)


def times_by_kind(seen: Iterable[Seen]) -> dict[Kind, float]:
    """Median seconds of the finished cells of each kind; cells skipped without running do not count."""
    times: dict[Kind, list[float]] = defaultdict(list)
    for each in seen:
        if each.wall_s is not None and each.outcome != Status.SKIPPED_OOM:
            for kind in kinds(each.cell):
                times[kind].append(each.wall_s)
    return {kind: median(found) for kind, found in times.items()}


@dataclass(frozen=True)
class RemainingWork:
    """The work that is left, with estimates of its time."""

    seconds: float = 0.0
    """Estimated seconds of the cells with a finished cell of the same kind, one after the other."""
    unknown: int = 0
    """Number of cells without a finished cell of the same kind."""
    at_most_s: float = 0.0
    """Sum of the budgets of those cells in seconds."""


def work_left(seen: Sequence[Seen], times: Mapping[Kind, float], now: datetime) -> RemainingWork:
    """Estimate from the finished cells of the nearest kind; two names of one key are measured once."""
    seconds, at_most, unknown = 0.0, 0.0, 0
    waiting_first = sorted((each for each in seen if each.state in LEFT), key=lambda each: -LEFT.index(each.state))
    for each in {each.cell.key: each for each in waiting_first}.values():
        took = next((times[kind] for kind in kinds(each.cell) if kind in times), None)
        spent = each.activity.seconds(now) if each.activity and each.state is State.RUNNING else 0.0
        if took is None:
            unknown += 1
            at_most += max(0.0, (each.budget_s or 0.0) - spent)
        else:
            seconds += max(0.0, took - spent)
    return RemainingWork(seconds, unknown, at_most)


def progress_text(seen: Sequence[Seen], now: datetime) -> str:
    """Text for the terminal: counts by platform and stage, running and failed cells, and an estimate of the rest."""
    counts = Counter(each.state for each in seen)
    numbers = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    lines = [f"{now:%Y-%m-%d %H:%M:%S} UTC: {len(seen)} cells{': ' if numbers else ''}{numbers}", ""]
    times = times_by_kind(seen)
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


def _counts(seen: Sequence[Seen], times: Mapping[Kind, float], now: datetime) -> str:
    groups: dict[tuple[str, str], list[Seen]] = defaultdict(list)
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


def _verdict(seen: Sequence[Seen], work: RemainingWork) -> str:
    """The last line: the estimated remaining time, or that nothing is left."""
    running = sum(each.state is State.RUNNING for each in seen)
    if not any(each.state in LEFT for each in seen):
        failed = any(each.state is State.FAILED for each in seen)
        return (
            "nothing runs, nothing waits; the next run tries what failed again" if failed else "everything is measured"
        )
    pace = f"{running} at a time" if running > 1 else "one after the other"
    known = f"about {span(work.seconds / max(1, running))} left, {pace}" if work.seconds or not work.unknown else ""
    unknown = (
        f"unknown time for {work.unknown} cells"
        + (f", at most {span(work.at_most_s)} by their budgets" if work.at_most_s else "")
        if work.unknown
        else ""
    )
    idle = "" if running else "nothing is measured at the moment"
    return "; ".join(part for part in (known, unknown, idle) if part)


def _amount(work: RemainingWork) -> str:
    known = span(work.seconds) if work.seconds or not work.unknown else ""
    return " + ".join(part for part in (known, f"{work.unknown} unknown" if work.unknown else "") if part)


def span(seconds: float) -> str:
    """A duration in words: 40 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{max(0.0, seconds):.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def reports(study: Study, store: Store, every_s: float | None) -> Iterator[str]:
    """Yield one report, or one every ``every_s`` seconds while cells are left."""
    look = Look(study, store)
    while True:
        now = datetime.now(UTC)
        seen = look(now)
        yield progress_text(seen, now)
        if every_s is None or not any(each.state in LEFT for each in seen):
            return
        time.sleep(every_s)


def show_progress(study: Study, store: Store) -> None:
    """Print the progress once, or with ``every`` repeatedly, in place on a terminal, until Ctrl-C or the end."""
    clear = "\x1b[2J\x1b[H" if sys.stdout.isatty() and study.catalog.root.every else ""
    with suppress(KeyboardInterrupt):
        for report in reports(study, store, study.catalog.root.every):
            print(clear + report, flush=True)
