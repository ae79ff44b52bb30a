"""What the measuring program needs of a site's own Python; importing this ends a process whose Python lacks it."""

import importlib.metadata
import sys

LIBRARIES = {"pydantic": (2, 12), "psutil": (5, 9)}
"""Distribution -> the earliest version, beside what a cell's framework needs."""


def lack(libraries: dict[str, tuple[int, int]]) -> str | None:
    """What this Python lacks of these libraries, in one sentence; None if it has all."""
    wanted, found = [], []
    for name, (major, minor) in libraries.items():
        try:
            have = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            have = None
        if have is None or tuple(map(int, have.split(".")[:2])) < (major, minor):
            wanted.append(f"{name} {major}.{minor}")
            found.append(f"{name} {have}" if have else f"no {name}")
    if not wanted:
        return None
    return f"{sys.executable} has {' and '.join(found)}, the measuring program needs {' and '.join(wanted)} or later"


if sentence := lack(LIBRARIES):
    sys.exit(f"{sys.executable}: failed: {sentence}; install it there, or name another 'interpreter' (docs/slurm.md)")
