"""What tables, the figure and answers show of searches for the rate that holds."""

from pathlib import Path
from typing import Any

import pytest

import drawn
import factories as make
from dissect.config.layout import FigureLayout
from dissect.metrics.serving import RateProbe
from dissect.present.compare.readings import readings_of
from dissect.present.figures.describe import describe
from dissect.present.recommend.standing import Standing
from dissect.present.report import cell_page
from dissect.present.tables.lay_out import lay_out
from dissect.present.tables.rate_views import MeasuredProbe
from dissect.present.tables.tidy import read_records
from recommend_cases import ask


def cells_of(project: Path, capacities: dict[str, tuple[float, ...]], **search: Any) -> list[Any]:
    """Engines that keep up to these rates, one per run."""
    cells = []
    for engine, runs in capacities.items():
        arrival = {"kind": "poisson", "search": {"ttft_s": 2.0, "tpot_s": 0.2, **search}}
        spec = make.serve_spec(engine=engine, requests=200, arrival=arrival)
        results = make.in_rounds(make.ok_result(spec, make.search_metrics(spec, capacity)) for capacity in runs)
        cells.append(make.published_cell(project, *results, platform="h200", method="tuned"))
    return cells


CAPACITIES = {"vllm": (20.0, 23.0), "lightllm": (19.0,), "tgi": (0.5,), "sglang": (200.0,)}
RATES = {
    "kind": "pivot", "view": "rates", "rows": ["framework", "method"],
    "values": [
        "held_rate_per_s", "failed_rate_per_s", "kept_share", "latency_growth", "probes_tried", "goodput_tokens_per_s",
    ],
}  # fmt: skip


def test_latency_grows_where_requests_pile_up() -> None:
    def growth(ttft_s: list[float], tpot_s: list[float]) -> float | None:
        times = {"ttft_s": ttft_s, "tpot_s": tpot_s}
        asked = {"rate": 4.0, "requests": 12, "kept": 12, "duration_s": 1.0, "loads": 1, "client_cpu": 0.1}
        return MeasuredProbe(RateProbe.model_validate(asked | times), output_tokens=3).growth

    ttft_s, tpot_s = [9.0] + [1.0] * 3 + [2.0] * 4 + [3.0] * 4, [0.0] * 4 + [0.5] * 4 + [1.0] * 4
    assert growth(ttft_s, tpot_s) == pytest.approx(5 / 3)
    assert growth([0.1], [0.1]) is None


def test_a_table_has_the_rate_or_a_bound_the_share_with_its_interval_and_the_tries(tmp_path: Path) -> None:
    manifest = make.manifest("table_rate", cells_of(tmp_path, CAPACITIES), RATES)
    _, found, (grid,) = lay_out(manifest, read_records(manifest, tmp_path))
    rows = {row["framework"]: row for row in found}
    shown = {name[0]: [entry.text for entry in line] for name, line in zip(grid.rows, grid.entries, strict=True)}
    assert rows["vllm"]["held_rate_per_s_low"] < rows["vllm"]["held_rate_per_s"] < rows["vllm"]["held_rate_per_s_high"]
    assert rows["lightllm"]["held_rate_per_s"] <= 19.0 < rows["lightllm"]["failed_rate_per_s"]
    assert shown["LightLLM"][2] == shown["vLLM"][2] == "100.00", "runs that all kept it do not tell how alike they are"
    assert shown["TGI"][0] == "< 1.067"
    assert shown["SGLang"][:2] == ["≥ 59.97", "n/a"]
    assert rows["tgi"]["kept_share"] == 0.5
    assert rows["vllm"]["probes_tried"] == 6
    assert rows["lightllm"]["goodput_tokens_per_s"] == pytest.approx(128 * rows["lightllm"]["held_rate_per_s"])


def test_runs_of_which_one_found_a_bound_have_no_number(tmp_path: Path) -> None:
    manifest = make.manifest("table_rate", cells_of(tmp_path, {"vllm": (20.0, 200.0)}), RATES)
    _, found, (grid,) = lay_out(manifest, read_records(manifest, tmp_path))
    (row,) = found
    assert row["held_rate_per_s"] is None
    assert grid.entries[0][0].text == "19.87; ≥ 59.97"


def test_a_search_that_ended_early_shows_its_bracket_and_says_what_it_is(tmp_path: Path) -> None:
    manifest = make.manifest("table_rate", cells_of(tmp_path, {"vllm": (20.0,)}, probes=2), RATES)
    _, _, (grid,) = lay_out(manifest, read_records(manifest, tmp_path))
    entry = grid.entries[0][0]
    assert entry.text == "8 to 22.63"
    assert "the search ended before they were close" in " ".join(entry.notes)


def failing(folder: Path, within: float) -> list[Any]:
    """A cell whose server ran out of memory at the rate above one that held."""
    arrival = {"kind": "poisson", "search": {"ttft_s": 2.0, "tpot_s": 0.2, "probes": 2, "within": within}}
    spec = make.serve_spec(engine="vllm", requests=200, arrival=arrival)
    held, above = make.search_metrics(spec, 20.0).probes or ()
    failed = above.model_copy(update={"kept": 0, "ttft_s": [], "tpot_s": []})
    ends = {"search_ended_by": "server", "server_failure": f"at {failed.rate:g}/s: the server ran out of memory"}
    metrics = make.search_metrics(spec, 20.0, probes=[held, failed], **ends)
    return [make.published_cell(folder, make.ok_result(spec, metrics), platform="h200", method="tuned")]


