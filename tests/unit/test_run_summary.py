"""The last lines of a run, from what lies on disk."""

from pathlib import Path

import pytest

from dissect.cells.cell import Cell
from dissect.cells.study import Study, load_study
from dissect.present.run_summary import summary_lines
from dissect.results.store import Failure, Store


@pytest.fixture(autouse=True)
def nothing_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cell_of(study: Study, method: str) -> Cell:
    return next(cell for cell in study.experiments["table_III"] if cell.method == method)


def lines(study: Study, folder: Path) -> list[str]:
    return list(summary_lines(study, Store(folder / "store"), folder / "logs", folder / "job_logs"))


def slurm_log(folder: Path, cell: Cell, job: int) -> Path:
    log = folder / f"logs/rule_measure_pretrain/pretrain_{cell.method}_{cell.key}/{job}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    return log


def fail(folder: Path, cell: Cell) -> None:
    failure = Failure(attempt=2, phase=None, reason="it broke", log="store/log.txt", failed_at="2026-01-01")
    entry = Store(folder / "store").entry(cell.key or "")
    entry.folder.mkdir(parents=True)
    entry.write_failure(failure)


def test_nothing_happened_yet(project: Path, tmp_path: Path) -> None:
    assert lines(load_study(project, {}), tmp_path) == []


def test_a_recorded_failure_names_both_logs(project: Path, tmp_path: Path) -> None:
    study = load_study(project, {})
    cell = cell_of(study, "Q")
    fail(tmp_path, cell)
    assert lines(study, tmp_path)[0] == f"failed: {cell.id}: it broke (attempt 2); log: store/log.txt"
    slurm_log(tmp_path, cell, 9)
    last = slurm_log(tmp_path, cell, 10)
    assert lines(study, tmp_path)[0].endswith(f"(attempt 2); log: store/log.txt; Slurm's log: {last}")


def test_a_killed_job_has_only_slurm_s_log(project: Path, tmp_path: Path) -> None:
    study = load_study(project, {})
    cell = cell_of(study, "Z2")
    log = slurm_log(tmp_path, cell, 7)
    first, second = lines(study, tmp_path)
    assert first == (f"failed: {cell.id}: its job was killed, by the scheduler or with its node; Slurm's log: {log}")
    assert second == f"not built: table_III needs {cell.id}"


def test_a_job_that_could_record_nothing_is_quoted(project: Path, tmp_path: Path) -> None:
    study = load_study(project, {})
    cell = cell_of(study, "Z2")
    slurm_log(tmp_path, cell, 7)
    log = tmp_path / "job_logs" / cell.id / f"{cell.key}.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{cell.key}: measuring\n{cell.key}: failed: No space left on device; log: store/log.txt\n")
    assert lines(study, tmp_path)[0].startswith(
        f"failed: {cell.id}: No space left on device; log: store/log.txt; Slurm's log: "
    )
