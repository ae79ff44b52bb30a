"""Golden files: what the code wrote when somebody last looked at it and found it right."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Compare with the file below tests/golden; with UPDATE_GOLDEN=1 in the environment write it instead."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path} differs; look at both, then run with UPDATE_GOLDEN=1"
