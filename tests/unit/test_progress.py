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
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.study import Study, load_study
from dissect.predict.outlook import Outlook
from dissect.present.plan import plan_table
from dissect.present.progress import CellProgress, ProgressReader, State, progress_text, reports, span, work_left
from dissect.present.run_times import measured_times
from dissect.results.activity import FILE, MARGIN_S, Activity, activity_of, announced, is_true
from dissect.results.result import Durations
from dissect.results.store import Failure, Store
from factories import measured_at, ok_result

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


def measure(store: Store, cell: Cell, *walls_s: float) -> None:
    """Leave a run in the store for each of these wall times."""
    for minute, wall_s in enumerate(walls_s):
        run = measured_at(ok_result(parse_spec(cell.canonical or "")), minute)
        store.entry(run.key).write_run(run.model_copy(update={"durations": Durations(total_s=wall_s)}), [])


def waiting(cell: Cell, lacks: int = 1) -> CellProgress:
    return CellProgress(cell, State.WAITING, lacks)


def seconds_left(study: Study, store: Store, *seen: CellProgress) -> float:
    return work_left(seen, ProgressReader(study, store).times, NOW).seconds


def seen_of(study: Study, store: Store, cell: Cell) -> CellProgress:
    return next(each for each in ProgressReader(study, store).read(NOW) if each.cell == cell)


def state_of(study: Study, store: Store, cell: Cell) -> State:
    return seen_of(study, store, cell).state


def text_of(study: Study, store: Store) -> str:
    reader = ProgressReader(study, store)
    return progress_text(reader.read(NOW), reader.times, NOW)


def leave(store: Store, cell: Cell, left: Activity) -> None:
    entry = store.entry(cell.key or "")
    entry.folder.mkdir(parents=True)
    (entry.folder / "lock").touch()
    (entry.folder / FILE).write_text(left.model_dump_json())


def test_nothing_was_measured_yet(study: Study, store: Store) -> None:
    number, text = len(study.selected_targets), text_of(study, store)
    assert {each.state for each in ProgressReader(study, store).read(NOW)} == {State.WAITING}
    assert f"{number} cells: {number} waiting; {5 * number} runs to measure\n" in text
    assert f"{number} cells not predicted, at most" in text
    assert text.endswith("nothing is measured at the moment")


