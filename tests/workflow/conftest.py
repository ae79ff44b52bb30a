"""Clones in which real Snakemake runs over invented measurements."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clones import Clone, stubbed_clone, with_new_times


@pytest.fixture(scope="session")
def measured_clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which Tables III and IV and Figure 4 are finished; copy it, do not change it."""
    clone = stubbed_clone(tmp_path_factory.mktemp("measured") / "clone")
    clone.edit("config/config.yaml", "tables: all", "tables: [table_III, table_IV]")
    clone.edit("config/config.yaml", "figures: all", "figures: [fig_4]")
    clone.snakemake("all")
    assert len(clone.measured()) == 9
    return clone


@pytest.fixture
def clone(measured_clone: Clone, tmp_path: Path) -> Clone:
    """A finished clone of the test's own."""
    return measured_clone.copy(tmp_path / "clone")


@pytest.fixture
def fresh(tmp_path: Path) -> Clone:
    """A clone in which nothing was measured yet."""
    return stubbed_clone(tmp_path / "fresh")


THREE_WAYS: dict[str, Callable[[Clone, Path], Clone]] = {
    "as it is": lambda clone, _: clone,
    "without .snakemake": lambda clone, path: clone.copy(path / "bare", without=(".snakemake",)),
    "fresh clone": lambda clone, path: with_new_times(clone.copy(path / "new", without=(".snakemake",))),
}


@pytest.fixture(params=list(THREE_WAYS))
def variant(request: pytest.FixtureRequest, clone: Clone, tmp_path: Path) -> Clone:
    """A finished clone in each of the states that the contract speaks of."""
    return THREE_WAYS[request.param](clone, tmp_path)
