"""The command that measures cells again in shared rounds, so that their numbers can be told apart.

It is for a run on the machine itself; where every cell is a job, there are no rounds (docs/questions.md).
"""

from collections.abc import Iterable, Sequence

from dissect.cells.cell_id import CellId

MORE = 5
"""Further runs that the command asks for: the fewest for which intervals are of use."""


def command_for(cell_ids: Iterable[str]) -> str:
    """The command for cells of one platform; empty for several, which share no start."""
    ids = list(dict.fromkeys(cell_ids))
    return remeasure(ids) if len({CellId.parse(cell_id).platform for cell_id in ids}) == 1 else ""


def remeasure(cell_ids: Sequence[str]) -> str:
    """The command that measures these cells again, those of each platform in rounds."""
    select = cell_ids[0] if len(cell_ids) == 1 else f"[{','.join(cell_ids)}]"
    return f"snakemake remeasure --config select='{select}' more={MORE}"
