"""SciPy, imported when a first interval needs it: a report of single runs needs none, and does without 40 MB."""

from typing import Any


def __getattr__(name: str) -> Any:
    import scipy

    return getattr(scipy, name)
