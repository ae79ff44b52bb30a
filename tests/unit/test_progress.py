"""What ``snakemake progress`` says, from what lies in the store."""

import os
import platform
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clones import ROOT
from dissect.base.outcome import Phase
from dissect.cells.cell import Cell
from dissect.cells.study import Study, load_study
from dissect.present.progress import Look, Seen, State, kinds, progress_text, reports, span, times_by_kind, work_left
from dissect.results.activity import FILE, MARGIN_S, Activity, activity_of, announced, is_true
from dissect.results.store import Failure, Store

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOLDER = """
import sys, time
from pathlib import Path
from dissect.results.activity import announced
from dissect.results.store import Store
entry = Store(Path("results/store")).entry(sys.argv[1])
with entry.locked(), announced(entry, Path(sys.argv[2]), 3):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def at_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@pytest.fixture
def study(project: Path) -> Study:
    return load_study(project, {"tables": ["table_III"], "figures": [], "suite": "full"})


@pytest.fixture
def store() -> Store:
    return Store(Path("results/store"))


def cells_of(study: Study) -> list[Cell]:
    return [study.by_path[path] for path in study.selected_targets]


def activity(publishes: str = "a.json", seconds: float = 30, **changes: object) -> Activity:
    started = (NOW - timedelta(seconds=seconds)).isoformat(timespec="seconds")
    fields = {"publishes": publishes, "attempt": 1, "started_at": started, "host": "elsewhere", "pid": 7}
    return Activity.model_validate({**fields, "slurm_job": None, **changes})


def done(cell: Cell, wall_s: float, outcome: str = "ok") -> Seen:
    return Seen(cell, State.DONE, outcome, wall_s)


def state_of(study: Study, store: Store, cell: Cell) -> State:
    return next(each.state for each in Look(study, store)(NOW) if each.cell == cell)


def leave(store: Store, cell: Cell, left: Activity) -> None:
    entry = store.entry(cell.key or "")
    entry.folder.mkdir(parents=True)
    (entry.folder / "lock").touch()
    (entry.folder / FILE).write_text(left.model_dump_json())


def test_nothing_was_measured_yet(study: Study, store: Store) -> None:
    seen = Look(study, store)(NOW)
    text = progress_text(seen, NOW)
    assert {each.state for each in seen} == {State.WAITING}
    assert f"{len(seen)} cells: {len(seen)} waiting" in text
    assert f"unknown time for {len(seen)} cells, at most" in text
    assert text.endswith("nothing is measured at the moment")


def test_a_live_process_is_running_and_a_killed_one_interrupted(study: Study, store: Store) -> None:
    """The lock tells, whatever the file says: SIGKILL leaves the file and frees the lock."""
    cell = cells_of(study)[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-c", HOLDER, cell.key or "", cell.path or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        now = datetime.now(UTC)
        (running,) = (each for each in Look(study, store)(now) if each.state is State.RUNNING)
        assert running.cell == cell
        text = progress_text([running], now)
        assert f"{cell.id}  starting, for " in text
        assert f"attempt 3, on {platform.node()}" in text
        os.kill(holder.pid, signal.SIGKILL)
    assert activity_of(store.entry(cell.key or "")) is not None
    assert state_of(study, store, cell) is State.INTERRUPTED
    text = progress_text(Look(study, store)(NOW), NOW)
    assert f"{cell.id}  attempt 3, begun " in text
    assert "running" not in text


def test_the_file_goes_with_the_attempt(store: Store) -> None:
    entry = store.entry("0123456789ab")

    def fail() -> None:
        with entry.locked(), announced(entry, Path("x.json"), 1):
            assert activity_of(entry)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert activity_of(entry) is None


def test_a_folder_that_cannot_be_written_keeps_no_cell_from_being_measured(store: Store) -> None:
    entry = store.entry("0123456789ab")
    entry.folder.parent.mkdir(parents=True)
    entry.folder.write_text("a file where the folder should be")
    with announced(entry, Path("x.json"), 1):
        assert activity_of(entry) is None


def test_what_other_hosts_leave_is_believed_as_long_as_it_can_be_true() -> None:
    def true(left: Activity, locked: bool = False, jobs: set[str] | None = None, budget_s: float = 100.0) -> bool:
        return is_true(left, locked, budget_s, NOW, lambda: jobs)

    assert true(activity(), locked=True)
    assert not true(activity(host=platform.node()))
    assert true(activity(slurm_job="12"), jobs={"12", "13"})
    assert not true(activity(slurm_job="12"), jobs={"13"})
    assert true(activity(slurm_job="12"), jobs=None)
    assert true(activity(seconds=MARGIN_S))
    assert not true(activity(seconds=MARGIN_S + 101))


def test_a_cell_of_another_name_with_the_same_key_waits(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    leave(store, cell, activity("results/cells/another.json", slurm_job="12"))
    assert state_of(study, store, cell) is State.WAITING


def test_what_a_running_cell_does_shows_in_its_folder(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    leave(store, cell, activity(cell.path or ""))
    folder = store.entry(cell.key or "").folder
    for name, doing in (("server.log", "server starts"), ("guidellm.log", "under load")):
        (folder / name).touch()
        assert next(each.doing for each in Look(study, store)(NOW) if each.cell == cell) == doing
    (folder / "log.txt").write_text("a library's line\ntrial of batch 4: ok\n")
    seen = next(each for each in Look(study, store)(NOW) if each.cell == cell)
    assert seen.doing == "under load (trial of batch 4: ok)"
    (folder / "log.txt").unlink()
    old = (NOW - timedelta(days=1)).timestamp()
    for name in ("server.log", "guidellm.log"):
        os.utime(folder / name, (old, old))
    assert next(each.doing for each in Look(study, store)(NOW) if each.cell == cell) == "starting"


def test_a_failed_cell_shows_reason_and_log(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    entry = store.entry(cell.key or "")
    entry.folder.mkdir(parents=True)
    entry.write_failure(Failure(attempt=2, phase=Phase.BUILD, reason="it broke", log="log.txt", failed_at="2026-01-01"))
    text = progress_text(Look(study, store)(NOW), NOW)
    assert f"{cell.id}  it broke in phase build (attempt 2, 2026-01-01); log: log.txt" in text


def test_a_broken_result_is_not_done(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    path = Path(cell.path or "")
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "ok"')
    assert state_of(study, store, cell) is State.WAITING


def test_estimates_come_from_the_nearest_kind(study: Study) -> None:
    one, two, three, *_ = cells_of(study)
    finished = [done(one, 10), done(two, 100), done(two, 300), done(three, 1, "skipped_oom")]
    times = times_by_kind(finished)
    assert times[kinds(one)[0]] == 10
    assert times[kinds(two)[0]] == 200
    assert kinds(three)[0] not in times, "a cell that never ran says nothing of how long one takes"
    assert work_left([Seen(one, State.WAITING)], times, NOW).seconds == 10
    assert work_left([Seen(three, State.WAITING)], times, NOW).seconds == 100, "that of its model and framework"


def test_time_already_spent_and_cells_at_a_time_count(study: Study) -> None:
    one, two, three, *_ = cells_of(study)
    seen = [
        *(done(cell, 3600) for cell in (one, two, three)),
        *(Seen(cell, State.RUNNING, activity=activity(seconds=1800)) for cell in (one, two)),
        Seen(three, State.WAITING),
    ]
    assert work_left(seen, times_by_kind(seen), NOW).seconds == 1800 + 1800 + 3600
    assert progress_text(seen, NOW).endswith("about 60 min left, 2 at a time")


def test_two_names_of_one_key_are_measured_once(study: Study) -> None:
    cell = cells_of(study)[0]
    seen = [done(cell, 100), Seen(cell, State.RUNNING, activity=activity(seconds=40)), Seen(cell, State.WAITING)]
    assert work_left(seen, times_by_kind(seen), NOW).seconds == 60


def test_a_kind_of_which_none_is_finished_is_said_to_be_unknown(study: Study) -> None:
    one, two, *_ = cells_of(study)
    assert work_left([Seen(one, State.WAITING), Seen(two, State.WAITING)], {}, NOW).unknown == 2


def test_the_end_is_said_and_ends_the_repetition(study: Study, store: Store) -> None:
    cells = cells_of(study)
    assert progress_text([done(cell, 1) for cell in cells], NOW).endswith("everything is measured")
    with_failure = [done(cells[0], 1), Seen(cells[1], State.FAILED)]
    assert progress_text(with_failure, NOW).endswith("the next run tries what failed again")
    for cell in cells:
        path = Path(cell.path or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"status": "ok", "durations": {"total_s": 2.0}}')
    (only,) = reports(study, store, every_s=1e9)
    assert only.endswith("everything is measured")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (99, "99 s"), (600, "10 min"), (11100, "3 h 05 min")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
