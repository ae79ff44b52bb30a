"""The command that measures cells again in shared rounds, so that their numbers can be told apart.

It is for a run on the machine itself; where every cell is a job, there are no rounds (docs/questions.md).
"""

from collections.abc import Iterable

from dissect.cells.cell_id import CellId

MORE = 5
"""Further runs that the command asks for: the fewest for which intervals are of use."""


def command_for(cell_ids: Iterable[str]) -> str:
    """The command for cells of one platform; empty for several, which share no start."""
    ids = list(dict.fromkeys(cell_ids))
    if len({CellId.parse(cell_id).platform for cell_id in ids}) != 1:
        return ""
    select = ids[0] if len(ids) == 1 else f"[{','.join(ids)}]"
    return f"snakemake remeasure --config select='{select}' more={MORE}"
