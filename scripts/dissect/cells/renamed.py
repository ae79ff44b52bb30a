"""Ids of cells as earlier versions wrote them, in today's words.

An id is matched with those of today's tables. Where its label meant something else when the cell was measured, the cell
gets the label that means today what was measured. Keys and results stay as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dissect.cells.cell_id import CellId

SpecJson = Mapping[str, Any]


def today(cell_id: str, spec: Callable[[], SpecJson]) -> str:
    """Today's id of a cell that was measured as ``cell_id``; ``spec`` reads its spec, if the id alone cannot tell."""
    parts = CellId.parse(cell_id)
    return str(_sizes_of_zero_3(parts, spec))


def _sizes_of_zero_3(parts: CellId, spec: Callable[[], SpecJson]) -> CellId:
    """Z3 had DeepSpeed's default sizes, which are ZD now."""
    letters = parts.method.split("+")
    if parts.framework != "deepspeed" or "Z3" not in letters or "ZD" in letters:
        return parts
    if "stage3_sizes" in spec()["method"]:
        return parts
    after = "O" if "O" in letters else "Z3"
    letters.insert(letters.index(after) + 1, "ZD")
    return parts._replace(method="+".join(letters))
