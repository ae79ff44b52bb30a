"""Files of finished cells: what is exported comes in as it was, and nothing else comes in."""

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import canonical_spec
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import read_runs, run_id
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
from factories import (
    cell_of,
    ended_result,
    key_of,
    ok_result,
    pretrain_spec,
    sample_lines_of,
)

SPECS = [pretrain_spec(batch=batch) for batch in (1, 2, 4)]
RESULTS = [*map(ok_result, SPECS[:2]), ended_result(SPECS[2], Status.OOM, Phase.BACKWARD, "out of memory")]
KEY = key_of(SPECS[0])

Members = dict[str, bytes]


def filled_store(folder: Path, results: list[Result]) -> Store:
    store = Store(folder)
    for result in results:
        entry = store.entry(result.key)
        with entry.locked():
            entry.claim(canonical_spec(result.spec))
            entry.write_run(result, sample_lines_of(result.metrics))
    return store


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A file of three cells."""
    path = tmp_path / "export.tar.gz"
    store = filled_store(tmp_path / "theirs", RESULTS)
    assert export_cells([cell_of(result) for result in RESULTS], store, path) == (3, 3, 0)
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
    path_of(tmp_path / "theirs", RESULTS[0]).write_text("{")
    assert export_cells([cell_of(result) for result in RESULTS], Store(tmp_path / "theirs"), export) == (2, 2, 1)
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


def test_a_broken_run_of_ours_is_replaced(export: Path, tmp_path: Path) -> None:
    store = filled_store(tmp_path / "ours", RESULTS)
    path_of(tmp_path / "ours", RESULTS[0]).write_text("{")
    assert import_cells(read_export(export), store, {}) == Merged(1, 2)
    assert store.entry(KEY).runs() == [RESULTS[0]]


def in_first_version(members: Members) -> Members:
    """The same cells as an earlier version exported them: one run each, without a folder."""
    manifest = json.loads(members["manifest.json"])
    moved = {re.sub(r"runs/[0-9a-f]+/", "", name): data for name, data in members.items()}
    for cell in manifest["cells"].values():
        cell["files"] = {name.rpartition("/")[2]: digest for name, digest in cell["files"].items()}
    return moved | {"manifest.json": json.dumps(manifest | {"schema_version": 1}).encode()}


def test_an_export_of_the_first_version_comes_in_as_the_same_runs(export: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.tar.gz"
    write_members(old, in_first_version(members_of(export)))
    assert "runs" not in "".join(members_of(old))
    store = Store(tmp_path / "ours")
    assert import_cells(read_export(old), store, {}) == Merged(3, 0)
    assert import_cells(read_export(export), store, {}) == Merged(0, 3)
    assert content_of(tmp_path / "ours") == content_of(tmp_path / "theirs")


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


ID = run_id(RESULTS[0].model_dump_json(indent=1).encode() + b"\n")
SPEC, RESULT, MANIFEST = f"cells/{KEY}/spec.json", f"cells/{KEY}/runs/{ID}/result.json", "manifest.json"
STEPS = f"cells/{KEY}/runs/{ID}/steps.jsonl"


def other_name(members: Members) -> Members:
    """The run in a folder of another name, signed again."""
    return sign(in_folder(members, "0" * 12))


def in_folder(members: Members, name: str) -> Members:
    manifest = members[MANIFEST].replace(ID.encode(), name.encode())
    return {path.replace(ID, name): data for path, data in members.items()} | {MANIFEST: manifest}


def signed_result(change: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    """Change the first cell's run, and name its folder after what it holds, as someone who knows the format would."""

    def applied(members: Members) -> Members:
        data = change(members[RESULT])
        assert data != members[RESULT]
        return sign(in_folder(members | {RESULT: data}, run_id(data)))

    return applied


def without_runs(members: Members) -> Members:
    manifest = json.loads(members[MANIFEST])
    manifest["cells"][KEY]["files"] = {"spec.json": manifest["cells"][KEY]["files"]["spec.json"]}
    return {name: data for name, data in members.items() if f"{KEY}/runs" not in name} | {
        MANIFEST: json.dumps(manifest).encode()
    }


WRONG: dict[str, tuple[Callable[[Members], Members], str]] = {
    "a number changed": (replaced(RESULT, b'"batch": 1', b'"batch": 9'), "checksum mismatch"),
    "a spec changed, signed again": (
        lambda m: sign(replaced(SPEC, b'"seed":0', b'"seed":1')(m)), "key mismatch"
    ),
    "a spec spelt otherwise, signed again": (
        lambda m: sign(replaced(SPEC, b"{", b"{ ")(m)), "key mismatch"
    ),
    "a result of another cell, signed again": (
        signed_result(lambda _: RESULTS[1].model_dump_json().encode()), "is the result of"
    ),
    "a result of a newer schema, signed again": (
        signed_result(lambda d: d.replace(b'"schema_version": 1', b'"schema_version": 2')), "has schema_version 2"
    ),
    "a file of a newer schema": (
        replaced(MANIFEST, b'"schema_version": 2', b'"schema_version": 3'), "update the older of the two"
    ),
    "samples that are none, signed again": (lambda m: sign(m | {STEPS: b'{"a":1}'}), "seconds: Field required"),
    "an infinite throughput, signed again": (
        signed_result(lambda d: re.sub(rb'("tokens_per_s": {\s+"median": )[0-9.]+', rb"\1Infinity", d)),
        "result.json: has the number Infinity",
    ),
    "an earlier result that is infinite": (
        lambda m: in_first_version(sign(m | {RESULT: re.sub(rb'"low": [0-9.]+', b'"low": 1e999', m[RESULT])})),
        "Input should be a finite number",
    ),
    "a reason that steers the terminal, signed again": (
        signed_result(lambda d: d.replace(b'"reason": null', b'"reason": "\\u001b]0;title\\u0007"')),
        "result.json: has a control character in",
    ),
    "an id that turns writing around": (
        replaced(MANIFEST, b"pretrain/", b"pretrain\\u202e/"), "has a control character"
    ),
    "a deep manifest": (lambda m: m | {MANIFEST: b"[" * 100_000}, "is not a JSON object"),
    "a run under another id": (other_name, "id mismatch"),
    "no run": (without_runs, "result.json .*: is missing"),
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


def test_a_sparse_member_is_refused(export: Path) -> None:
    """A few bytes that claim to be a terabyte of zeros."""
    with tarfile.open(export, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        hole = tarfile.TarInfo(RESULT)
        hole.type, hole.size = tarfile.GNUTYPE_SPARSE, 512
        tar.addfile(hole, io.BytesIO(bytes(512)))
    with pytest.raises(ExchangeError, match="unexpected member"):
        read_export(export)


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


def test_only_an_export_is_replaced(export: Path, tmp_path: Path) -> None:
    check_replaceable(tmp_path / "missing.tar.gz")
    check_replaceable(export)
    foreign = tmp_path / "README.md"
    foreign.write_text("Not an export.")
    with pytest.raises(ExchangeError, match=r"README\.md: is no export, so none replaces it; .*force=true"):
        check_replaceable(foreign)