def test_a_live_process_is_running_and_a_killed_one_interrupted(study: Study, store: Store) -> None:
    """The lock tells, whatever the file says: SIGKILL leaves the file and frees the lock."""
    cell = cells_of(study)[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-c", HOLDER, cell.key or "", cell.path or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        now, reader = datetime.now(UTC), ProgressReader(study, store)
        (running,) = (each for each in reader.read(now) if each.state is State.RUNNING)
        assert running.cell == cell
        text = progress_text([running], reader.times, now)
        assert f"{cell.id}  starting, for " in text
        assert f"attempt 3, on {platform.node()}" in text
        os.kill(holder.pid, signal.SIGKILL)
    assert activity_of(store.entry(cell.key or "")) is not None
    assert state_of(study, store, cell) is State.INTERRUPTED
    text = text_of(study, store)
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
        assert seen_of(study, store, cell).doing == doing
    (folder / "log.txt").write_text("a library's line\ntrial of batch 4: ok\n")
    seen = seen_of(study, store, cell)
    assert seen.doing == "under load (trial of batch 4: ok)"
    (folder / "log.txt").unlink()
    old = (NOW - timedelta(days=1)).timestamp()
    for name in ("server.log", "guidellm.log"):
        os.utime(folder / name, (old, old))
    assert seen_of(study, store, cell).doing == "starting"


def test_a_failed_cell_shows_reason_and_log(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    entry = store.entry(cell.key or "")
    entry.folder.mkdir(parents=True)
    entry.write_failure(Failure(attempt=2, phase=Phase.BUILD, reason="it broke", log="log.txt", failed_at="2026-01-01"))
    text = text_of(study, store)
    assert f"{cell.id}  it broke in phase build (attempt 2, 2026-01-01); log: log.txt" in text


def test_a_broken_result_is_not_done(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    path = Path(cell.path or "")
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "ok"')
    assert state_of(study, store, cell) is State.WAITING


def test_a_cell_is_done_once_it_has_all_its_runs(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    assert cell.runs == 5
    reader = ProgressReader(study, store)
    for number in range(1, 5):
        measure(store, cell, *range(number))
        assert next(each for each in reader.read(NOW) if each.cell == cell) == waiting(cell, 5 - number)
    measure(store, cell, *range(5))
    assert next(each for each in reader.read(NOW) if each.cell == cell) == CellProgress(cell, State.DONE, outcome="ok")


def test_the_rest_is_predicted_as_by_the_plan_from_runs_that_have_just_ended(study: Study, store: Store) -> None:
    """A cell that still lacks runs is not published yet."""
    one, two, *_, other = cells_of(study)
    assert one.framework == two.framework != other.framework
    reader = ProgressReader(study, store)
    assert work_left([waiting(two)], reader.times, NOW).unknown == 1
    measure(store, one, 10, 30, 20)
    reader.read(NOW)
    work = work_left([waiting(two, lacks=4), waiting(other)], reader.times, NOW)
    assert (work.seconds, work.unknown) == (4 * 20, 1)
    planned = plan_table(study, store, measured_times(study, Path())).set_index("key").loc[two.key]
    ends = tuple(4 * planned[name] for name in ("run_s", "run_low_s", "run_high_s"))
    assert (work.seconds, work.low_s, work.high_s) == ends
    assert work.low_s < work.seconds < work.high_s
    assert work.at_most_s == CellProgress(other, State.WAITING).budget_s > 0


def test_runs_on_a_platform_that_is_only_selected_count(project: Path, store: Store) -> None:
    selected = load_study(project, {"platforms": ["cpu"], "select": "operators/h200-x2/-/memcpy/*/*"})
    one, two, *_ = cells_of(selected)
    measure(store, one, 10)
    assert seconds_left(selected, store, waiting(two)) == 10


def test_time_already_spent_and_cells_at_a_time_count(study: Study, store: Store) -> None:
    one, two, three, *_ = [cell for cell in cells_of(study) if cell.framework == "deepspeed"]
    measure(store, one, 3600)
    seen = [
        *(CellProgress(cell, State.RUNNING, 1, activity=activity(seconds=1800)) for cell in (one, two)),
        waiting(three),
    ]
    assert seconds_left(study, store, *seen) == 1800 + 1800 + 3600
    last = progress_text(seen, ProgressReader(study, store).times, NOW).splitlines()[-1]
    assert last.startswith("about 60 min (")
    assert last.endswith(") left (predicted), 2 at a time")


def test_two_names_of_one_key_are_measured_once(study: Study, store: Store) -> None:
    cell = cells_of(study)[0]
    measure(store, cell, 100)
    running = CellProgress(cell, State.RUNNING, 1, activity=activity(seconds=40))
    assert seconds_left(study, store, running, waiting(cell)) == 60


def test_cells_that_run_out_of_memory_need_one_run_or_none(project: Path, store: Store) -> None:
    asked = {"platforms": ["rtx4090"], "models": ["llama2-7b"], "tables": ["table_III"], "figures": [], "suite": "full"}
    study = load_study(project, asked)
    plan, times = plan_table(study, store).set_index("key"), ProgressReader(study, store).times
    runs: dict[str, set[int]] = {}
    for cell in cells_of(study):
        row = plan.loc[cell.key]
        runs.setdefault(row["outlook"] if row["status"] == "to run" else row["status"], set()).add(
            times.of(cell).runs(5)
        )
    assert (runs["will not fit"], runs[Outlook.RUNS_OUT], runs[Outlook.FITS]) == ({0}, {1}, {5})
    fitting = plan[plan["status"] == "to run"]
    assert work_left([waiting(cell) for cell in cells_of(study)], times, NOW).unknown == fitting.index.nunique()


def test_the_end_is_said_and_ends_the_repetition(study: Study, store: Store) -> None:
    cells = cells_of(study)
    times = ProgressReader(study, store).times
    finished = [CellProgress(cell, State.DONE, outcome="ok") for cell in cells]
    assert progress_text(finished, times, NOW).endswith("everything is measured")
    with_failure = [finished[0], CellProgress(cells[1], State.FAILED)]
    assert progress_text(with_failure, times, NOW).endswith("the next run tries what failed again")
    for cell in cells:
        measure(store, cell, *range(cell.runs))
    (only,) = reports(study, store, every_s=1e9)
    assert only.endswith("everything is measured")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (99, "99 s"), (600, "10 min"), (11100, "3 h 05 min")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
