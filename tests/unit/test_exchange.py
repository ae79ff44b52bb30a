"""Files of finished cells: what is exported comes in as it was, and nothing else comes in."""

import gzip
import itertools
import os
import signal
import sys
from pathlib import Path

import pytest

from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import read_runs
from dissect.results.exchange import (
    ExchangeError,
    Merged,
    check_replaceable,
    export_cells,
    import_cells,
    read_export,
)
from dissect.results.result import Result
from dissect.results.store import Store
from export_cases import KEY, RESULTS, content_of, filled_store, in_first_version, members_of, write_members
from factories import cell_of


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A file of three cells."""
    path = tmp_path / "export.tar.gz"
    store = filled_store(tmp_path / "theirs", RESULTS)
    assert export_cells([cell_of(result) for result in RESULTS], store, path) == (3, 3, 0, [])
    return path


def test_what_is_exported_comes_in_byte_for_byte(export: Path, tmp_path: Path) -> None:
    published = tmp_path / "cells" / f"{KEY}.json"
    assert import_cells(read_export(export), Store(tmp_path / "ours"), {KEY: [published]}) == Merged(3, 0)
    assert content_of(tmp_path / "ours") == content_of(tmp_path / "theirs")
    assert read_runs(published).runs == (RESULTS[0],)


def test_the_same_cells_make_the_same_bytes(export: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.gz"
    export_cells([cell_of(result) for result in reversed(RESULTS)], Store(tmp_path / "theirs"), again)
    assert again.read_bytes() == export.read_bytes()


def path_of(store: Path, result: Result) -> Path:
    (run,) = Store(store).entry(result.key).run_files()
    return run.path


def test_cells_without_a_valid_result_are_left_out(export: Path, tmp_path: Path) -> None:
    broken = path_of(tmp_path / "theirs", RESULTS[0])
    broken.write_text("{")
    done = export_cells([cell_of(result) for result in RESULTS], Store(tmp_path / "theirs"), export)
    assert done == (2, 2, 1, [broken])
    assert KEY not in read_export(export)


def test_importing_twice_adds_nothing(export: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "ours")
    import_cells(read_export(export), store, {})
    before = content_of(tmp_path / "ours")
    assert import_cells(read_export(export), store, {}) == Merged(0, 3)
    assert content_of(tmp_path / "ours") == before


def test_two_stores_become_one_whichever_comes_first(export: Path, tmp_path: Path) -> None:
    ours = RESULTS[0].model_copy(update={"attempts": 2})
    other = tmp_path / "other.tar.gz"
    filled_store(tmp_path / "ours", [ours])
    export_cells([cell_of(ours)], Store(tmp_path / "ours"), other)
    merged = []
    for order in ([export, other], [other, export]):
        store = Store(tmp_path / f"merged-{order[0].stem}")
        assert [import_cells(read_export(file), store, {}).known for file in order] == [0, 0]
        runs = store.entry(KEY).peek()
        assert runs is not None
        assert sorted(run.attempts for run in runs.runs) == [1, 2]
        assert all(run in (RESULTS[0], ours) for run in runs.runs)
        merged.append(content_of(store.root))
    assert merged[0] == merged[1]


def test_what_is_imported_joins_the_runs_of_a_file_without_its_store(export: Path, tmp_path: Path) -> None:
    ours, published = RESULTS[0].model_copy(update={"attempts": 2}), tmp_path / f"{KEY}.json"
    filled_store(tmp_path / "once", [ours]).entry(KEY).publish(published)
    import_cells(read_export(export), Store(tmp_path / "ours"), {KEY: [published]})
    assert sorted(run.attempts for run in read_runs(published).runs) == [1, 2]


def test_a_broken_run_of_ours_is_replaced(export: Path, tmp_path: Path) -> None:
    store = filled_store(tmp_path / "ours", RESULTS)
    path_of(tmp_path / "ours", RESULTS[0]).write_text("{")
    assert import_cells(read_export(export), store, {}) == Merged(1, 2)
    assert store.entry(KEY).runs() == [RESULTS[0]]


def test_an_export_of_the_first_version_comes_in_as_the_same_runs(export: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.tar.gz"
    write_members(old, in_first_version(members_of(export)))
    assert "runs" not in "".join(members_of(old))
    store = Store(tmp_path / "ours")
    assert import_cells(read_export(old), store, {}) == Merged(3, 0)
    assert import_cells(read_export(export), store, {}) == Merged(0, 3)
    assert content_of(tmp_path / "ours") == content_of(tmp_path / "theirs")


def test_sizes_are_bounded_on_both_sides(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are 1 GiB; of a smaller one only the number in the sentence differs."""
    packed = export.stat().st_size
    assert packed < 2**20
    bomb = export.with_name("bomb.tar.gz")
    bomb.write_bytes(gzip.compress(bytes(3 * 2**20)))
    for limit, file, says in ((2**20, bomb, "larger than 1 MiB when unpacked"), (packed - 1, export, "is larger than")):
        monkeypatch.setattr("dissect.results.exchange.LARGEST_EXPORT_BYTES", limit)
        with pytest.raises(ExchangeError, match=says):
            read_export(file)
    with pytest.raises(ExchangeError, match="would be larger than 0 MiB; export in parts"):
        export_cells([cell_of(RESULTS[0])], Store(tmp_path / "theirs"), tmp_path / "too_large.tar.gz")
    assert not (tmp_path / "too_large.tar.gz").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(export: Path, share: float) -> None:
    data = export.read_bytes()
    export.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ExchangeError, match="truncated"):
        read_export(export)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="no such file"):
        read_export(tmp_path / "nothing.tar.gz")


