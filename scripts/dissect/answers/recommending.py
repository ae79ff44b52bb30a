"""The answer to ``recommend``: which measured setting is best under the limits of ``--config``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.present.recommend.answer import answer as ranked
from dissect.present.recommend.answer_frame import answer_frame
from dissect.present.recommend.answer_text import CSV, answer_text
from dissect.present.recommend.ask import gather
from dissect.present.recommend.predicted_settings import forecast
from dissect.present.tables.frames import to_csv
from dissect.results.atomic import write_atomically
from dissect.results.unwritable import as_far_as_writable


def answer(_study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """All candidates as CSV where that may be written; the best, and what is predicted of those that were not measured.

    Raises:
        ConfigError: the question is wrong, or a price is missing.
    """
    question, candidates, study = gather(project, given)
    found = ranked(question, candidates)
    with as_far_as_writable("it is not written"):
        write_atomically(project / CSV, to_csv(answer_frame(found)).encode())
    text = answer_text(found, study.catalog)
    return text + forecast(found, study, project).text(text.count("\n")) if question.predicted else text
