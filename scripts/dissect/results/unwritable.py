"""Files of the results that cannot be written: what a user can do about one, and what works without."""

import errno
import grp
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dissect.results.lock_file import LocksUnsupported

_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def as_far_as_writable(without: str) -> Iterator[None]:
    """Leave the block where a file of the results may only be read, and say on standard error what that means.

    For questions, which answer from what is there: results of others can be asked without a right to change them.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FORBIDDEN or not error.filename:
            raise
        print(f"{os.path.relpath(error.filename)}: {os.strerror(error.errno)}; {without}", file=sys.stderr)


def remedy(error: OSError) -> str | None:
    """One sentence that names the file and what would help; None for errors with nothing to add."""
    if isinstance(error, LocksUnsupported):
        return str(error)
    # What is written to an open file that finds the disk full has no name.
    path = os.path.relpath(error.filename) if error.filename else "results"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: {os.strerror(error.errno)}; free some, or link the folder results to a larger disk"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: user {_user(os.geteuid())} may not write it; {_shared(Path(path))}"
    return None


def _shared(path: Path) -> str:
    """How the folder that keeps a path from being written can be shared."""
    barrier = path
    # Path.exists() raises in a folder that may not be searched.
    while not os.path.exists(barrier):  # noqa: PTH110
        barrier = barrier.parent
    facts = barrier.stat()
    kind = "folder" if barrier.is_dir() else "file"
    top = next((folder for folder in (path, *path.parents) if folder.name == "results"), barrier)
    owner, mode = f"{_user(facts.st_uid)}, group {_group(facts.st_gid)}", facts.st_mode & 0o7777
    return (
        f"the {kind} {barrier} belongs to {owner}, with mode {mode:o}: share it by 'chmod -R g+rwX {top}' and "
        f"'find {top} -type d -exec chmod g+s {{}} +', and run with 'umask 002'"
    )


def _user(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)


def _group(number: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(number).gr_name
    return str(number)