@pytest.mark.parametrize(("within", "text", "rate"), [(0.1, "8 to 22.63", None), (1.9, "8.000", 8.0)])
def test_a_rate_at_which_the_server_failed_is_one_that_does_not_hold(
    tmp_path: Path, within: float, text: str, rate: float | None
) -> None:
    manifest = make.manifest("table_rate", failing(tmp_path, within), RATES)
    _, (row,), (grid,) = lay_out(manifest, read_records(manifest, tmp_path))
    assert (row["held_rate_per_s"], row["failed_rate_per_s"], row["kept_share"]) == (rate, 22.627, 1.0)
    assert (row["search_ended_by"], row["server_failure"]) == ("server", "at 22.627/s: the server ran out of memory")
    assert grid.entries[0][0].text == text
    assert row["server_failure"] in grid.entries[0][0].notes


def test_the_page_of_a_cell_has_the_bound_in_place_of_the_rate(tmp_path: Path) -> None:
    (cell,) = cells_of(tmp_path, {"sglang": (200.0, 200.0)})
    (record,) = read_records(make.manifest("t", [cell], RATES), tmp_path)
    numbers = {shown.title: shown for shown in cell_page._numbers(record)}
    assert ("Rate that holds (requests/s)", "≥ 59.97") in [tuple(line[:2]) for line in numbers["rates"].lines]
    assert len(numbers["probes"].lines) == 2 * 6


def test_which_engine_under_two_seconds_is_answered_at_the_rates_that_hold(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, {"vllm": (20.0, 20.5), "sglang": (40.0, 41.0), "tgi": (0.5, 0.5)})
    records = read_records(make.manifest("t", cells, RATES), tmp_path)
    found = ask(records, stage="serve", max_ttft_s=2.0, maximise="throughput")
    (ranking,) = found.rankings
    assert [each.row["framework"] for each in ranking.found] == ["sglang", "vllm"]
    assert [each.standing for each in ranking.found] == [Standing.BEST, Standing.BEHIND]
    assert ranking.found[0].row["tokens_per_s"] == pytest.approx(128 * 38.9, rel=0.05)
    (unknown,) = found.unknown
    assert (unknown.row["framework"], unknown.reason[-37:]) == ("tgi", "a search for a rate found only bounds")


@pytest.mark.parametrize("capacities", [(20.0, 0.5), (20.0, 200.0)])
def test_a_run_that_found_a_bound_leaves_its_cell_without_numbers_to_rank_by(
    tmp_path: Path, capacities: tuple[float, float]
) -> None:
    """The other runs alone would be those in which the engine did well."""
    records = read_records(make.manifest("t", cells_of(tmp_path, {"vllm": capacities}), RATES), tmp_path)
    found = ask(records, stage="serve", max_ttft_s=2.0, maximise="throughput")
    assert [each.row["framework"] for each in found.unknown] == ["vllm"]


def test_a_search_that_ended_with_a_wide_bracket_has_no_rate(tmp_path: Path) -> None:
    """Its highest rate that held says how long it searched, not how fast the engine is."""
    arrival = {"kind": "poisson", "search": {"ttft_s": 2.0, "tpot_s": 0.2, "probes": 3}}
    spec = make.serve_spec(engine="vllm", requests=200, arrival=arrival)
    runs = make.in_rounds(make.ok_result(spec, make.search_metrics(spec, 20.0, ready_s=n)) for n in (55.0, 56.0))
    cell = make.published_cell(tmp_path, *runs, platform="h200", method="tuned")
    manifest = make.manifest("table_rate", [cell], RATES)
    _, found, (grid,) = lay_out(manifest, read_records(manifest, tmp_path))
    (row,) = found
    assert (row["held_rate_per_s"], row["rate_bound"]) == (None, "13.45 to 22.63")
    assert grid.entries[0][0].text == "13.45 to 22.63"
    (record,) = read_records(manifest, tmp_path)
    assert record.runs
    assert not readings_of(cell.id, record.runs)


def test_only_rates_that_hold_are_compared(tmp_path: Path) -> None:
    (cell,) = cells_of(tmp_path, {"vllm": (20.0, 23.0)})
    record = read_records(make.manifest("t", [cell], RATES), tmp_path)[0]
    assert record.runs
    assert {name for _, name in readings_of(cell.id, record.runs)} == {"held_rate_per_s"}


FIGURE = {
    "kind": "rate", "view": "probes", "panels": ["platform"], "series": ["framework"], "x": ["run", "probe"],
    "values": ["offered_rate_per_s", "ttft_p99_s", "tpot_p99_s"],
}  # fmt: skip


def test_the_figure_has_no_point_of_a_rate_at_which_nothing_was_answered(tmp_path: Path) -> None:
    manifest = make.manifest("fig_rate", failing(tmp_path, 0.1), FIGURE, kind="figure")
    _, found, _ = lay_out(manifest, read_records(manifest, tmp_path))
    figure = describe(manifest, FigureLayout.model_validate(FIGURE), found)
    assert len(found) == 2
    assert len([point for point in drawn.marks(figure, "symbol") if "series" in str(point)]) == 2, "one in each panel"


def test_the_figure_has_every_probe_in_both_panels_and_the_limits(tmp_path: Path) -> None:
    manifest = make.manifest("fig_rate", cells_of(tmp_path, CAPACITIES), FIGURE, kind="figure")
    _, found, _ = lay_out(manifest, read_records(manifest, tmp_path))
    figure = describe(manifest, FigureLayout.model_validate(FIGURE), found)
    said = drawn.texts(figure)
    assert {"TTFT p99 (s)", "TPOT p99 (ms)", "Nominal request rate (requests/s)"} <= set(said)
    points = drawn.marks(figure, "symbol")
    assert len([point for point in points if "series" in str(point)]) >= 2 * len(found)
    assert len(found) == 5 * 6
