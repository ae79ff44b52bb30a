"""Files of a figure: the same description and data give the same bytes."""

from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

from dissect.present.figures.look import CONFIGS
from dissect.present.figures.subject import Row
from dissect.present.tables.tidy import plain_rows

_TEXT = (
    "platform", "model", "framework", "method", "workload", "batch", "status", "phase", "reason", "device", "dtype",
    "product", "direction", "key", "reference", "flags",
)  # fmt: skip
_WHOLE = ("rows", "size_bytes", "sequence", "probe")
_PNG_PPI = 300


def read_tidy(path: Path) -> list[Row]:
    """The rows of a CSV that ``write_table`` wrote; an empty field is None, ids and marks stay text."""
    frame = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, "string") | dict.fromkeys(_WHOLE, "Int64"))
    return list(plain_rows(frame))


def save(described: dict[str, Any], path: Path) -> None:
    """Write pdf, svg or png, by the path's suffix, for white paper. No network is used."""
    given: dict[str, Any] = {"config": dict(CONFIGS["light"]), "allowed_base_urls": []}
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(described, **given), encoding="utf-8")
    elif path.suffix == ".pdf":
        path.write_bytes(vl_convert.vegalite_to_pdf(described, **given))
    else:
        path.write_bytes(vl_convert.vegalite_to_png(described, scale=_PNG_PPI / 96, ppi=72, **given))
