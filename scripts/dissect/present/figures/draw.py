"""Files of a figure: the same description and data give the same bytes."""

from pathlib import Path
from typing import Any

import vl_convert

from dissect.present.figures.look import CONFIGS

_PNG_PPI = 300


def save(described: dict[str, Any], path: Path) -> None:
    """Write pdf, svg or png, by the path's suffix, for white paper. No network is used."""
    given: dict[str, Any] = {"config": dict(CONFIGS["light"]), "allowed_base_urls": []}
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(described, **given), encoding="utf-8")
    elif path.suffix == ".pdf":
        path.write_bytes(vl_convert.vegalite_to_pdf(described, **given))
    else:
        path.write_bytes(vl_convert.vegalite_to_png(described, scale=_PNG_PPI / 96, ppi=72, **given))
