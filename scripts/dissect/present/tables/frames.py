"""Tidy rows as a frame, and the CSV of a frame."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dissect.base.text import no_formula


def framed(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a frame with these columns, in this order."""
    # Of dtype object, so that whole numbers stay whole beside empty fields.
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object)


def to_csv(frame: pd.DataFrame) -> str:
    """Text of the CSV, in which no text is a formula; equal frames have equal bytes."""
    texts = frame.select_dtypes(["object", "str"])
    plain = {str(name): pd.Series(map(no_formula, column), frame.index, object) for name, column in texts.items()}
    return frame.assign(**plain).to_csv(index=False, lineterminator="\n")
