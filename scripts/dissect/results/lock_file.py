"""Kernel locks on files, which end with the processes that hold them."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO, Any

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class LocksUnsupported(OSError):
    """The file system has no kernel locks; the message says which file asked for one, and what would help."""


def lock(file: IO[Any], kind: int) -> None:
    """Lock an open file by ``flock``, of a kind such as ``fcntl.LOCK_EX``.

    Raises:
        BlockingIOError: another process holds it, and ``kind`` does not wait.
        LocksUnsupported: the file system has no such locks.
    """
    try:
        fcntl.flock(file, kind)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise LocksUnsupported(
            f"{os.path.relpath(file.name)}: its file system does not support flock ({os.strerror(error.errno)}); link "
            "the folder results to a file system that does, or have this one mounted with it: Lustre with the option "
            "flock, NFS 3 with a lock daemon"
        ) from None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock, as far as this host sees; takes the lock for an instant to find out."""
    try:
        with path.open("rb") as file:
            lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, LocksUnsupported):
        return False
    except OSError:
        return True
    return False
