"""The store of measured cells: a folder per key with its runs, under a lock that dies with its process.

    results/store/<key>/   spec.json log.txt failure.json running.json lock
        runs/<run id>/     a run (results/run_files.py)
        set_aside/<UTC>/   runs that ``remeasure fresh=true`` set aside

It only ever gains runs: merging two stores is a union of their folders. Snakemake knows nothing of it: it deletes the
outputs of a job before it runs it again; the store keeps what is done.
"""

import fcntl
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PositiveInt, ValidationError

from dissect.base.model import Model
from dissect.base.outcome import Phase
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import (
    CellRuns,
    in_order,
    parse_runs,
    published,
    published_ids,
    read_runs,
    records_of,
)
from dissect.results.lock_file import is_held, lock
from dissect.results.result import Result, ResultError
from dissect.results.run_files import (
    PARTIAL,
    REQUESTS,
    RESULT,
    STEPS,
    RunFiles,
    files_of_runs,
    set_runs_aside,
    write_folder,
)
from dissect.results.upgrades import NewerVersionError

_LOG = logging.getLogger(__name__)
STORE_DIR = Path("results/store")
"""Folder of the store, relative to the project."""


def withdrawn_copy(output: Path) -> Path:
    """Name of a published file that was withdrawn, because its cell lacks runs."""
    return output.with_name(f".{output.name}.withdrawn")


def published_below(folder: Path) -> list[Path]:
    """Paths of published files, in order; withdrawn ones too, under the name that they would come back to."""
    withdrawn = (
        path.with_name(path.name.removeprefix(".").removesuffix(".withdrawn")) for path in folder.rglob(".*.withdrawn")
    )
    return sorted({*folder.rglob("*.json"), *withdrawn})


class KeyCollision(RuntimeError):
    """Two different specs have the same key; astronomically rare, so more likely a damaged ``spec.json``."""


