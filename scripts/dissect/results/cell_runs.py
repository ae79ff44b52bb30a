"""The runs of one cell together: how it ended, and the published file that tables read."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.any_spec import AnySpec
from dissect.results.result import Result, ResultError, parse_result, validated_result
from dissect.results.upgrades import NewerVersionError

_RUNS = ',\n"runs": ['
"""Text of a published file between its ids and its first run."""
GRAVEST = (Status.INVALID, Status.TIMEOUT, Status.OOM, Status.SKIPPED_OOM)
"""Outcomes other than ``ok``; the first of them that a run has is the cell's."""


@dataclass(frozen=True, slots=True)
class CellRuns:
    """The runs of one cell, in the order in which they were measured; at least one."""

    key: str
    spec: AnySpec
    runs: tuple[Result, ...]
    ids: tuple[str, ...] = ()
    """Id of each run, by which the store has its samples; empty where they are unknown."""

    @property
    def newest(self) -> Result:
        """The run that was measured last."""
        return self.runs[-1]

    @property
    def status(self) -> Status:
        """``ok`` if all runs are, else the gravest outcome of any run."""
        found = {run.status for run in self.runs}
        return next((status for status in GRAVEST if status in found), Status.OK)

    @property
    def phase(self) -> Phase | None:
        """Phase in which the first run with the cell's outcome ended."""
        return self._ended[0].phase

    @property
    def reason(self) -> str | None:
        """Reason of the first run with the cell's outcome, and how many of several runs have it; None if ``ok``."""
        if self.status is Status.OK or len(self.runs) == 1:
            return self._ended[0].reason
        return f"{len(self._ended)} of {len(self.runs)} runs: {self._ended[0].reason}"

    @property
    def flags(self) -> list[Flag]:
        """Flags of any run, in the order of the closed list."""
        raised = {flag for run in self.runs for flag in run.flags}
        return [flag for flag in Flag if flag in raised]

    def lacking(self, asked: int) -> int:
        """How many of the runs that are asked for are missing; none where a run is not ``ok``, which is an answer."""
        return 0 if self.status is not Status.OK else max(0, asked - len(self.runs))

    @property
    def _ended(self) -> list[Result]:
        return [run for run in self.runs if run.status is self.status]


def run_id(data: bytes) -> str:
    """Id of a run: the first 12 hex digits of the SHA-256 of its ``result.json``."""
    return hashlib.sha256(data).hexdigest()[:12]


def in_order(runs: Mapping[str, Result]) -> CellRuns:
    """The runs of a cell (id -> result) in the order of measuring; those that launched nothing come first."""

    def order(item: tuple[str, Result]) -> tuple[str, str]:
        provenance = item[1].provenance
        return provenance.measured_at if provenance else "", item[0]

    ids, results = zip(*sorted(runs.items(), key=order), strict=True)
    return CellRuns(results[0].key, results[0].spec, results, ids)


def published(runs: Iterable[tuple[str, bytes]]) -> bytes:
    """Text of the published file of a cell, from the id and ``result.json`` of each run in order."""
    pairs = list(runs)
    ids = json.dumps([identity for identity, _ in pairs]).encode()
    return b'{"ids": ' + ids + _RUNS.encode() + b"\n" + b",\n".join(data.strip() for _, data in pairs) + b"\n]}\n"


def published_ids(path: Path) -> set[str]:
    """Ids of the runs in a published file, of which only the beginning is read; a ``result.json`` is one run.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        first = file.readline()
        try:
            return set(map(str, json.loads(first.rstrip(b",\n") + b"}")["ids"]))
        except (ValueError, KeyError, TypeError):
            return {run_id(first + file.read())}


def records_of(data: bytes) -> dict[str, bytes]:
    """Run id -> ``result.json`` of each run, byte for byte, from a published file or from a ``result.json``.

    Raises:
        ValueError: a record was changed, so that it no longer has its id, or the file was written in another way.
    """
    text, decoder, found = data.decode(), json.JSONDecoder(), {}
    start = text.find(_RUNS)
    if start < 0:
        if isinstance(document := json.loads(text), dict) and "runs" in document:
            raise ValueError("checksum mismatch: it was written anew, and no longer has each run byte for byte")
        return {run_id(data): data}
    ids, start = json.loads(text).get("ids", []), start + len(_RUNS)
    for identity in ids:
        start += len(text[start:]) - len(text[start:].lstrip(" \n,"))
        _, end = decoder.raw_decode(text, start)
        record = text[start:end].encode()
        found[identity] = next((each for each in (record + b"\n", record) if run_id(each) == identity), b"")
        if not found[identity]:
            raise ValueError(f"checksum mismatch: the run {identity} was changed after it was measured")
        start = end
    return found


def parse_runs(data: bytes) -> CellRuns:
    """Read a published file, or a ``result.json`` as one run.

    Raises:
        NewerVersionError: a later version of the project wrote it.
        ValueError: says what is wrong with it.
    """
    try:
        document: Any = from_json(data)
    except ValueError:
        raise ValueError("is not a JSON object (truncated?)") from None
    if not isinstance(document, dict) or "runs" not in document:
        result = parse_result(data)
        return CellRuns(result.key, result.spec, (result,), (run_id(data),))
    records, ids = document["runs"], tuple(document.get("ids", ()))
    if not isinstance(records, list) or not records:
        raise ValueError("has no runs")
    runs = tuple(map(validated_result, records))
    if keys := {run.key for run in runs} - {runs[0].key}:
        raise ValueError(f"holds runs of {runs[0].key} and of {min(keys)}")
    if ids and len(ids) != len(runs):
        raise ValueError(f"holds {len(runs)} runs, but {len(ids)} ids")
    return CellRuns(runs[0].key, runs[0].spec, runs, ids)


def read_runs(path: Path) -> CellRuns:
    """Read a published file, or a single result: a stored one, or one of a set of reference results.

    Raises:
        ResultError: one sentence with file, fault and remedy.
    """
    try:
        return parse_runs(path.read_bytes())
    except FileNotFoundError:
        fault = "does not exist"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    except NewerVersionError as error:
        raise ResultError(f"{path}: {error}") from None
    except ValueError as error:
        fault = str(error)
    raise ResultError(f"{path}: {fault}; {_remedy(path)}")


def _remedy(path: Path) -> str:
    """What to do about a result, which is at ``references/<set>/<id>/<key>.json`` or this clone's own.

    A path does not tell the suite and the other settings that a command would need to measure its cell.
    """
    match path.parts:
        case [*_, "references", name, _, _, _, _, _, _, _]:
            return f"restore config/references/{name}"
        case _:
            return "restore the file, or remove it and run 'snakemake all' or 'cells' again, with the same settings"
