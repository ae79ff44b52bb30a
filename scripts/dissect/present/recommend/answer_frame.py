"""An answer as a table of all its cells."""

from collections.abc import Iterator

import pandas as pd

from dissect.present.recommend.answer import Answer, Standings
from dissect.present.recommend.candidates import COLUMNS
from dissect.present.tables.frames import framed


def answer_frame(answer: Answer) -> pd.DataFrame:
    """One row per cell of the answer: its standing, the reason, and all its numbers."""
    rows = [
        {
            "rank": rank,
            "standing": cell.standing.value,
            "why": cell.reason,
            "told": cell.told,
            "close_to_limit": ";".join(cell.close),
        }
        | {column: cell.row[column] for column in COLUMNS}
        for rank, cell in _numbered(answer)
    ]
    columns = ["rank", "standing", "why", "told", "close_to_limit", *COLUMNS]
    never = [{"standing": "never planned", "why": pattern} for pattern in answer.never_planned]
    return framed(rows + never, columns)


def _numbered(answer: Answer) -> Iterator[tuple[int | None, Standings]]:
    ranks = {id(cell): rank for ranking in answer.rankings for rank, cell in enumerate(ranking.found, 1)}
    for cell in answer.standings:
        yield ranks.get(id(cell)), cell