class Failure(Model):
    """The last attempt that failed; ``attempt`` counts from 1 since the last run that has a result."""

    attempt: PositiveInt
    phase: Phase | None
    reason: str
    log: str
    failed_at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Entry:
    """One key's folder. Everything that writes must hold :meth:`locked`."""

    folder: Path

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.folder.name

    @property
    def log_path(self) -> Path:
        """Path of the log with everything that the measurement printed."""
        return self.folder / "log.txt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the key's kernel lock, also against other hosts where the file system supports ``flock``.

        The kernel drops it when the process (and every rank that it forked) has ended, however it ended.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as file:
            try:
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                _LOG.info("%s: waiting for another process that measures this cell", self.key)
                lock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def locked_if_idle(self) -> Iterator[bool]:
        """Hold the lock of an entry that is there, unless a process has it; yields whether it is held."""
        with (self.folder / "lock").open("ab") as file:
            try:
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def held(self) -> bool:
        """Whether a process holds the lock, as far as this host sees; takes the lock for an instant to find out."""
        return is_held(self.folder / "lock")

    def claim(self, canonical: str) -> None:
        """Record the spec of this entry.

        Raises:
            KeyCollision: the entry has another spec.
        """
        path = self.folder / "spec.json"
        try:
            stored = path.read_text()
        except FileNotFoundError:
            write_atomically(path, canonical.encode())
            return
        if stored != canonical:
            raise KeyCollision(
                f"{path}: holds another spec under the key {self.key}; if that file is damaged, move "
                f"{self.folder} away, else report the collision (asked for: {canonical})"
            )

    def spec(self) -> dict[str, Any] | None:
        """The spec as plain JSON; None in a foreign or half-copied folder."""
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / "spec.json").read_bytes())
            return found if isinstance(found, dict) else None
        return None

    def run_files(self) -> list[RunFiles]:
        """The runs on disk, broken ones too, in the order of their ids; reads none of them."""
        return files_of_runs(self.folder)

    def count(self) -> int:
        """Number of runs on disk, broken ones too; cheap."""
        return len(self.run_files())

    def lacks_runs(self, asked: int, again: bool = False) -> bool:
        """Whether the cell needs more runs to have as many as are asked for; reads runs only if there are too few.

        An outcome other than ``ok`` is enough, unless the cell is to be measured ``again``.
        """
        if self.count() >= asked:
            return False
        known = None if again else self.peek()
        return known is None or known.lacking(asked) > 0

    @property
    def was_set_aside(self) -> bool:
        """Whether earlier runs were set aside, so that no published file speaks for the cell without the store."""
        return (self.folder / "set_aside").exists()

    def runs(self) -> list[Result]:
        """The valid runs in the order of measuring; a broken one is renamed, kept, and counts no longer.

        Raises:
            ResultError: a later version of the project wrote a run; it stays where it is.
        """
        for run in self.run_files():
            try:
                run.result(self.key)
            except NewerVersionError as error:
                raise ResultError(f"{run.path}: {error}") from None
            except ValueError as error:
                _LOG.info("%s: %s; kept as %s", run.path, error, run.set_aside().name)
        known = self.peek()
        return list(known.runs) if known else []

    def peek(self) -> CellRuns | None:
        """The valid runs, or None without any; changes nothing and needs no lock."""
        valid = {run.id: result for run, result in self._valid()}
        return in_order(valid) if valid else None

    def _has_valid_run(self) -> bool:
        return next(self._valid(), None) is not None  # of many runs only the first is read

    def _valid(self) -> Iterator[tuple[RunFiles, Result]]:
        for run in self.run_files():
            with suppress(OSError, ValueError):
                yield run, run.result(self.key)

    def write_run(
        self, result: Result, samples: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None
    ) -> str:
        """Add a run with its samples and other files, all of it or nothing; returns its id.

        One that has its requests supersedes what was kept of them while they were sent.

        Raises:
            OSError: a file cannot be written.
        """
        lines = "".join(json.dumps(sample) + "\n" for sample in samples).encode()
        data = result.model_dump_json(indent=1).encode() + b"\n"
        identity = write_folder(self.folder, {**(files or {}), STEPS: lines, RESULT: data})
        for partial in self.folder.glob(PARTIAL) if files and REQUESTS in files else ():
            partial.unlink(missing_ok=True)
        self._failure_path.unlink(missing_ok=True)
        return identity

    def adopt(self, runs: Mapping[str, Mapping[str, bytes]]) -> list[str]:
        """Add checked runs of another store (id -> files by name) that this one lacks; returns their ids.

        Raises:
            ResultError: a later version of the project wrote a run of this store.
            OSError: a file cannot be written.
        """
        self.runs()
        known = {run.id for run in self.run_files()}
        added = [write_folder(self.folder, files) for identity, files in runs.items() if identity not in known]
        if added:
            self._failure_path.unlink(missing_ok=True)
        return added

    def adopt_published(self, output: Path, canonical: str) -> None:
        """Add the runs, without samples, of a published or withdrawn file that was copied without its store.

        Runs that are measured then join them. An entry with valid runs, or whose runs were set aside, stays as it is.
        """
        if self._has_valid_run() or self.was_set_aside:
            return
        for path in (output, withdrawn_copy(output)):
            with suppress(OSError, ValueError):  # missing or broken: there is nothing to keep
                data = path.read_bytes()
                if parse_runs(data).key == self.key:
                    runs = {identity: {RESULT: record} for identity, record in records_of(data).items()}
                    self.folder.mkdir(parents=True, exist_ok=True)
                    with self.locked_if_idle() as idle:
                        if idle and not self._has_valid_run():
                            self.claim(canonical)
                            self.adopt(runs)
                    return

    def set_aside_runs(self, name: str) -> Path:
        """Move all runs to ``set_aside/<name>``, once; returns that folder."""
        return set_runs_aside(self.folder, name)

    def publish(self, output: Path) -> None:
        """Copy the valid runs into the file that the workflow declares, all of them or nothing.

        Raises:
            ResultError: there is no valid run.
            OSError: the file cannot be written.
        """
        before = None
        while before != (known := self.run_files()):  # a host that does not see the lock may have added one
            write_atomically(output, self.published_bytes())
            before = known
        withdrawn_copy(output).unlink(missing_ok=True)

    def published_bytes(self) -> bytes:
        """What :meth:`publish` writes.

        Raises:
            ResultError: there is no valid run.
        """
        valid = dict(self._valid())
        if not valid:
            raise ResultError(f"{self.folder}: has no valid run to publish; measure the cell")
        order = in_order({run.id: result for run, result in valid.items()}).ids
        found = {run.id: run.data() for run in valid}
        return published((identity, found[identity]) for identity in order)

    def differs_from(self, output: Path) -> bool:
        """Whether a published file holds other runs than this entry; runs are read only if the ids differ.

        Raises:
            OSError: the published file cannot be read.
        """
        if published_ids(output) == {run.id for run in self.run_files()}:
            return False
        return self.peek() is None or output.read_bytes() != self.published_bytes()

    def publish_if_idle(self, output: Path) -> bool:
        """Publish the valid runs of an entry that no process has locked; returns whether it did.

        Raises:
            OSError: the file cannot be written.
        """
        if self.peek() is None:
            return False
        with self.locked_if_idle() as idle:
            if not idle or self.peek() is None:
                return False
            self.publish(output)
        return True

    @property
    def _failure_path(self) -> Path:
        return self.folder / "failure.json"

    def failure(self) -> Failure | None:
        """The last failed attempt since the last result, or None."""
        try:
            return Failure.model_validate_json(self._failure_path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write_failure(self, failure: Failure) -> None:
        """Record a failed attempt as ``failure.json``."""
        write_atomically(self._failure_path, failure.model_dump_json(indent=1).encode() + b"\n")


@dataclass(frozen=True)
class Store:
    """The store: one entry per key."""

    root: Path

    def entry(self, key: str) -> Entry:
        """The entry of a key, which may be empty."""
        return Entry(self.root / key)

    def runs_at(self, path: Path) -> CellRuns | None:
        """The runs of a published file, or where there is none those in the store.

        Raises:
            ResultError: the published file is broken.
        """
        return read_runs(path) if path.exists() else self.entry(path.stem).peek()

    def keys(self) -> set[str]:
        """Keys of all entries, with or without a result."""
        return {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()

    def specs(self) -> Iterator[tuple[Entry, dict[str, Any]]]:
        """Every entry that has a run, with its spec as plain JSON, in the order of keys."""
        for key in sorted(self.keys()):
            entry = self.entry(key)
            if (spec := entry.spec()) and entry.count():
                yield entry, spec
