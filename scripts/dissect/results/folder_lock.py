"""Whether other runs of Snakemake are active in a project's folder, by a kernel lock that ends with its process.

Snakemake's own lock keeps runs of the same files apart, and stays when its process is killed. It counts as well, for
hosts whose kernel locks this one cannot see.
"""

import fcntl
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dissect.results.lock_file import lock

LOCK = "results/.active"
SNAKEMAKE_LOCKS = ".snakemake/locks"
_LOG = logging.getLogger(__name__)
_MEETING_OTHERS: list[bool] = []
"""Whether another run was active, as far as kernel locks tell, when this process planned."""
_STAYING: list[ExitStack] = []
"""Locks that this process holds until it ends."""


@contextmanager
def planning(project: Path, stays: bool = False) -> Iterator[bool]:
    """Let no other run of the folder begin to plan while the block runs; yields whether none is active.

    With ``stays`` this process counts as an active run from the end of the block until its own end.
    """
    path = project / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        file = stack.enter_context(path.open("ab+"))
        alone = _enter(file)
        _MEETING_OTHERS[:] = [not alone]
        yield alone and not any((project / SNAKEMAKE_LOCKS).glob("*"))
        if stays:
            lock(file, fcntl.LOCK_SH)
            _STAYING.append(stack.pop_all())


def _enter(file: BinaryIO) -> bool:
    """Wait until nobody plans; returns whether nobody is active: then the lock is exclusive, else shared."""
    told = False
    while True:
        for kind, alone in ((fcntl.LOCK_EX, True), (fcntl.LOCK_SH, False)):
            with suppress(BlockingIOError, PermissionError):  # some file systems say EACCES
                lock(file, kind | fcntl.LOCK_NB)
                return alone
        if not told:
            _LOG.warning("Waiting for another snakemake that plans in this folder")
        told = True
        time.sleep(0.1)


def keep_locks_of_others() -> None:
    """Let a run of Snakemake that ends remove its own locks only, and one that meets a lock end with one sentence.

    Snakemake removes the folder with all of them (``_delete_locks`` of persistence/file.py), also those of active runs
    of other files, and has no setting for it. ``--unlock`` still removes all.
    """
    from snakemake.persistence.file import FilePersistence

    def unlock(persistence: FilePersistence) -> None:
        for path in persistence._lockfile.values():
            Path(path).unlink(missing_ok=True)
        persistence._lockfile.clear()

    @contextmanager
    def lock_or_exit(persistence: FilePersistence) -> Iterator[None]:
        if persistence.locked:
            sys.exit(f"llm-dissect: {_why_locked()}")
        with snakemakes(persistence):
            yield

    snakemakes = FilePersistence.lock
    FilePersistence.lock = lock_or_exit
    FilePersistence.unlock = unlock
    FilePersistence.cleanup_locks = FilePersistence._delete_locks


def _why_locked() -> str:
    """Why this run cannot make its files, and what helps."""
    if any(_MEETING_OTHERS):
        return (
            "another snakemake is active in this folder and makes some of the same files: wait for its end; "
            "'snakemake progress' tells how far it is"
        )
    return (
        f"{SNAKEMAKE_LOCKS}: a snakemake that was killed left its lock on some of the same files, for no other "
        "is active on this machine: 'snakemake --unlock' removes it"
    )
