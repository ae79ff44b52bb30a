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


def test_the_clock_of_a_file_server_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "LOAD_S", 0.3)
    (lock := tmp_path / "lock").touch()
    os.utime(lock, (0, time.time() + 3600))
    waiting = threading.Thread(target=trainer.remove_left_lock, args=(lock,), daemon=True)
    waiting.start()
    waiting.join(10)
    assert not lock.exists()


def test_a_lock_that_one_rank_takes_after_another_is_young_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOAD_S", 1.0)
    (lock := tmp_path / "lock").touch()
    waiting = threading.Thread(target=trainer.remove_left_lock, args=(lock,))
    waiting.start()
    time.sleep(0.7)
    lock.touch()
    waiting.join(0.7)
    assert lock.exists()
    waiting.join()
    assert not lock.exists()


def test_a_young_lock_that_nobody_removes_is_old_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "LOAD_S", 0.3)
    (lock := tmp_path / "lock").touch()
    trainer.remove_left_lock(lock)
    assert not lock.exists()
