"""docs/design.md: what planning costs is what ``make bench BENCH=planning`` measured."""

import csv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_benchmark() -> None:
    page = (ROOT / "docs/design.md").read_text()
    with (ROOT / "tests/data/planning.csv").open() as file:
        measured = list(csv.DictReader(file))
    assert len(measured) == 6
    for row in measured:
        names = ("ratio_min", "ratio", "ratio_max", "ratio_to_resting", "memory_ratio")
        low, ratio, high, to_resting, memory = (f"{float(row[name]):.2f}" for name in names)
        cells = (
            f"{int(row['jobs']):,}",
            f"`snakemake {row['command']}`",
            row["to_do"],
            f"{ratio} ({low} to {high})",
            to_resting,
            memory,
        )
        assert f"| {' | '.join(cells)} |" in page
