"""Publishing when the workflow is parsed: what has enough runs is there, what lacks some is withdrawn."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.cell import Cell, spec_and_key
from dissect.results.cell_runs import read_runs
from dissect.results.publish import Published, publish_stored
from dissect.results.store import Store, withdrawn_copy
from factories import ended_result, measured_at, ok_result, pretrain_spec


@pytest.fixture
def cells(tmp_path) -> dict[str, Cell]:
    """Published path -> cell; the store has two runs of the first, one of the second, none of the third."""
    found = {}
    for batch, runs in ((1, 2), (2, 1), (3, 0)):
        spec = pretrain_spec(batch=batch)
        canonical, key = spec_and_key(spec)
        cell = Cell("pretrain", "h200", "llama2-7b", "deepspeed", "Naive", f"b{batch}", 4, 350, batch, "python")
        found[str(tmp_path / f"{key}.json")] = replace(cell, canonical=canonical, key=key)
        entry = Store(tmp_path / "store").entry(key)
        entry.folder.mkdir(parents=True)
        for number in range(runs):
            entry.write_run(measured_at(ok_result(spec), number), [])
    return found


def needing(runs: int, cells: dict[str, Cell]) -> dict[str, Cell]:
    return {path: replace(cell, runs=runs) for path, cell in cells.items()}


def test_stored_results_are_published_where_they_are_missing(cells, tmp_path):
    store, (first, second, third) = Store(tmp_path / "store"), cells
    assert publish_stored(cells, store).changed == [first, second]
    assert [len(read_runs(Path(path)).runs) for path in (first, second)] == [2, 1]
    assert not Path(third).exists()
    assert publish_stored(cells, store).changed == []
    assert publish_stored(cells, Store(tmp_path / "none")).changed == [], "what is published stays without the store"


def test_what_lacks_runs_is_withdrawn_and_comes_back_with_its_time(cells, tmp_path):
    store, (first, second, _) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    os.utime(second, ns=(10**18, 10**18))
    assert publish_stored(needing(2, cells), store, alone=False) == Published(withheld=[second])
    assert publish_stored(needing(2, cells), store).changed == [second]
    assert not Path(second).exists()
    assert Path(first).exists()
    assert publish_stored(needing(2, cells), store).changed == []
    assert publish_stored(cells, store).changed == [second]
    assert Path(second).stat().st_mtime_ns == 10**18
    assert publish_stored(needing(2, cells), Store(tmp_path / "none")).changed == [second], "also without the store"


def test_a_run_that_joined_is_published(cells, tmp_path):
    store, (_, second, _) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    publish_stored(needing(2, cells), store)
    entry = store.entry(cells[second].key)
    entry.write_run(measured_at(ok_result(pretrain_spec(batch=2)), 7), [])
    os.utime(entry.folder / "runs", ns=(10**18, 10**18))  # as a copy would bring it along
    time.sleep(0.02)  # no tick of the file system's clock hides what changed first
    assert publish_stored(needing(2, cells), store).changed == [second]
    assert len(read_runs(Path(second)).runs) == 2
    assert not list(tmp_path.glob(".*.withdrawn"))


def test_a_file_that_was_copied_over_a_newer_one_hides_no_run(cells, tmp_path):
    """The published files of another clone, which has fewer runs."""
    store, (first, *_) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    before, entry = Path(first).read_bytes(), store.entry(cells[first].key)
    entry.write_run(measured_at(ok_result(pretrain_spec(batch=1)), 7), [])
    publish_stored(cells, store)
    time.sleep(0.02)
    Path(first).write_bytes(before)
    assert publish_stored(cells, store).changed == [first]
    assert len(read_runs(Path(first)).runs) == 3


@pytest.mark.parametrize("spoiled", ["", "{", '{"runs": []}'])
def test_a_file_that_was_spoiled_by_hand_is_healed_from_its_store(cells, tmp_path, spoiled):
    store, (first, *_) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    before = Path(first).read_bytes()
    Path(first).write_text(spoiled)
    assert publish_stored(cells, store).changed == [first]
    assert Path(first).read_bytes() == before


def test_a_file_of_one_run_as_earlier_versions_published_it_stays(cells, tmp_path):
    store, (_, second, _) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    [run] = store.entry(cells[second].key).run_files()
    Path(second).write_bytes(run.data())
    assert publish_stored(cells, store).changed == []


def test_a_withdrawn_file_does_not_come_back_without_the_runs_that_joined(cells, tmp_path):
    """The measuring process was killed between its run and its publishing; then fewer runs are asked for."""
    store, (_, second, _) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    publish_stored(needing(3, cells), store)
    time.sleep(0.02)
    store.entry(cells[second].key).write_run(measured_at(ok_result(pretrain_spec(batch=2)), 7), [])
    time.sleep(0.02)
    assert second in publish_stored(needing(2, cells), store).changed
    assert len(read_runs(Path(second)).runs) == 2


def test_measured_runs_join_those_of_a_file_that_was_copied_without_its_store(cells, tmp_path):
    (first, *_), copied = cells, Store(tmp_path / "none")
    publish_stored(cells, Store(tmp_path / "store"))
    before, cell = read_runs(Path(first)), replace(cells[first], runs=3)
    assert publish_stored({first: cell}, copied).changed == [first]
    entry = copied.entry(cell.key)
    assert entry.peek() == before
    entry.write_run(measured_at(ok_result(pretrain_spec()), 9), [])
    assert publish_stored({first: cell}, copied).changed == [first]
    assert read_runs(Path(first)).ids[:2] == before.ids
    entry.set_aside_runs("now")
    entry.adopt_published(Path(first), cell.canonical)
    assert entry.count() == 0, "what was set aside stays aside"


def test_measured_runs_join_those_of_a_withdrawn_file_without_a_store(cells, tmp_path):
    """An earlier version withdrew it, or the lock was held when it was; a broken run in the store changes nothing."""
    (first, *_), copied = cells, Store(tmp_path / "none")
    publish_stored(cells, Store(tmp_path / "store"))
    before, cell = read_runs(Path(first)), replace(cells[first], runs=3)
    Path(first).rename(withdrawn_copy(Path(first)))
    entry = copied.entry(cell.key)
    entry.folder.mkdir(parents=True)
    with entry.locked():
        publish_stored({first: cell}, copied)
    assert entry.peek() is None
    (entry.folder / "runs/broken").mkdir(parents=True)
    (entry.folder / "runs/broken/result.json").write_text("{")
    publish_stored({first: cell}, copied)
    assert entry.peek() == before


def test_what_was_set_aside_is_not_published_any_more(cells, tmp_path):
    """``remeasure fresh=true`` was interrupted before its first run."""
    store, (first, *_) = Store(tmp_path / "store"), cells
    publish_stored(cells, store)
    store.entry(cells[first].key).set_aside_runs("now")
    assert publish_stored(cells, store).changed == [first]
    assert not Path(first).exists()
    assert publish_stored(cells, store).changed == []


def test_another_outcome_is_measured_again_only_if_asked(cells, tmp_path):
    (*_, third) = cells
    entry = Store(tmp_path / "store").entry(cells[third].key)
    entry.write_run(ended_result(pretrain_spec(batch=3), Status.OOM, Phase.BACKWARD, "out of memory"), [])
    assert not entry.lacks_runs(2)
    assert entry.lacks_runs(2, again=True)
    assert not entry.lacks_runs(1, again=True)


def test_one_outcome_without_numbers_is_enough(cells, tmp_path):
    store, (*_, third) = Store(tmp_path / "store"), cells
    entry = store.entry(cells[third].key)
    entry.write_run(ended_result(pretrain_spec(batch=3), Status.OOM, Phase.BACKWARD, "out of memory"), [])
    assert third in publish_stored(needing(5, cells), store).changed
    assert publish_stored({third: replace(cells[third], runs=5)}, store).changed == [], "it is there already"
    assert publish_stored({third: replace(cells[third], runs=5)}, Store(tmp_path / "none")).changed == []


def test_a_published_file_without_its_store_that_is_broken_is_withdrawn(cells, tmp_path):
    (*_, third) = cells
    Path(third).write_text("{")
    assert publish_stored(cells, Store(tmp_path / "none")).changed == [third]
