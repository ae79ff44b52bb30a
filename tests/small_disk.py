"""Disks that are soon full, or can only be read."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A folder with room for 256 KiB; skips the test where no file system can be mounted."""
    folder.mkdir(parents=True)
    with _mounted("-t", "tmpfs", "-o", "size=256k", "tmpfs", folder):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The same folder on a read-only file system; skips the test where none can be mounted."""
    with _mounted("--bind", folder, folder):
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield


@contextmanager
def _mounted(*arguments: str | Path) -> Iterator[None]:
    """``mount`` with these arguments, the last of which is the folder, while the block runs."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", arguments[-1]], check=True)