def test_what_was_cut_off_is_healed_by_the_next_import(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, results = Store(tmp_path / "ours"), []

    def full(path: Path, data: bytes) -> None:
        results.extend([path] if path.name == "result.json" else [])
        if len(results) == 2:
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, data)

    monkeypatch.setattr("dissect.results.run_files.write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        import_cells(read_export(export), ours, {})
    monkeypatch.undo()
    assert len(list((tmp_path / "ours").rglob("result.json"))) == 1
    assert import_cells(read_export(export), ours, {}) == Merged(2, 1)
    assert content_of(tmp_path / "ours") == content_of(tmp_path / "theirs")


FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "shutil.rmtree")
"""Audit events of what changes a folder."""


def import_until(export: Path, store: Store, published: Path, last: int) -> int:
    """Import in a process that is killed before its file operation of this number; how it ended."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    shared, operations = read_export(export), itertools.count()

    def kill(event: str, arguments: tuple[object, ...]) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(published.parent)) and next(operations) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(kill)
        import_cells(shared, store, {KEY: [published]})
        os._exit(0)
    finally:
        os._exit(1)


def test_an_import_that_is_killed_at_any_moment_is_finished_by_the_next(export: Path, tmp_path: Path) -> None:
    """What is there at any moment are whole runs, in the store and where they are published."""
    for last in itertools.count():
        store, published = Store(tmp_path / f"ours-{last}/store"), tmp_path / f"ours-{last}/{KEY}.json"
        ended = import_until(export, store, published, last)
        for key in sorted(store.keys()):
            assert all(run.result(key) for run in store.entry(key).run_files())
        assert not published.exists() or read_runs(published).runs == (RESULTS[0],)
        merged = import_cells(read_export(export), store, {KEY: [published]})
        assert merged.added + merged.known == 3
        assert content_of(store.root) == content_of(tmp_path / "theirs")
        assert read_runs(published).runs == (RESULTS[0],)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert last > 20


def test_only_an_export_is_replaced(export: Path, tmp_path: Path) -> None:
    check_replaceable(tmp_path / "missing.tar.gz")
    check_replaceable(export)
    foreign = tmp_path / "README.md"
    foreign.write_text("Not an export.")
    with pytest.raises(ExchangeError, match=r"README\.md: is no export, so none replaces it; .*force=true"):
        check_replaceable(foreign)
