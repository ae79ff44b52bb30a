"""The answer to ``recommend``: which measured setting is best under the limits of ``--config``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.present.recommend.answer import answer as ranked
from dissect.present.recommend.answer_text import answer_frame, answer_text
from dissect.present.recommend.ask import gather
from dissect.present.tables.tidy import to_csv
from dissect.results.atomic import write_atomically

CSV = "results/recommend.csv"


def answer(_study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Write all candidates as CSV; the best of them.

    Raises:
        ConfigError: the question is wrong, or a price is missing.
    """
    question, candidates, catalog = gather(project, given)
    found = ranked(question, candidates)
    write_atomically(project / CSV, to_csv(answer_frame(found)).encode())
    return answer_text(found, catalog)
