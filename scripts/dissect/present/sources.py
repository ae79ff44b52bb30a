"""A digest of the project's own code: what it wrote is written anew once it has changed."""

import hashlib
from pathlib import Path


def code_digest(folder: Path) -> str:
    """Over the names and contents of all files below ``folder``, whatever Python compiled aside; 12 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
