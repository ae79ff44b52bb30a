"""Finished cells as one file, and back: how clusters that own different platforms share their results.

    <name>.tar.gz    manifest.json    cells/<key>/spec.json    cells/<key>/runs/<run id>/result.json  steps.jsonl ...

The same runs make the same bytes. Nothing of a file is believed: every key is computed again from its spec, every run's
id from its result, and a file with one wrong run changes nothing. An import is a union, so nothing conflicts. An export
of schema version 1 has one run per cell, without a folder: cells/<key>/result.json.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from dissect.base.units import MIB
from dissect.cells.cell import Cell
from dissect.cells.exported import MANIFEST, SCHEMA_VERSION, ExportedCell, ExportManifest
from dissect.cells.renamed import today
from dissect.cells.spec import canonical_json, spec_key
from dissect.results.agreement import check_samples, finite_json, plain_json
from dissect.results.archives import compress, members_of, pack, unpacked
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import CellRuns, in_order, run_id
from dissect.results.result import Result, parse_result
from dissect.results.run_files import KERNELS, REQUESTS, RESULT, RUN_ID, STEPS
from dissect.results.store import Entry, Store

SPEC = "spec.json"
SAMPLES = (STEPS, KERNELS, REQUESTS)
"""Files beside the result of a run that are exchanged."""
LARGEST_EXPORT_BYTES = 2**30
"""Largest export, packed as well as unpacked; all of it is held in memory."""
_PARTS = "in parts if it is large: --config select='<glob>'"
DEFAULT_FILE = "results/export.tar.gz"

_RUN_FILE = rf"(runs/{RUN_ID.pattern}/)?({'|'.join(map(re.escape, (RESULT, *SAMPLES)))})"
_MEMBER = re.compile(rf"{re.escape(MANIFEST)}|cells/[0-9a-f]{{12}}/({re.escape(SPEC)}|{_RUN_FILE})")


class ExchangeError(ValueError):
    """A file that cannot be imported; one sentence for the user."""


@dataclass(frozen=True)
class Shared:
    """A cell of an export whose files passed every check."""

    id: str
    canonical: str
    runs: CellRuns
    files: Mapping[str, Mapping[str, bytes]]
    """Run id -> files of the run by name."""


@dataclass(frozen=True)
class Merged:
    """What an import did."""

    added: int
    """Number of runs that the store did not have."""
    known: int
    """Number of runs that it had."""


class Exported(NamedTuple):
    """What an export holds, and what it lacks."""

    cells: int
    runs: int
    missing: int
    """Cells without a run."""
    unreadable: list[Path]
    """Runs of the store that are broken, and not in it."""


def export_cells(cells: Iterable[Cell], store: Store, path: Path) -> Exported:
    """Write the finished cells to an export.

    Raises:
        ExchangeError: there is too much for one file.
        OSError: the file cannot be written.
    """
    wanted = {cell.key: cell for cell in cells if cell.key}
    found: dict[str, tuple[Cell, dict[str, bytes]]] = {}
    runs = 0
    unreadable: list[Path] = []
    for key, cell in sorted(wanted.items()):
        entry = store.entry(key)
        known = entry.peek()
        unreadable += [run.path for run in entry.run_files() if known is None or run.id not in known.ids]
        if known:
            runs += len(known.runs)
            found[key] = cell, {SPEC: (entry.folder / SPEC).read_bytes(), **_files_of(entry, known.ids)}
    manifest = ExportManifest(
        cells={
            key: ExportedCell(id=cell.id, files={name: _sha256(data) for name, data in files.items()})
            for key, (cell, files) in found.items()
        }
    )
    members = {f"cells/{key}/{name}": data for key, (_, files) in found.items() for name, data in files.items()}
    content = pack({MANIFEST: manifest.model_dump_json(indent=1).encode() + b"\n", **members})
    if len(content) > LARGEST_EXPORT_BYTES:
        raise ExchangeError(f"{path}: would be larger than {LARGEST_EXPORT_BYTES // MIB} MiB; export {_PARTS}")
    write_atomically(path, compress(content))
    return Exported(len(found), runs, len(wanted) - len(found), unreadable)


def check_replaceable(path: Path) -> None:
    """Check that no file is there, or an export.

    Raises:
        ExchangeError: an export would replace something else.
    """
    if not path.exists():
        return
    with suppress(ExchangeError, OSError):
        if MANIFEST in _members(path):
            return
    raise ExchangeError(f"{path}: is no export, so none replaces it; name another file, or add force=true")


def read_export(path: Path) -> dict[str, Shared]:
    """Read and check an export; returns its cells by key.

    Raises:
        ExchangeError: the file is missing, truncated, no export, or one of its members is wrong.
    """
    try:
        return _all_checked(path, _members(path))
    except FileNotFoundError:
        raise ExchangeError(f"{path}: no such file") from None
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be read ({error.strerror})") from None


def read_unpacked(folder: Path) -> dict[str, Shared]:
    """Read and check an unpacked export, such as a set of reference results; other files in it are ignored."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return _all_checked(folder, {name: (folder / name).read_bytes() for name in names if _MEMBER.fullmatch(name)})


def import_cells(shared: Mapping[str, Shared], store: Store, published: Mapping[str, Iterable[Path]]) -> Merged:
    """Add the runs that the store lacks, and publish where this configuration (``published``) has the cells.

    Raises:
        KeyCollision: the store has another spec under a key.
        ResultError: a later version of the project wrote a run of the store.
        OSError: a file cannot be written.
    """
    added = 0
    for key, cell in shared.items():
        entry = store.entry(key)
        for path in published.get(key, ()):
            entry.adopt_published(path, cell.canonical)
        with entry.locked():
            entry.claim(cell.canonical)
            added += len(entry.adopt(cell.files))
            for path in published.get(key, ()):
                entry.publish(path)
    return Merged(added, sum(len(cell.files) for cell in shared.values()) - added)


