"""What tables show of cells that another run measures."""

from pathlib import Path

import factories as make
from dissect.present.tables.columns import status_of
from dissect.present.tables.tidy import read_record
from dissect.results.store import STORE_DIR, Failure, Store


def test_a_cell_that_failed_in_another_run_is_not_said_to_wait(tmp_path: Path) -> None:
    cell = make.published_cell(tmp_path, make.ok_result(make.pretrain_spec()), platform="h200")
    (tmp_path / str(cell.path)).unlink()
    facts, entry = make.platform_facts("H200", "H200-141G"), Store(tmp_path / STORE_DIR).entry(str(cell.key))
    assert status_of(read_record(cell, facts, tmp_path)) == "waiting"
    entry.folder.mkdir(parents=True, exist_ok=True)
    entry.write_failure(Failure(attempt=2, phase=None, reason="no such device", log="log.txt", failed_at="2026-11-30"))
    record = read_record(cell, facts, tmp_path)
    assert (status_of(record), record.reason) == ("failed", "attempt 2 failed: no such device; log: log.txt")
