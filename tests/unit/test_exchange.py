"""Files of finished cells: what is exported comes in as it was, and nothing else comes in."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.cell import Cell
from dissect.cells.spec import canonical_spec
from dissect.results.exchange import ExchangeError, Merged, export_cells, import_cells, read_export
from dissect.results.result import Result
from dissect.results.store import Store, write_atomically
from factories import ended_result, key_of, ok_result, pretrain_spec

SPECS = [pretrain_spec(batch=batch) for batch in (1, 2, 4)]
RESULTS = [*map(ok_result, SPECS[:2]), ended_result(SPECS[2], Status.OOM, Phase.BACKWARD, "out of memory")]
SAMPLES = [{"step": 0, "seconds": 0.125}]
KEY = key_of(SPECS[0])

Members = dict[str, bytes]


def cell_of(result: Result) -> Cell:
    return Cell(
        stage="pretrain", platform="h200", model="llama2-7b", framework="deepspeed", method="Naive",
        workload=f"s350-b{result.spec.workload.batch}-n4", n_gpus=4, seq_len=350, batch=1, launcher="", key=result.key,
        canonical=canonical_spec(result.spec),
    )  # fmt: skip


def filled_store(folder: Path, results: list[Result]) -> Store:
    store = Store(folder)
    for result in results:
        entry = store.entry(result.key)
        with entry.locked():
            entry.claim(canonical_spec(result.spec))
            entry.write(result, SAMPLES)
    return store


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A file of three cells."""
    path = tmp_path / "export.tar.gz"
    store = filled_store(tmp_path / "theirs", RESULTS)
    assert export_cells([cell_of(result) for result in RESULTS], store, path) == (3, 0)
    return path


def members_of(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def write_members(path: Path, members: Members) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(buffer.getvalue()))


def content_of(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_what_is_exported_comes_in_byte_for_byte(export: Path, tmp_path: Path) -> None:
    published = tmp_path / "cells" / f"{KEY}.json"
    merged = import_cells(read_export(export), Store(tmp_path / "ours"), {KEY: [published]})
    assert (len(merged.added), merged.known, merged.conflicts) == (3, [], [])
    assert content_of(tmp_path / "ours") == content_of(tmp_path / "theirs")
    assert published.read_bytes() == (tmp_path / "ours" / KEY / "result.json").read_bytes()


def test_the_same_cells_make_the_same_bytes(export: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.gz"
    export_cells([cell_of(result) for result in reversed(RESULTS)], Store(tmp_path / "theirs"), again)
    assert again.read_bytes() == export.read_bytes()


def test_cells_without_a_valid_result_are_left_out(export: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs" / KEY / "result.json").write_text("{")
    assert export_cells([cell_of(result) for result in RESULTS], Store(tmp_path / "theirs"), export) == (2, 1)
    assert KEY not in read_export(export)


def test_importing_twice_adds_nothing(export: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "ours")
    import_cells(read_export(export), store, {})
    before = content_of(tmp_path / "ours")
    assert import_cells(read_export(export), store, {}) == Merged([], [cell_of(r).id for r in sorted_results()], [])
    assert content_of(tmp_path / "ours") == before


def sorted_results() -> list[Result]:
    return sorted(RESULTS, key=lambda result: result.key)


def test_a_conflict_is_named_and_ours_stays(export: Path, tmp_path: Path) -> None:
    ours = RESULTS[0].model_copy(update={"attempts": 2})
    store = filled_store(tmp_path / "ours", [ours])
    merged = import_cells(read_export(export), store, {})
    assert merged.conflicts == [cell_of(ours).id]
    assert len(merged.added) == 2
    assert store.entry(KEY).peek() == ours


def test_a_broken_result_of_ours_is_replaced(export: Path, tmp_path: Path) -> None:
    store = filled_store(tmp_path / "ours", RESULTS)
    (tmp_path / "ours" / KEY / "result.json").write_text("{")
    assert import_cells(read_export(export), store, {}).added == [cell_of(RESULTS[0]).id]
    assert store.entry(KEY).peek() == RESULTS[0]


def sign(members: Members) -> Members:
    """Make the manifest agree with the members, as someone who knows the format would."""
    manifest = json.loads(members["manifest.json"])
    for key, cell in manifest["cells"].items():
        cell["files"] = {n: hashlib.sha256(members[f"cells/{key}/{n}"]).hexdigest() for n in cell["files"]}
    return members | {"manifest.json": json.dumps(manifest).encode()}


def replaced(name: str, old: bytes, new: bytes) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        assert old in members[name]
        return members | {name: members[name].replace(old, new, 1)}

    return change


SPEC, RESULT, MANIFEST = f"cells/{KEY}/spec.json", f"cells/{KEY}/result.json", "manifest.json"
WRONG: dict[str, tuple[Callable[[Members], Members], str]] = {
    "a number changed": (replaced(RESULT, b'"batch": 1', b'"batch": 9'), "checksum mismatch"),
    "a spec changed, signed again": (
        lambda m: sign(replaced(SPEC, b'"seed":0', b'"seed":1')(m)), "key mismatch"
    ),
    "a spec spelt otherwise, signed again": (
        lambda m: sign(replaced(SPEC, b"{", b"{ ")(m)), "key mismatch"
    ),
    "a result of another cell, signed again": (
        lambda m: sign(m | {RESULT: m[f"cells/{key_of(SPECS[1])}/result.json"]}), "is the result of"
    ),
    "a result of a newer schema, signed again": (
        lambda m: sign(replaced(RESULT, b'"schema_version": 1', b'"schema_version": 2')(m)), "has schema_version 2"
    ),
    "a file of a newer schema": (
        replaced(MANIFEST, b'"schema_version": 1', b'"schema_version": 2'), "update the older of the two"
    ),
    "no manifest": (lambda m: {n: d for n, d in m.items() if n != MANIFEST}, "manifest.json is missing"),
    "a manifest that is no JSON": (lambda m: m | {MANIFEST: b"[]"}, "is not a JSON object"),
    "a cell missing": (lambda m: {n: d for n, d in m.items() if n != RESULT}, "result.json: is missing"),
    "a path that leaves the folder": (lambda m: m | {"cells/../../x.json": b"{}"}, "unexpected member"),
    "an absolute path": (lambda m: m | {"/tmp/x.json": b"{}"}, "unexpected member"),
    "a key that leaves the folder": (replaced(MANIFEST, KEY.encode(), b"../../../../x"), "is missing"),
    "a stranger": (lambda m: m | {"cells/0123456789ab/spec.json": b"{}"}, "not in its manifest"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_changes_nothing(export: Path, change: Callable[[Members], Members], says: str) -> None:
    write_members(export, change(members_of(export)))
    with pytest.raises(ExchangeError, match=says) as caught:
        read_export(export)
    assert str(export) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_is_refused(export: Path) -> None:
    with tarfile.open(export, "w:gz") as tar:
        link = tarfile.TarInfo(RESULT)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ExchangeError, match="unexpected member"):
        read_export(export)


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

    monkeypatch.setattr("dissect.results.store.write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        import_cells(read_export(export), ours, {})
    monkeypatch.undo()
    assert len(list((tmp_path / "ours").rglob("result.json"))) == 1
    assert len(import_cells(read_export(export), ours, {}).added) == 2
    assert content_of(tmp_path / "ours") == content_of(tmp_path / "theirs")
