"""The command that measures cells again in shared rounds, so that their numbers can be told apart."""

from collections.abc import Iterable

MORE = 5
"""Further runs that the command asks for: the fewest for which intervals are of use."""


def command_for(cell_ids: Iterable[str]) -> str:
    """The command for cells of one platform; empty for several, which share no start."""
    parts = [list(dict.fromkeys(same)) for same in zip(*(cell_id.split("/") for cell_id in cell_ids), strict=True)]
    if not parts or len(parts[1]) > 1:
        return ""
    glob = "/".join(same[0] if len(same) == 1 else "*" for same in parts)
    return f"snakemake remeasure --config select='{glob}' more={MORE}"
