"""The command that measures cells again in shared rounds, so that their numbers can be told apart.

It is for a run on the machine itself; where every cell is a job, there are no rounds (docs/questions.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dissect.cells.cell_id import CellId, without_set
from dissect.config.kinds import Suite

OF_REFERENCES: Suite = "full"
"""Suite of reference results, which need not be the configured one."""
MORE = 5
"""Further runs that the command asks for: the fewest for which intervals are of use."""


def command_for(rows: Iterable[Mapping[str, Any]], suite: Suite) -> str:
    """The command for the cells of these rows, all of one platform; empty for several, which share no start.

    ``suite`` is that of own cells. It may come from a command line, so the command names it.
    """
    cells = list(rows)
    platforms = {without_set(row["platform"]) for row in cells}
    ids = [str(CellId.of({**row, "platform": without_set(row["platform"])})) for row in cells]
    of_all = OF_REFERENCES if any(row["reference"] for row in cells) else suite
    return f"{remeasure(ids, of_all)} more={MORE}" if len(platforms) == 1 else ""


def remeasure(cell_ids: Sequence[str], suite: str = "") -> str:
    """The command that measures these cells again, those of each platform in rounds; without a suite the configured."""
    ids = list(dict.fromkeys(cell_ids))
    select = ids[0] if len(ids) == 1 else f"[{','.join(ids)}]"
    return f"snakemake remeasure --config select='{select}'{f' suite={suite}' if suite else ''}"
