"""Runs leave the store by prune alone: what is named, what stays, and that nothing else changes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.cell_id import CellId
from dissect.cells.globs import CellGlob, Selection
from dissect.cells.spec import canonical_spec
from dissect.present.prune_text import prune_text
from dissect.results.activity import FILE, announced
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import read_runs
from dissect.results.prune import Prunable, PruneQuestion, find_prunable, remove
from dissect.results.result import Result
from dissect.results.store import Entry, Store, withdrawn_copy
from factories import cell_of, ended_result, key_of, measured_at, ok_result, pretrain_spec

NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
SPEC, OTHER = pretrain_spec(), pretrain_spec(batch=2)
KEY, OTHER_KEY = key_of(SPEC), key_of(OTHER)
CELL = cell_of(ok_result(SPEC)).id
IDS = {KEY: CELL, OTHER_KEY: cell_of(ok_result(OTHER)).id}
ANY_AGE = timedelta(0)


def glob(text: str) -> Selection:
    return Selection((CellGlob(text, CellId.parse(text)),))


def stored(store: Store, *results: Result) -> Entry:
    entry = store.entry(results[0].key)
    with entry.locked():
        entry.claim(canonical_spec(results[0].spec))
        for result in results:
            entry.write_run(result, [{"step": 0}])
    return entry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two runs of one cell, ten days old, and one of another, measured now."""
    store = Store(tmp_path / "store")
    stored(store, *(measured_at(ok_result(SPEC), minute) for minute in (1, 2)))
    found = ok_result(OTHER).provenance
    assert found is not None
    stored(
        store, ok_result(OTHER).model_copy(update={"provenance": found.model_copy(update={"measured_at": f"{NOW}"})})
    )
    return store


def named(store: Store, question: PruneQuestion, wanted: tuple[str, ...] = ()) -> list[tuple[str, str, bool]]:
    return [(run.key, run.what, run.kept) for run in find_prunable(store, question, IDS, wanted, NOW)]


def test_runs_are_named_by_age_protocol_and_glob_together(store: Store) -> None:
    both, other = [(KEY, "run", False)] * 2, [(OTHER_KEY, "run", False)]
    cases: dict[PruneQuestion, list[tuple[str, str, bool]]] = {
        PruneQuestion(older_than=timedelta(days=5)): both,
        PruneQuestion(older_than=timedelta(days=20)): [],
        PruneQuestion(selection=glob("pretrain/*/*/*/*/*-b2-*")): other,
        PruneQuestion(selection=glob("pretrain/*/*/*/*/*")): sorted([*both, *other], key=lambda run: IDS[run[0]]),
        PruneQuestion(selection=glob("pretrain/*/*/*/*/*-b2-*"), older_than=timedelta(days=5)): [],
        PruneQuestion(protocol=SPEC.protocol, older_than=timedelta(days=5)): both,
        PruneQuestion(protocol=SPEC.protocol - 1): [],
    }
    for question, runs in cases.items():
        assert named(store, question) == runs


def test_a_cell_of_no_known_id_is_named_by_no_glob(store: Store) -> None:
    every = PruneQuestion(selection=glob("*/*/*/*/*/*"))
    assert find_prunable(store, every, {}, (), NOW) == []
    assert [run.cell_id for run in find_prunable(store, PruneQuestion(protocol=9), {}, (), NOW)] == [""] * 3


def test_the_last_run_of_a_wanted_cell_stays_unless_it_is_named(store: Store) -> None:
    old = PruneQuestion(older_than=timedelta(days=5))
    assert named(store, old, (KEY,)) == [(KEY, "run", False), (KEY, "run", True)], "the newest of the two"
    wild = PruneQuestion(selection=glob(CELL.replace("Naive", "*")))
    assert named(store, wild, (KEY,)) == [(KEY, "run", False), (KEY, "run", True)]
    assert named(store, PruneQuestion(selection=glob(CELL)), (KEY,)) == [(KEY, "run", False)] * 2


