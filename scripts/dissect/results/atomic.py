"""Files that are there as a whole or not at all."""

import errno
import os
import platform
from pathlib import Path


def unfinished(path: Path) -> Path:
    """Hidden name beside a path for what is not whole yet.

    It is fixed on each host, so a writer that was killed leaves at most one: callers hold the key's lock. Other hosts,
    which may not see that lock, have another name.
    """
    return path.with_name(f".{path.name}.{platform.node()}.tmp")


_UNWRITTEN = {
    200 + n: name for n, name in enumerate((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO))
}
"""Exit codes of processes that could not write what they had to report, beyond those that tell a signal or a shell."""


def exit_code_of(error: OSError) -> int:
    """Exit code of a process that could not write its report, which then is all that it can say."""
    return next((code for code, number in _UNWRITTEN.items() if number == error.errno), 1)


def why_unwritten(exit_code: int | None, name: str) -> str | None:
    """Why a process with this exit code could not write its report of that name; None if it did not fail so."""
    if exit_code not in _UNWRITTEN:
        return None
    return f"its report could not be written: {os.strerror(_UNWRITTEN[exit_code])}: {name}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or the next run after a crash, sees all of it or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
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
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, which makes a rename in it durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
