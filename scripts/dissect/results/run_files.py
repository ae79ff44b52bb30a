"""The files of runs in the store: a folder per run, whole or not there, and the layout of earlier versions.

runs/<run id>/   result.json steps.jsonl
of profiles also kernels.csv trace.json.gz
of servers also requests.jsonl.gz guidellm.json.gz server.log.gz
result.json ...  one run, as earlier versions stored it beside spec and log; it is read there and never rewritten
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dissect.results.atomic import sync_folder, unfinished, write_atomically
from dissect.results.cell_runs import run_id
from dissect.results.result import Result, parse_result

RESULT = "result.json"
PREVIOUS = "result.json.previous"
"""What an interrupted ``remeasure`` of an earlier version left in place of ``result.json``."""
STEPS = "steps.jsonl"
KERNELS = "kernels.csv"
REQUESTS = "requests.jsonl.gz"
PARTIAL = "*.partial.jsonl.gz"
"""Names of files in a cell's folder with the requests so far, in case that no run comes to have them."""
OPTIONAL_FILES = (KERNELS, "trace.json.gz", REQUESTS, "guidellm.json.gz")
"""What some stages leave beside a result."""
RUN_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class RunFiles:
    """One run on disk, whole but perhaps broken."""

    path: Path
    """Its ``result.json``."""
    id: str

    @property
    def folder(self) -> Path:
        """Folder with its samples."""
        return self.path.parent

    @property
    def has_folder(self) -> bool:
        """Whether it has a folder of its own, unlike a run of the earlier layout."""
        return self.folder.parent.name == "runs"

    @property
    def whole(self) -> Path:
        """Its folder, or its ``result.json`` where it has none of its own."""
        return self.folder if self.has_folder else self.path

    def files(self) -> list[Path]:
        """Its files, the result first, which makes the others count."""
        return files_of_run(self.whole)

    def data(self) -> bytes:
        """Bytes of its ``result.json``.

        Raises:
            OSError: it cannot be read.
        """
        return self.path.read_bytes()

    def result(self, key: str) -> Result:
        """Its result.

        Raises:
            OSError: it cannot be read.
            NewerVersionError: a later version of the project wrote it.
            ValueError: it is broken, or another cell's.
        """
        data = self.data()
        result = parse_result(data)
        if result.key != key:
            raise ValueError(f"is the result of {result.key}")
        if run_id(data) != self.id:
            raise ValueError(f"checksum mismatch: it was changed after the run {self.id}")
        return result

    def set_aside(self) -> Path:
        """Rename what is broken, so that it counts no longer; returns where it is."""
        taken = len(list(self.whole.parent.glob(f"{self.whole.name}.invalid-*")))
        return self.whole.rename(self.whole.with_name(f"{self.whole.name}.invalid-{taken + 1}"))


def files_of_run(whole: Path) -> list[Path]:
    """Files of a run, its result first: all of a folder, or those beside a ``result.json`` without one."""
    if whole.is_dir():
        return sorted((path for path in whole.rglob("*") if path.is_file()), key=lambda path: path.name != RESULT)
    samples = (whole.with_name(name) for name in (STEPS, *OPTIONAL_FILES)) if whole.name in (RESULT, PREVIOUS) else ()
    return [whole, *(path for path in samples if path.exists())]


def files_of_runs(folder: Path) -> list[RunFiles]:
    """Runs of the entry with this folder, in the order of their ids; reads no more than a run of the earlier layout."""
    found = {path.name: RunFiles(path / RESULT, path.name) for path in _folders(folder / "runs")}
    for path in (folder / RESULT, folder / PREVIOUS):
        try:
            earlier = RunFiles(path, run_id(path.read_bytes()))
        except FileNotFoundError:
            continue
        found.setdefault(earlier.id, earlier)
        break
    return [found[identity] for identity in sorted(found)]


def _folders(runs: Path) -> Iterator[Path]:
    try:
        yield from (path for path in runs.iterdir() if RUN_ID.fullmatch(path.name) and (path / RESULT).exists())
    except FileNotFoundError:
        return


def write_folder(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write a run's folder under a hidden name, then rename it; returns the run's id. The caller holds the key's lock.

    Raises:
        OSError: a file cannot be written; nothing stays of the folder.
    """
    identity = run_id(files[RESULT])
    target, temporary = folder / "runs" / identity, unfinished(folder / "runs" / "run")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, data in files.items():
            write_atomically(temporary / name, data)
        if not (target / RESULT).exists():
            shutil.rmtree(target, ignore_errors=True)  # half copied from another store
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(target.parent)
    sync_folder(folder)
    return identity


def set_runs_aside(folder: Path, name: str) -> Path:
    """Move all runs to the folder ``set_aside/<name>``; returns it.

    Where that folder exists, the runs were set aside under this name before, and those that came since stay. A process
    that is killed meanwhile has moved all runs or none.
    """
    aside = folder / "set_aside" / name
    if aside.exists():
        return aside
    # Of two results of the earlier layout the second one counts once the first has its folder.
    while earlier := [run for run in files_of_runs(folder) if not run.has_folder]:
        samples = {path.name: path.read_bytes() for path in earlier[0].files()[1:]}
        write_folder(folder, {**samples, RESULT: earlier[0].data()})
        for path in earlier[0].files():  # the result first: from here on the copy counts
            path.unlink()
    (folder / "runs").mkdir(exist_ok=True)
    aside.parent.mkdir(exist_ok=True)
    (folder / "runs").rename(aside)
    sync_folder(folder)
    return aside
