"""The table of verdicts: it reads finished cells, and nothing is measured for its sake alone."""

from pathlib import Path

import pytest

from clones import Clone, stubbed_clone, with_new_times

PAPER = "config/references/paper.yaml"
TABLE = "results/tables/claims.md"
WRITE = "Write table claims"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the claims on Table II and Figure 4 are decided; copy it, do not change it."""
    clone = stubbed_clone(tmp_path_factory.mktemp("claims") / "clone")
    clone.edit("config/config.yaml", "tables: all", "tables: [table_II, claims]")
    clone.edit("config/config.yaml", "figures: all", "figures: [fig_4]")
    clone.snakemake("all")
    clone.measured()
    return clone


@pytest.fixture
def clone(finished: Clone, tmp_path: Path) -> Clone:
    return finished.copy(tmp_path / "clone")


def verdicts(clone: Clone) -> str:
    return (clone.folder / TABLE).read_text()


def test_all_writes_the_verdicts(clone: Clone) -> None:
    assert "| H03" in verdicts(clone)
    assert clone.snakemake("all").jobs == []


def test_an_edited_claim_is_decided_again_and_nothing_else_happens(clone: Clone) -> None:
    assert "90.8 ± 2 | cannot tell" in " ".join(verdicts(clone).split()), "one run decides no number"
    clone.edit(PAPER, "about: 90.8, tolerance: 2", "about: 90.8, tolerance: 100")
    assert sorted(clone.snakemake("all").jobs) == ["Write report", WRITE]
    assert clone.measured() == []
    assert "90.8 ± 100 | cannot tell" in " ".join(verdicts(clone).split())


def test_what_says_the_same_in_other_words_does_nothing(clone: Clone) -> None:
    path = clone.folder / PAPER
    path.write_text(path.read_text().replace("about: 90.8, tolerance: 2", "tolerance:  2.0, about: 90.80"))
    assert clone.snakemake("all").jobs == []


def test_a_cell_that_a_claim_reads_decides_it_again(clone: Clone) -> None:
    clone.edit("config/config.yaml", "overrides: {}", "overrides: {'*/cpu/*/*/Q/*': {sampling: {budget_s: 99}}}")
    jobs = clone.snakemake("all").jobs
    assert WRITE in jobs
    assert "Write table table_II" not in jobs
    assert len(clone.measured()) == 2


def test_a_layout_of_another_table_decides_nothing_again(clone: Clone) -> None:
    clone.edit("config/experiments/fig_4.yaml", "caption: Throughput", "caption: The throughput")
    assert set(clone.snakemake("all").jobs) == {"Write table fig_4", "Draw figure fig_4", "Write report"}


def test_a_fresh_clone_comes_to_the_same_verdicts(clone: Clone, tmp_path: Path) -> None:
    before = clone.bytes_of("tables/claims.*")
    fresh = with_new_times(clone.copy(tmp_path / "fresh", without=(".snakemake",)))
    fresh.snakemake("all")
    assert fresh.measured() == []
    assert fresh.bytes_of("tables/claims.*") == before


def test_what_is_not_asked_for_is_not_measured_for_a_claim(clone: Clone) -> None:
    run = clone.snakemake("-n", TABLE, "--config", "tables=[claims]", "figures=[]", "suite=full")
    assert run.jobs == [WRITE]
