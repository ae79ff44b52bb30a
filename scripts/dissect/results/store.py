"""The store of measured cells: one folder per key, written atomically under a lock that dies with its process.

    results/store/<key>/   spec.json result.json steps.jsonl log.txt failure.json running.json lock
                           of profiles also kernels.csv trace.json.gz
                           of servers also requests.jsonl.gz guidellm.json.gz server.log

Snakemake knows nothing of it: it deletes the outputs of a job before it runs it again; the store keeps what is done.
"""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PositiveInt, ValidationError

from dissect.base.model import Model
from dissect.base.outcome import Phase
from dissect.results.result import Result, ResultError, parse_result
from dissect.results.upgrades import NewerVersionError

_LOG = logging.getLogger(__name__)
STORE_DIR = Path("results/store")
"""Folder of the store, relative to the project."""
OPTIONAL_FILES = ("kernels.csv", "trace.json.gz", "requests.jsonl.gz", "guidellm.json.gz")
"""What some stages leave beside a result. A load that broke off is no part of one: it stays until the next load."""


class KeyCollision(RuntimeError):
    """Two different specs have the same key; astronomically rare, so more likely a damaged ``spec.json``."""


class Failure(Model):
    """The last attempt that failed; ``attempt`` counts from 1 since the last result."""

    attempt: PositiveInt
    phase: Phase | None
    reason: str
    log: str
    failed_at: str
    """UTC, ISO 8601."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or the next run after a crash, sees all of it or the old one.

    The temporary name is fixed, so a writer that was killed leaves at most one: callers hold the key's lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk is reported without a name
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, which makes a rename in it durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Entry:
    """One key's folder. Everything that writes must hold :meth:`locked`."""

    folder: Path

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.folder.name

    @property
    def result_path(self) -> Path:
        """Path of the cell's ``result.json``."""
        return self.folder / "result.json"

    @property
    def previous_path(self) -> Path:
        """What a ``remeasure`` replaces, until the new result is there."""
        return self.folder / "result.json.previous"

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
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                _LOG.info("%s: waiting for another process that measures this cell", self.key)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def held(self) -> bool:
        """Whether a process holds the lock, as far as this host sees; takes the lock for an instant to find out."""
        try:
            with (self.folder / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

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

    def result(self) -> Result | None:
        """The valid result, or None; a broken one is renamed, kept, and measured again.

        Raises:
            ResultError: a later version of the project wrote it; it stays where it is.
        """
        try:
            return self._parse()
        except FileNotFoundError:
            return None
        except NewerVersionError as error:
            raise ResultError(f"{self.result_path}: {error}") from None
        except ValueError as error:
            aside = self._set_aside()
            _LOG.info("%s: %s; kept as %s, measuring again", self.result_path, error, aside.name)
            return None

    def peek(self) -> Result | None:
        """The valid result, or None; changes nothing and needs no lock."""
        try:
            return self._parse()
        except (OSError, ValueError):
            return None

    def _parse(self) -> Result:
        result = parse_result(self.result_path.read_bytes())
        if result.key != self.key:
            raise ValueError(f"is the result of {result.key}")
        return result

    def _set_aside(self) -> Path:
        taken = len(list(self.folder.glob("result.json.invalid-*")))
        aside = self.folder / f"result.json.invalid-{taken + 1}"
        self.result_path.replace(aside)
        return aside

    def forget(self) -> None:
        """Before a ``remeasure``: keep the result as ``result.json.previous`` until a new one is there."""
        if self.result_path.exists():
            self.result_path.replace(self.previous_path)
            _sync_folder(self.folder)

    def write(
        self, result: Result, samples: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None
    ) -> None:
        """Write samples and files, then the result that makes them count; clears what earlier attempts left."""
        for name in OPTIONAL_FILES:
            (self.folder / name).unlink(missing_ok=True)
        for name, data in (files or {}).items():
            write_atomically(self.folder / name, data)
        lines = "".join(json.dumps(sample) + "\n" for sample in samples)
        write_atomically(self.folder / "steps.jsonl", lines.encode())
        write_atomically(self.result_path, result.model_dump_json(indent=1).encode() + b"\n")
        self.previous_path.unlink(missing_ok=True)
        self._failure_path.unlink(missing_ok=True)

    def adopt(self, files: Mapping[str, bytes]) -> None:
        """Take over a checked cell of another store; its result, which makes it count, comes last."""
        for name in sorted(files.keys() - {"spec.json", self.result_path.name}):
            write_atomically(self.folder / name, files[name])
        write_atomically(self.result_path, files[self.result_path.name])
        self._failure_path.unlink(missing_ok=True)

    def publish(self, output: Path) -> None:
        """Copy the result to the output that the workflow declares, all of it or nothing."""
        write_atomically(output, self.result_path.read_bytes())

    def publish_if_idle(self, output: Path) -> bool:
        """Publish the valid result of an entry that no process has locked; returns whether it did."""
        if self.peek() is None:
            return False
        with (self.folder / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            if self.peek() is None:
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

    def next_attempt(self) -> int:
        """Number of the next attempt: 1, or one more than the last failed one."""
        failure = self.failure()
        return failure.attempt + 1 if failure else 1

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

    def keys(self) -> set[str]:
        """Keys of all entries, with or without a result."""
        return {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()

    def specs(self) -> Iterator[tuple[Entry, dict[str, Any]]]:
        """Every entry that has a result, with its spec as plain JSON, in the order of keys."""
        for path in sorted(self.root.glob("*/result.json")):
            try:
                spec = json.loads((path.parent / "spec.json").read_bytes())
            except (OSError, ValueError):
                continue  # foreign or half-copied folder: no help as a hint
            yield Entry(path.parent), spec
