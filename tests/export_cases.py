"""Exports to read, change and sign again, as someone who knows the format would."""

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import canonical_spec
from dissect.results.cell_runs import run_id
from dissect.results.result import Result
from dissect.results.store import Store
from factories import ended_result, key_of, ok_result, pretrain_spec, sample_lines_of

SPECS = [pretrain_spec(batch=batch) for batch in (1, 2, 4)]
RESULTS = [*map(ok_result, SPECS[:2]), ended_result(SPECS[2], Status.OOM, Phase.BACKWARD, "out of memory")]
KEY = key_of(SPECS[0])
ID = run_id(RESULTS[0].model_dump_json(indent=1).encode() + b"\n")
SPEC, RESULT, MANIFEST = f"cells/{KEY}/spec.json", f"cells/{KEY}/runs/{ID}/result.json", "manifest.json"
STEPS = f"cells/{KEY}/runs/{ID}/steps.jsonl"

Members = dict[str, bytes]


def filled_store(folder: Path, results: list[Result]) -> Store:
    store = Store(folder)
    for result in results:
        entry = store.entry(result.key)
        with entry.locked():
            entry.claim(canonical_spec(result.spec))
            entry.write_run(result, sample_lines_of(result.metrics))
    return store


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


def in_first_version(members: Members) -> Members:
    """The same cells as an earlier version exported them: one run each, without a folder."""
    manifest = json.loads(members["manifest.json"])
    moved = {re.sub(r"runs/[0-9a-f]+/", "", name): data for name, data in members.items()}
    for cell in manifest["cells"].values():
        cell["files"] = {name.rpartition("/")[2]: digest for name, digest in cell["files"].items()}
    return moved | {"manifest.json": json.dumps(manifest | {"schema_version": 1}).encode()}


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