def test_what_was_set_aside_and_what_is_broken_is_named_too(store: Store) -> None:
    entry = store.entry(KEY)
    with entry.locked():
        entry.set_aside_runs("now")
        entry.write_run(measured_at(ok_result(SPEC), 3), [])
        broken = entry.folder / "runs/0123456789ab"
        write_atomically(broken / "result.json", b"{")
        write_atomically(entry.folder / "result.json", b"{")
        assert len(entry.runs()) == 1
        write_atomically(entry.folder / "runs/aaaaaaaaaaaa/steps.jsonl", b"half copied")
    question = PruneQuestion(selection=glob(CELL))
    found = find_prunable(store, question, IDS, (KEY,), NOW)
    assert sorted(run.what for run in found) == ["broken"] * 3 + ["run"] + ["set aside"] * 2
    size = sum(path.stat().st_size for path in entry.folder.rglob("*") if path.name in ("result.json", "steps.jsonl"))
    size += sum(path.stat().st_size for path in entry.folder.glob("result.json.invalid-1"))
    assert sum(run.size for run in found) == size
    assert remove(entry, [run.path for run in found], [])
    left = {path.name for path in entry.folder.rglob("*") if path.is_file()}
    assert left == {"spec.json", "lock"}


def test_removing_brings_published_files_in_line(store: Store, tmp_path: Path) -> None:
    entry, output = store.entry(KEY), tmp_path / "cells" / f"{KEY}.json"
    entry.publish(output)
    old, new = find_prunable(store, PruneQuestion(older_than=ANY_AGE, selection=glob(CELL)), IDS, (), NOW)
    assert remove(entry, [old.path], [output])
    assert read_runs(output).runs == (measured_at(ok_result(SPEC), 2),)
    withdrawn_copy(output).write_bytes(output.read_bytes())
    assert remove(entry, [new.path], [output])
    assert list(output.parent.iterdir()) == [], "else it would be published again"
    assert entry.count() == 0


def test_a_run_of_the_earlier_layout_goes_with_its_samples_and_leaves_the_log(tmp_path: Path) -> None:
    entry = Store(tmp_path).entry(KEY)
    for name in ("result.json", "steps.jsonl", "kernels.csv", "log.txt"):
        write_atomically(entry.folder / name, ok_result(SPEC).model_dump_json().encode())
    [run] = find_prunable(Store(tmp_path), PruneQuestion(older_than=ANY_AGE), IDS, (), NOW)
    assert run.size == 3 * (entry.folder / "log.txt").stat().st_size
    assert remove(entry, [run.path], [])
    assert {path.name for path in entry.folder.iterdir()} == {"log.txt", "lock"}


def test_a_cell_that_is_being_measured_stays(store: Store) -> None:
    entry = store.entry(KEY)
    [run, _] = find_prunable(store, PruneQuestion(older_than=ANY_AGE, selection=glob(CELL)), IDS, (), NOW)
    with entry.locked():
        assert not remove(entry, [run.path], [])
    assert run.path.exists()


def test_a_cell_that_another_host_measures_stays(store: Store) -> None:
    entry = store.entry(KEY)
    [run, _] = find_prunable(store, PruneQuestion(older_than=ANY_AGE, selection=glob(CELL)), IDS, (), NOW)
    with announced(entry, Path("cell.json"), 1):
        activity = json.loads((entry.folder / FILE).read_text())
        for started_at, removed in ((datetime.now(UTC), False), (NOW, True)):
            said = activity | {"host": "another", "slurm_job": None, "started_at": started_at.isoformat()}
            (entry.folder / FILE).write_text(json.dumps(said))
            assert remove(entry, [run.path], []) == removed
            assert run.path.exists() != removed


def test_a_run_that_launched_nothing_is_as_old_as_its_file(tmp_path: Path) -> None:
    stored(Store(tmp_path), ended_result(SPEC, Status.SKIPPED_OOM, Phase.BUILD, "certain"))
    now = datetime.now(UTC)
    question = PruneQuestion(older_than=timedelta(hours=1))
    assert find_prunable(Store(tmp_path), question, IDS, (), now) == []
    assert len(find_prunable(Store(tmp_path), question, IDS, (), now + timedelta(hours=2))) == 1


def test_the_text_counts_what_goes_and_says_what_stays() -> None:
    runs = [Prunable(CELL, KEY, "run", Path("a"), NOW, 3 * 2**20, kept) for kept in (False, True)]
    dry = prune_text(runs, (), removed=False)
    assert "would be removed: 1 runs of 1 cells, 3,145,728 bytes; nothing was: add really=true" in dry
    assert dry.count("stays: last run of a cell that this configuration wants") == 1
    assert prune_text(runs, {KEY}, removed=True).count("stays: a process measures the cell") == 1
    assert "\nremoved: 0 runs of 0 cells, 0 bytes" in prune_text(runs, {KEY}, removed=True)
    assert prune_text([], (), removed=True) == "removed: 0 runs of 0 cells, 0 bytes\n"
