"""What tables and claims say of their intervals, and of numbers that have none."""

import pytest

from dissect.base.outcome import Status
from dissect.present.tables.remarks import interval_remarks
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import summarise


@pytest.mark.parametrize(
    ("cells", "remark"),
    [
        ([(1, 1), (1, 1)], "One run of each cell: no interval."),
        ([(1, 1), (2, 2)], "One run of each cell, or one on each of two starts: no interval."),
        ([(3, 3), (1, 1)], "In brackets: 95 % confidence interval over 3 runs on 3 starts; one run: no interval."),
        (
            [(4, 1), (2, 2)],
            "In brackets: 95 % confidence interval over 4 runs on 1 start; over fewer than three starts it holds for "
            "these only; one run, or one on each of two starts: no interval.",
        ),
        ([(2, None)], "In brackets: 95 % confidence interval over 2 runs, on starts that are not known."),
    ],
)
def test_a_remark_tells_which_cells_have_no_interval(cells: list[tuple[int, int | None]], remark: str) -> None:
    assert interval_remarks([{"status": Status.OK, "runs": runs, "starts": starts} for runs, starts in cells]) == [
        remark
    ]


def test_a_run_on_each_of_two_starts_gives_no_interval() -> None:
    runs = [RunValue(1.0, "first", None), RunValue(1.1, "second", None)]
    told = [summarise(runs[:count]).words for count in (1, 2)]
    assert told == ["one run: no interval", "one run on each of two starts: no interval"]


@pytest.mark.parametrize("runs", range(1, 6))
def test_remarks_agree_with_the_statistics_on_what_has_an_interval(runs: int) -> None:
    for starts in range(1, runs + 1):
        found = summarise([RunValue(1.0 + number, f"start {number % starts}") for number in range(runs)])
        [remark] = interval_remarks([{"status": Status.OK, "runs": runs, "starts": starts}])
        assert remark.startswith("In brackets") == (found.low is not None), remark
