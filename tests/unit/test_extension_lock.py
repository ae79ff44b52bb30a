"""The lock of torch's extensions, which ranks of another cell take while a cell prepares."""

import os
import threading
import time
from pathlib import Path

import pytest

from dissect.stages.training.deepspeed import trainer


def test_a_lock_that_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (lock := tmp_path / "lock").touch()
    os.utime(lock, (0, time.time() - trainer.LOAD_S))
    trainer.remove_left_lock(lock)
    assert not lock.exists()
    trainer.remove_left_lock(lock)


def test_a_lock_that_a_rank_holds_is_waited_for(tmp_path: Path) -> None:
    (lock := tmp_path / "lock").touch()
    seen: list[bool] = []

    def release() -> None:
        time.sleep(0.5)
        seen.append(lock.exists())
        lock.unlink()  # as torch does, which would fail without the file

    rank = threading.Thread(target=release)
    rank.start()
    trainer.remove_left_lock(lock)
    rank.join()
    assert seen == [True]


def test_a_young_lock_that_nobody_removes_is_old_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "LOAD_S", 0.3)
    (lock := tmp_path / "lock").touch()
    trainer.remove_left_lock(lock)
    assert not lock.exists()
