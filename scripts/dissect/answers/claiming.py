"""The answer to ``claims``: which of the paper's statements hold in what is measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.present.claims.claims_table import findings
from dissect.present.claims.claims_text import claims_text
from dissect.results.store import STORE_DIR, Store


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """The verdicts, from finished cells and reference results."""
    return claims_text(findings(study.claims, project, Store(project / STORE_DIR).runs_at))
