"""Sets of reference results: reading, copying for tables, and adding an export to one.

    config/references/<set>/<cell id>/<key>.json    runs of a cell, each record byte for byte as it was measured
                                      <key>.tar.gz  their samples: <run id>/steps.jsonl ...

Text differs in git by the runs that were added, and the number of files does not grow with the number of runs.
"""

import fcntl
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dissect.cells.exported import MANIFEST
from dissect.cells.references import REFERENCES_DIR, cells_of_set, ids_of_today, reference_text, sets_of
from dissect.cells.renamed import today
from dissect.cells.spec import canonical_json
from dissect.config.errors import ConfigError
from dissect.results.agreement import LARGEST_BYTES, check_samples, finite_json
from dissect.results.archives import compress, members_of, pack, unpacked
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import in_order, parse_runs, published, records_of
from dissect.results.exchange import SAMPLES, ExchangeError, Shared, read_unpacked
from dissect.results.lock_file import lock
from dissect.results.run_files import RESULT, RUN_ID

LOCK = ".references"
"""Name of the lock of the copies, beside their folder."""
_SAMPLE = re.compile(rf"({RUN_ID.pattern})/({'|'.join(map(re.escape, SAMPLES))})")


def publish_references(project: Path) -> None:
    """Make results/references/ a copy of all sets, with samples in the layout of a store; writes only what differs.

    Raises:
        ConfigError: the manifest of an unpacked export is invalid, or one of its files is missing.
    """
    copies, sets = project / REFERENCES_DIR, sets_of(project)
    if not sets and not copies.exists():
        return
    copies.mkdir(parents=True, exist_ok=True)
    with copies.with_name(LOCK).open("ab") as file:
        lock(file, fcntl.LOCK_EX)  # each command copies, and what one removes another may be writing
        _make_copies(copies, sets)


def _make_copies(copies: Path, sets: Mapping[str, Path]) -> None:
    """Bring the copies in line with the sets; the caller holds the lock of the copies."""
    for path in copies.glob("*"):
        if path.name not in sets:
            shutil.rmtree(path)
    for name, folder in sets.items():
        known, shown, copied = cells_of_set(folder), ids_of_today(folder), cells_of_set(copies / name)
        for key in (key for key, cell_id in copied.items() if shown.get(key) != cell_id):
            (copies / name / copied[key] / f"{key}.json").unlink(missing_ok=True)
            shutil.rmtree(copies / name / "cells" / key, ignore_errors=True)
        for key, cell_id in known.items():
            copy = copies / name / shown[key] / f"{key}.json"
            _copy(reference_text(folder, cell_id, key), copy, copies / name / "cells")


def _copy(text: Path, copy: Path, store: Path) -> None:
    """Copy a cell unless it is there; its text comes last and makes the rest count."""
    try:
        data = text.read_bytes()
    except OSError as error:
        raise ConfigError(f"{text}: cannot be read ({error.strerror}); restore the set of reference results") from None
    if copy.exists() and copy.read_bytes() == data:
        return
    shutil.rmtree(store / copy.stem, ignore_errors=True)
    with suppress(ValueError):  # of a broken cell tables show the reason, which the text has
        for identity, files in _files(text).items():
            for name, content in files.items():
                path = store / copy.stem / "runs" / identity / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(data)


def read_set(folder: Path) -> dict[str, Shared]:
    """Read and check a set; returns its cells by key.

    Raises:
        ExchangeError: a text or an archive is wrong.
    """
    if (folder / MANIFEST).exists():
        return read_unpacked(folder)
    found = {}
    for key, cell_id in cells_of_set(folder).items():
        text = reference_text(folder, cell_id, key)
        try:
            found[key] = _read(text, cell_id)
        except (OSError, ValueError) as error:
            raise ExchangeError(f"{text}: {error}; restore {folder}") from None
    return found


def add_to_set(folder: Path, shared: Mapping[str, Shared]) -> int:
    """Add the runs of an export to a set, which is made if need be; returns how many it did not have.

    A set that is an unpacked export becomes one of texts.

    Raises:
        ExchangeError: a text or an archive of the set is wrong.
        OSError: a file cannot be written.
    """
    known, written = (read_set(folder), cells_of_set(folder)) if folder.exists() else ({}, {})
    added = 0
    for key in known.keys() | shared.keys():
        files = dict(known[key].files) if key in known else {}
        if key in shared:
            added += len(shared[key].files.keys() - files.keys())
            files |= shared[key].files
        cell_id = (known.get(key) or shared[key]).id
        _write(folder, cell_id, key, files)
        if written.get(key, cell_id) != cell_id:  # an earlier version called it otherwise
            for old in (folder / written[key]).glob(f"{key}.*"):
                old.unlink()
    (folder / MANIFEST).unlink(missing_ok=True)  # first: it makes the rest count
    shutil.rmtree(folder / "cells", ignore_errors=True)
    return added


def _files(text: Path) -> dict[str, dict[str, bytes]]:
    """Run id -> files of the run by name, of a cell of a set.

    Raises:
        OSError: a file cannot be read.
        ValueError: text or archive is wrong.
    """
    files = {identity: {RESULT: record} for identity, record in records_of(text.read_bytes()).items()}
    if text.name == RESULT:
        [only] = files.values()
        only |= {name: (text.parent / name).read_bytes() for name in SAMPLES if (text.parent / name).exists()}
        return files
    archive = text.with_suffix(".tar.gz")
    try:
        members = members_of(unpacked(archive.read_bytes(), LARGEST_BYTES), _SAMPLE) if archive.exists() else ()
        for member, data in members:
            identity, _, name = member.partition("/")
            if identity in files:  # others came before a text that was never written
                files[identity][name] = data
    except ValueError as error:
        raise ValueError(f"{archive.name}: {error}") from None
    return files


def _read(text: Path, cell_id: str) -> Shared:
    runs, files = parse_runs(text.read_bytes()), _files(text)
    if runs.key != text.stem:
        raise ValueError(f"holds the cell {runs.key}")
    for identity, result in zip(runs.ids, runs.runs, strict=True):
        check_samples(result, files[identity])
    spec = finite_json(files[runs.ids[0]][RESULT])["spec"]
    return Shared(today(cell_id, lambda: spec), canonical_json(spec), runs, files)


def _write(folder: Path, cell_id: str, key: str, files: Mapping[str, Mapping[str, bytes]]) -> None:
    order = in_order({identity: parse_runs(of_run[RESULT]).newest for identity, of_run in files.items()}).ids
    text = folder / cell_id / f"{key}.json"
    samples = {
        f"{identity}/{name}": data
        for identity in order
        for name, data in sorted(files[identity].items())
        if name in SAMPLES and data
    }
    if samples:  # before the text that makes them count
        write_atomically(text.with_suffix(".tar.gz"), compress(pack(samples)))
    write_atomically(text, published((identity, files[identity][RESULT]) for identity in order))
