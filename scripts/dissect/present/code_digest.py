"""A digest of the project's own code, so that its outputs are written again after a change."""

import hashlib
from pathlib import Path

SUFFIXES = frozenset((".py", ".j2", ".css", ".js", ".toml"))
"""Endings of the files that are code; others, such as what an editor leaves, change nothing."""


def code_digest(folder: Path) -> str:
    """Digest of 12 hex digits over names and contents of all code below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
