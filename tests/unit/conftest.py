"""Fixtures of several modules of unit tests."""

import io
from pathlib import Path

import pandas as pd
import pytest

from dissect.cells.study import load_study
from dissect.present.tables.columns import Record
from dissect.present.tables.predicted_cells import build_prediction
from dissect.present.tables.tidy import read_records
from dissect.results.reference_sets import publish_references

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the shipped reference results, published."""
    project = tmp_path_factory.mktemp("shipped")
    for folder in ("config", "envs"):
        (project / folder).symlink_to(ROOT / folder)
    publish_references(project)
    return project


@pytest.fixture(scope="session")
def shipped_records(shipped: Path) -> list[Record]:
    """The shipped cells that the table of predictions reads, with their results."""
    return read_records(load_study(shipped, {"suite": "full"}).prediction, shipped)


@pytest.fixture(scope="session")
def shipped_predictions(shipped: Path) -> pd.DataFrame:
    """The table of predictions of the shipped cells."""
    table = build_prediction(load_study(shipped, {"suite": "full"}).prediction, shipped)
    return pd.read_csv(io.StringIO(table.csv))
