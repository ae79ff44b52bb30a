"""Files that others send: whatever is in one, an import that refuses it says one sentence and changes nothing."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dissect.answers.dispatch import one_sentence
from dissect.base.text import controls
from dissect.cells.spec import canonical_json, spec_key
from dissect.results.cell_runs import run_id
from dissect.results.exchange import export_cells, import_cells, read_export
from dissect.results.store import Store
from export_cases import (
    ID,
    KEY,
    MANIFEST,
    RESULT,
    RESULTS,
    SPEC,
    STEPS,
    Members,
    content_of,
    filled_store,
    in_first_version,
    in_folder,
    members_of,
    replaced,
    sign,
    signed_result,
    write_members,
)
from factories import cell_of

HUGE = b"9" * 10_000
DEEP = b"[" * 100_000


def archive_of(members: Members, change: Callable[[tarfile.TarInfo], None] = lambda _: None, **options: Any) -> bytes:
    """An unpacked archive, in which ``change`` has the last say on each member's header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def typed(kind: bytes, target: str = "/etc/passwd") -> Callable[[Members], bytes]:
    """The result is no file but a link, device, pipe or hole."""

    def change(info: tarfile.TarInfo) -> None:
        if info.name == RESULT:
            info.type, info.linkname = kind, target

    return lambda members: gzip.compress(archive_of(members, change, format=tarfile.GNU_FORMAT))


def named(name: str, **options: Any) -> Callable[[Members], bytes]:
    """A further member of this name."""
    return lambda members: gzip.compress(archive_of({**members, name: b"{}"}, **options))


def patched(offset: int, data: bytes) -> Callable[[Members], bytes]:
    """The first header of the archive with other bytes."""

    def change(members: Members) -> bytes:
        archive = archive_of(members)
        return gzip.compress(archive[:offset] + data + archive[offset + len(data) :])

    return change


