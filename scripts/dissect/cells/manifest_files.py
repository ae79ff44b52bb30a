"""The files in results/manifests, written when the workflow is parsed; manifests are checked again after the run."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dissect.cells.study import Study
from dissect.config.catalog import PREDICTION, REPORT
from dissect.config.claims import CLAIMS

FOLDER = "results/manifests"
CODE_FILE = f"{FOLDER}/code.txt"
_LONG_AGO = 1_600_000_000
"""A time before any table was written, in seconds since 1970."""
_AHEAD_S = 60
"""Seconds beyond which a file is from the future."""


def write_manifests(study: Study, project: Path, code: str, alone: bool = True) -> list[str]:
    """Write each manifest whose content changed, so that Snakemake merges its table again.

    ``code`` is a digest of the code that merges and draws; its file is an input like the manifests.

    Beside an active run (not ``alone``) nothing is written, or its tables would be made from another configuration's
    manifests. Returns notices for the user.
    """
    differing = dict(_differing(study, project))
    if _differs(project / CODE_FILE, code):
        differing[project / CODE_FILE] = code
    if differing and not alone:
        return ["Another snakemake is active in this folder: tables and figures are planned with its configuration"]
    for path, text in differing.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return []


def mark_lacking(study: Study, project: Path, alone: bool = True) -> None:
    """Make ``<table>.lacking`` newer than the table where a cell has no published file, else older.

    Snakemake makes no missing input of an output that exists, unless another input is newer and has other bytes. The
    next command without such a cell sets the time back. Beside an active run (not ``alone``) no file changes.
    """
    missing = {path for path in study.by_path if not (project / path).exists()}
    for name in (*study.experiments, PREDICTION, CLAIMS):
        path = project / FOLDER / f"{name}.lacking"
        if path.exists() and not alone:
            continue
        if missing.intersection(study.paths_of(name)):
            path.write_text(f"{time.time_ns()}\n", encoding="utf-8")
        elif not path.exists() or path.stat().st_mtime != _LONG_AGO:
            path.unlink(missing_ok=True)  # only its owner may set the time of a file
            path.touch()
            os.utime(path, (_LONG_AGO, _LONG_AGO))


def date_back(project: Path, alone: bool = True) -> None:
    """Date tables, figures and the report back that a clock wrote which was ahead.

    Snakemake takes them for newer than all that they show, until that time has come. Beside an active run (not
    ``alone``) no file changes.
    """
    if not alone:
        return
    clock = project / FOLDER / ".clock"  # that of the file system, which may be another host's
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.touch()
    latest = clock.stat().st_mtime + _AHEAD_S
    for path in (path for name in ("tables", "figures", "report") for path in (project / "results" / name).glob("*")):
        if path.is_file() and path.stat().st_mtime > latest:
            with suppress(PermissionError):  # another user's
                os.utime(path, (_LONG_AGO, _LONG_AGO))


def rewritten(study: Study, project: Path) -> str | None:
    """Warning for the user if another run replaced manifests while this run made tables from them, or None."""
    names = sorted(path.name for path, _ in _differing(study, project))
    if not names:
        return None
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"{FOLDER}/{names[0]}{others}: overwritten by another snakemake with another configuration during this run, so "
        "tables may show its cells; run this one again, which measures nothing"
    )


def _differing(study: Study, project: Path) -> Iterator[tuple[Path, str]]:
    """Path and expected text of each manifest that is missing or has another content."""
    texts = {name: study.manifest(name).to_json() for name in (*study.experiments, PREDICTION, CLAIMS)}
    for name, text in (texts | {REPORT: study.report.to_json()}).items():
        path = project / FOLDER / f"{name}.json"
        if _differs(path, text):
            yield path, text


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text
