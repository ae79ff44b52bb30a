"""How often intervals cover and verdicts are wrong, by simulation; docs/statistics.md shows the same figures."""

import re
from pathlib import Path

import pytest

from simulated_tables import TABLES, Table

PAGE = Path(__file__).parents[2] / "docs/statistics.md"
SHOWN = {name: float(rate) for name, rate in re.findall(r"^\| (.+) \| ([\d.]+) % \|$", PAGE.read_text(), re.MULTILINE)}
CASES = [pytest.param(table, name, id=name) for table in TABLES for name in table.cases]
TOLERANCE = 1.5
"""Percentage points by which a figure may differ where NumPy draws other numbers."""


def test_the_page_shows_every_case_and_no_other() -> None:
    assert list(SHOWN) == [case.id for case in CASES]


@pytest.mark.parametrize(("table", "name"), CASES)
def test_figures(table: Table, name: str) -> None:
    rate = table.rate(name)
    assert table.least <= rate <= table.most
    assert rate == pytest.approx(SHOWN[name], abs=TOLERANCE)