def twice(members: Members) -> bytes:
    one, other = archive_of(members), archive_of({SPEC: b"{}"})
    return gzip.compress(one.rstrip(b"\0").ljust(-(-len(one.rstrip(b"\0")) // 512) * 512, b"\0") + other)


def zipped(members: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def corrupted(members: Members) -> bytes:
    """One bit of the packed bytes differs, as from a bad disk."""
    data = bytearray(gzip.compress(archive_of(members)))
    data[len(data) // 2] ^= 1
    return bytes(data)


PACKED: dict[str, tuple[Callable[[Members], bytes], str]] = {
    "nothing": (lambda _: b"", "is no archive, or truncated|is no gzip file, or truncated"),
    "words": (lambda _: b"These are not the cells.", "is no gzip file"),
    "a zip": (zipped, "is no gzip file"),
    "an archive that is not packed": (archive_of, "is no gzip file"),
    "bzip2": (lambda m: bz2.compress(archive_of(m)), "is no gzip file"),
    "xz": (lambda m: lzma.compress(archive_of(m)), "is no gzip file"),
    "packed twice": (lambda m: gzip.compress(gzip.compress(archive_of(m))), "is no archive"),
    "packed words": (lambda _: gzip.compress(b"These are not the cells."), "is no archive"),
    "a packed manifest": (lambda m: gzip.compress(m[MANIFEST]), "is no archive"),
    "half of it": (lambda m: gzip.compress(archive_of(m))[:1000], "truncated"),
    "a header alone": (lambda m: gzip.compress(archive_of(m))[:10], "truncated"),
    "without its last byte": (lambda m: gzip.compress(archive_of(m))[:-1], "truncated"),
    "with more behind it": (lambda m: gzip.compress(archive_of(m)) + b"more", "is no gzip file, or truncated"),
    "a wrong bit": (corrupted, "truncated|checksum mismatch"),
    "an empty archive": (lambda _: gzip.compress(archive_of({})), "manifest.json is missing"),
    "an archive cut in a member": (lambda m: gzip.compress(archive_of(m)[:2000]), "truncated|is missing"),
    "a symbolic link": (typed(tarfile.SYMTYPE), "unexpected member"),
    "a hard link": (typed(tarfile.LNKTYPE, SPEC), "unexpected member"),
    "a hard link to itself": (typed(tarfile.LNKTYPE, RESULT), "unexpected member"),
    "a pipe": (typed(tarfile.FIFOTYPE), "unexpected member"),
    "a character device": (typed(tarfile.CHRTYPE), "unexpected member"),
    "a block device": (typed(tarfile.BLKTYPE), "unexpected member"),
    "a folder": (typed(tarfile.DIRTYPE), "unexpected member"),
    "a member of a strange type": (typed(b"Z"), "unexpected member|is missing|is no archive"),
    "a path that leaves the folder": (named("cells/../../x.json"), "unexpected member"),
    "an absolute path": (named("/tmp/x.json"), "unexpected member"),
    "a path of Windows": (named("cells\\..\\x.json"), "unexpected member"),
    "a path that starts with a dot": (named(f"./{SPEC}"), "unexpected member"),
    "a path with a line end": (named("cells/x\n.json"), "unexpected member"),
    "a path that steers the terminal": (named("cells/\x1b]0;x\x07.json"), "unexpected member"),
    "a path of another script": (named("cells/\uff10\uff11/spec.json"), "unexpected member"),
    "a long path": (named("x" * 100_000, format=tarfile.PAX_FORMAT), "unexpected member"),
    "a hidden file": (named(f"cells/{KEY}/.spec.json"), "unexpected member"),
    "a script": (named(f"cells/{KEY}/run.py"), "unexpected member"),
    "a member that is there twice": (twice, "is there twice"),
    "a header of negative size": (patched(124, b"-0000000001\0"), "is no archive|is missing"),
    "a header of a terabyte": (patched(124, b"\x80\0\0\0\0\0\x01\0\0\0\0\0"), "is no archive|is missing|checksum"),
    "a header of letters": (patched(124, b"zzzzzzzzzzz\0"), "is no archive|is missing"),
}  # fmt: skip
"""What is wrong with the file itself."""


def manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Members], Members]:
    """The manifest with a change, or what ``change`` returns in its place."""

    def applied(members: Members) -> Members:
        document = json.loads(members[MANIFEST])
        changed = change(document)
        return members | {MANIFEST: json.dumps(document if changed is None else changed).encode()}

    return applied


def cell(**fields: Any) -> Callable[[Members], Members]:
    """The first cell of the manifest with other fields."""
    return manifest(lambda document: document["cells"][KEY].update(fields))


def of_manifest(data: bytes) -> Callable[[Members], Members]:
    return lambda members: members | {MANIFEST: data}


def signed(name: str, data: bytes) -> Callable[[Members], Members]:
    """A member of the first cell replaced or added, and signed."""

    def applied(members: Members) -> Members:
        document = json.loads(members[MANIFEST])
        document["cells"][KEY]["files"][name.removeprefix(f"cells/{KEY}/")] = hashlib.sha256(data).hexdigest()
        return members | {name: data, MANIFEST: json.dumps(document).encode()}

    return applied


def beside(name: str, data: bytes) -> Callable[[Members], Members]:
    return signed(f"cells/{KEY}/runs/{ID}/{name}", data)


def of_result(old: str, new: bytes) -> Callable[[Members], Members]:
    """The first result with a number or text replaced, its run renamed and signed."""
    return signed_result(lambda data: re.sub(old.encode(), lambda _: new, data, count=1))


def other_spec(_: Members) -> Members:
    """A spec of nothing, consistent in itself: its key, its folder and its result's id."""
    spec = canonical_json({"kind": "nothing"}).encode()
    key, result = spec_key(spec.decode()), json.dumps({"key": spec_key(spec.decode())}).encode()
    files = {"spec.json": spec, f"runs/{run_id(result)}/result.json": result}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    cells = {key: {"id": "pretrain/cpu/a/ddp/Naive/s1-b1-n1", "files": digests}}
    return {f"cells/{key}/{name}": data for name, data in files.items()} | {
        MANIFEST: json.dumps({"schema_version": 2, "cells": cells}).encode()
    }


def without_runs(members: Members) -> Members:
    kept = {name: data for name, data in members.items() if f"{KEY}/runs" not in name}
    return manifest(lambda d: d["cells"][KEY].update(files={"spec.json": d["cells"][KEY]["files"]["spec.json"]}))(kept)


Change = Callable[[Members], Members]
MEMBERS: dict[str, tuple[Change, str]] = {
    "no manifest": (lambda m: {n: d for n, d in m.items() if n != MANIFEST}, "manifest.json is missing"),
    "a manifest of nothing": (of_manifest(b""), "is not a JSON object"),
    "a manifest that is a list": (of_manifest(b"[]"), "is not a JSON object"),
    "a manifest that is null": (of_manifest(b"null"), "is not a JSON object"),
    "a manifest that is a number": (of_manifest(HUGE), "is not a JSON object"),
    "a deep manifest": (of_manifest(DEEP), "is not a JSON object"),
    "a deep manifest of objects": (of_manifest(b'{"a":' * 100_000), "is not a JSON object"),
    "a manifest that is no text": (of_manifest(b"\xff\xfe\x00"), "is not a JSON object"),
    "a manifest with NaN": (of_manifest(b'{"schema_version": NaN}'), "is not a JSON object"),
    "a newer schema": (manifest(lambda d: d.update(schema_version=3)), "update the older of the two"),
    "a schema that is a text": (manifest(lambda d: d.update(schema_version="2")), "update the older of the two"),
    "a schema that is true": (manifest(lambda d: d.update(schema_version=True)), "has schema_version True"),
    "a schema of no number": (manifest(lambda d: d.update(schema_version=[])), "update the older of the two"),
    "a schema that steers the terminal": (manifest(lambda d: d.update(schema_version="\x1b[2J")), "control character"),
    "no cells": (manifest(lambda _: {"schema_version": 2}), "cells: Field required"),
    "cells that are a list": (manifest(lambda d: d.update(cells=[])), "cells: Input should be"),
    "a strange field": (manifest(lambda d: d.update(exec="rm -rf /")), "exec: Extra inputs"),
    "a cell that is null": (manifest(lambda d: d["cells"].update({KEY: None})), "Input should be"),
    "files that are a list": (cell(files=[]), "Input should be"),
    "a checksum that is a number": (cell(files={"spec.json": 1}), "Input should be"),
    "an id of three parts": (cell(id="a/b/c"), "id: String should match"),
    "an id that leaves the folder": (cell(id="../../../../../x"), "id: String should match"),
    "an absolute id": (cell(id="/etc/a/b/c/d"), "id: String should match"),
    "an id of many lines": (cell(id="pretrain\n/cpu/a/ddp/Naive/s1-b1-n1"), "id: String should match"),
    "an id that steers the terminal": (cell(id="pretrain/\x1b[2J/a/b/c/d"), "has a control character"),
    "an id that turns writing around": (cell(id="pretrain/\u202e/a/b/c/d"), "has a control character"),
    "an id of a megabyte": (cell(id="a/b/c/d/e/" + "f" * 2**20), "id: String should have at most"),
    "a key that leaves the folder": (replaced(MANIFEST, KEY.encode(), b"../../../../x"), "is missing"),
    "a cell missing": (lambda m: {n: d for n, d in m.items() if n != RESULT}, "result.json: is missing"),
    "a stranger": (lambda m: m | {"cells/0123456789ab/spec.json": b"{}"}, "not in its manifest"),
    "a number changed": (replaced(RESULT, b'"batch": 1', b'"batch": 9'), "checksum mismatch"),
    "no run": (without_runs, "result.json .*: is missing"),
    "a run under another id": (lambda m: sign(in_folder(m, "0" * 12)), "id mismatch"),
    "a spec changed": (lambda m: sign(replaced(SPEC, b'"seed":0', b'"seed":1')(m)), "key mismatch"),
    "a spec spelt otherwise": (lambda m: sign(replaced(SPEC, b"{", b"{ ")(m)), "key mismatch"),
    "a spec that is no JSON": (signed(SPEC, b"spec"), "is not JSON"),
    "a deep spec": (signed(SPEC, DEEP), "is not JSON"),
    "a spec of a huge number": (signed(SPEC, HUGE), "is not JSON"),
    "a spec that is no text": (signed(SPEC, b"\xff\xff"), "is not JSON"),
    "a spec of nothing, with its own key": (other_spec, "result.json: "),
    "a result of another cell": (signed_result(lambda _: RESULTS[1].model_dump_json().encode()), "is the result of"),
    "a result of nothing": (signed_result(lambda _: b""), "result.json: "),
    "a result that is a list": (signed_result(lambda _: b"[]"), "result.json: "),
    "a deep result": (signed_result(lambda _: DEEP), "result.json: is nested too deeply"),
    "a result that is no text": (signed_result(lambda _: b"\xff\xff"), "result.json: "),
    "a result of a newer schema": (of_result('"schema_version": 1', b'"schema_version": 2'), "has schema_version 2"),
    "a result of a huge number": (of_result('"attempts": 1', b'"attempts": ' + HUGE), "result.json: "),
    "a result with minus one attempts": (of_result('"attempts": 1', b'"attempts": -1'), "attempts"),
    "an infinite throughput": (
        of_result(r'("tokens_per_s": {\s+"median": )[0-9.]+', b'"tokens_per_s": {"median": Infinity'),
        "result.json: has the number Infinity",
    ),
    "an earlier result that is infinite": (
        lambda m: in_first_version(sign(m | {RESULT: re.sub(rb'"low": [0-9.]+', b'"low": 1e999', m[RESULT])})),
        "Input should be a finite number",
    ),
    "a reason that steers the terminal": (
        of_result('"reason": null', b'"reason": "\\u001b]0;title\\u0007"'), "result.json: has a control character in"
    ),
    "a reason of half a letter": (of_result('"reason": null', b'"reason": "\\ud800"'), "has a control character in"),
    "samples without seconds": (lambda m: sign(m | {STEPS: b'{"a":1}'}), "seconds: Field required"),
    "samples that are no text": (lambda m: sign(m | {STEPS: b"\xff\xff\n"}), "line 1: "),
    "samples of no time": (lambda m: sign(m | {STEPS: b'{"seconds": []}'}), "seconds: "),
    "samples of a negative time": (lambda m: sign(m | {STEPS: b'{"seconds": [-1]}'}), "seconds.0: "),
    "samples that are infinite": (lambda m: sign(m | {STEPS: b'{"seconds": [1e999]}'}), "seconds.0: "),
    "samples of a huge number": (lambda m: sign(m | {STEPS: b'{"seconds": [' + HUGE + b"]}"}), "line 1: "),
    "deep samples": (lambda m: sign(m | {STEPS: DEEP}), "line 1: "),
    "no samples in the file": (lambda m: sign(m | {STEPS: b""}), "steps.jsonl: has 0 measured steps"),
    "samples of another run": (
        lambda m: sign(m | {STEPS: b'{"part": "measured", "seconds": [9.0]}\n'}), "steps.jsonl: has 1 measured steps"
    ),
    "kernels without columns": (beside("kernels.csv", b"a,b\n1,2\n"), "kernels.csv: is no table"),
    "kernels that are no text": (beside("kernels.csv", b"\xff\xff"), "kernels.csv: is no table"),
    "kernels without end": (
        beside("kernels.csv", b"name,count,total_us\nk,1e999,1\n"), "kernels.csv: has a number that is not finite"
    ),
    "a kernel of a megabyte": (
        beside("kernels.csv", b"name,count,total_us\n" + b"k" * 2**20 + b",1,1\n"), "kernels.csv: is no table"
    ),
    "requests that are not packed": (beside("requests.jsonl.gz", b"{}"), "requests.jsonl.gz: is no gzip file"),
    "requests that are none": (beside("requests.jsonl.gz", gzip.compress(b"[]\n")), "requests.jsonl.gz: line 1"),
}  # fmt: skip
"""What is wrong with what is in the file, of which all but the checksums of the first few is signed again."""

HOSTILE: Mapping[str, tuple[Callable[[Members], bytes | Members], str]] = PACKED | MEMBERS


def refusal(path: Path, store: Store, published: Path) -> str:
    """What an import of the file says, which must change nothing and be one sentence of bounded length."""
    before = content_of(published.parent)
    with pytest.raises(SystemExit) as caught, one_sentence():
        import_cells(read_export(path), store, {KEY: [published]})
    assert content_of(published.parent) == before
    said = str(caught.value)
    assert said.startswith("llm-dissect: ")
    assert not controls(said)
    assert "\n" not in said
    assert len(said) < 1000
    return said


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    """A store with one of the cells, and its published file."""
    store = filled_store(tmp_path / "ours/store", RESULTS[:1])
    store.entry(KEY).publish(tmp_path / f"ours/{KEY}.json")
    return store


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A file of three cells."""
    path = tmp_path / "sent.tar.gz"
    export_cells([cell_of(result) for result in RESULTS], filled_store(tmp_path / "theirs", RESULTS), path)
    return path


@pytest.mark.parametrize(("change", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_one_sentence_and_changes_nothing(
    sent: Path, ours: Store, change: Callable[[Members], bytes | Members], says: str
) -> None:
    changed = change(members_of(sent))
    if isinstance(changed, bytes):
        sent.write_bytes(changed)
    else:
        write_members(sent, changed)
    said = refusal(sent, ours, ours.root.parent / f"{KEY}.json")
    assert str(sent) in said
    assert re.search(says, said), said


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 100


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop", "nothing"])
def test_what_is_no_file_is_not_read(tmp_path: Path, ours: Store, kind: str) -> None:
    path = tmp_path / "x.tar.gz"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "loop":
            path.symlink_to(path)
    said = refusal(path, ours, ours.root.parent / f"{KEY}.json")
    assert str(path) in said
