"""A digest of the project's own code, so that its outputs are written again after a change."""

import hashlib
from pathlib import Path


def code_digest(folder: Path) -> str:
    """Digest of 12 hex digits over names and contents of all files below ``folder``, except compiled byte code."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