def _files_of(entry: Entry, ids: Collection[str]) -> dict[str, bytes]:
    """Files of these runs by their path below the entry's folder, as in the layout with a folder per run."""
    runs = {run.id: run for run in entry.run_files() if run.id in ids}
    found = {}
    for identity, run in runs.items():
        for name in (RESULT, *SAMPLES):
            path = run.path if name == RESULT else run.folder / name
            if path.exists():
                found[f"runs/{identity}/{name}"] = path.read_bytes()
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _members(path: Path) -> dict[str, bytes]:
    if path.exists() and not path.is_file():  # a pipe or device may have no end
        raise ExchangeError(f"{path}: is no file")
    if path.stat().st_size > LARGEST_EXPORT_BYTES:
        raise ExchangeError(f"{path}: is larger than {LARGEST_EXPORT_BYTES // MIB} MiB; export it again, {_PARTS}")
    # The whole of it first: only the end of the compressed stream tells whether anything is missing.
    try:
        return dict(members_of(unpacked(path.read_bytes(), LARGEST_EXPORT_BYTES), _MEMBER))
    except ValueError as error:
        raise ExchangeError(f"{path}: {error}; it is no export, or one to export again, {_PARTS}") from None


def _all_checked(path: Path, members: dict[str, bytes]) -> dict[str, Shared]:
    manifest = _manifest(path, members.pop(MANIFEST, None))
    listed = {f"cells/{key}/{name}" for key, cell in manifest.cells.items() for name in cell.files}
    if differ := sorted(listed ^ members.keys()):
        raise ExchangeError(f"{path}: {differ[0]}: is {'missing' if differ[0] in listed else 'not in its manifest'}")
    return {key: _checked(path, key, cell, members) for key, cell in manifest.cells.items()}


def _manifest(path: Path, data: bytes | None) -> ExportManifest:
    if data is None:
        raise ExchangeError(f"{path}: {MANIFEST} is missing: not an export")
    try:
        version = plain_json(data).get("schema_version")
    except AttributeError:
        raise ExchangeError(f"{path}: {MANIFEST}: is not a JSON object") from None
    except ValueError as error:
        raise ExchangeError(f"{path}: {MANIFEST}: is not a JSON object of plain text: {error}") from None
    if type(version) is not int or version not in range(1, SCHEMA_VERSION + 1):
        raise ExchangeError(
            f"{path}: {MANIFEST}: has schema_version {version!r}, this version of the project reads "
            f"1 to {SCHEMA_VERSION}; update the older of the two clones"
        )
    try:
        return ExportManifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ExchangeError(f"{path}: {MANIFEST}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _checked(path: Path, key: str, cell: ExportedCell, members: Mapping[str, bytes]) -> Shared:
    files = {name: members[f"cells/{key}/{name}"] for name in cell.files}
    for name in (SPEC, *files):
        where = f"{path}: cells/{key}/{name} ({cell.id})"
        if name not in files:
            raise ExchangeError(f"{where}: is missing")
        if _sha256(files[name]) != cell.files[name]:
            raise ExchangeError(f"{where}: checksum mismatch, the file was changed after the export")
    canonical = _canonical(f"{path}: cells/{key}/{SPEC} ({cell.id})", key, files.pop(SPEC))
    runs = _by_run(f"{path}: cells/{key}", cell.id, files)
    results = {}
    for identity, folder in runs.items():
        try:
            results[identity] = _result(key, folder)
        except ValueError as error:
            raise ExchangeError(f"{path}: cells/{key}/runs/{identity} ({cell.id}): {error}") from None
    return Shared(today(cell.id, lambda: finite_json(canonical)), canonical, in_order(results), runs)


def _result(key: str, files: Mapping[str, bytes]) -> Result:
    """The result of a run whose samples agree with it."""
    try:
        plain_json(files[RESULT])
        result = parse_result(files[RESULT])
        if result.key != key:
            raise ValueError(f"is the result of {result.key}")
    except ValueError as error:
        raise ValueError(f"{RESULT}: {error}") from None
    check_samples(result, files)
    return result


def _by_run(where: str, cell_id: str, files: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Run id -> its files by name; files without a folder are those of the one run of an earlier version."""
    folders: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = data
    runs: dict[str, dict[str, bytes]] = {}
    for folder, found in folders.items():
        there = f"{where}/{folder}".rstrip("/") + f"/{RESULT} ({cell_id})"
        if RESULT not in found:
            raise ExchangeError(f"{there}: is missing")
        identity = run_id(found[RESULT])
        if folder not in ("", f"runs/{identity}"):
            raise ExchangeError(f"{there}: id mismatch, the run has the id {identity}")
        runs[identity] = found
    if not runs:
        raise ExchangeError(f"{where}/{RESULT} ({cell_id}): is missing")
    return runs


def _canonical(where: str, key: str, data: bytes) -> str:
    """The canonical spec of a member; its bytes must be canonical JSON and hash to the key of its folder."""
    try:
        canonical = canonical_json(plain_json(data))
    except ValueError:
        raise ExchangeError(f"{where}: is not JSON") from None
    if spec_key(canonical) != key or canonical.encode() != data:
        raise ExchangeError(f"{where}: key mismatch, the spec hashes to {spec_key(canonical)}")
    return canonical
