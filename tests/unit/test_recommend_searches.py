"""What a question about servers says of searches for the rate that holds."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import factories as make
from dissect.config.catalog import load_catalog
from dissect.config.question import Question
from dissect.present.recommend import search_lines
from dissect.present.recommend.answer import why_without
from dissect.present.recommend.answer_frame import answer_frame
from dissect.present.recommend.answer_text import GROWTH, answer_text, number_text
from dissect.present.recommend.candidates import candidates
from dissect.present.recommend.search_lines import BY_THROUGHPUT
from dissect.present.tables.columns import Record
from dissect.present.tables.rate_views import MeasuredProbe
from factories import PLATFORMS
from recommend_cases import TERMS, ask, searched, serving

SERVE = {"stage": "serve", "max_ttft_s": 2}


@pytest.mark.parametrize(("aim", "column"), [({}, "latency_p99_s"), ({"minimise": "energy"}, "joules_per_token")])
def test_searches_are_ranked_neither_by_time_nor_by_energy(
    tmp_path: Path, project: Path, aim: dict[str, str], column: str
) -> None:
    searches = [searched(tmp_path, "vllm", 10.0, 0.8), searched(tmp_path, "lightllm", 20.0, 1.9)]
    burst, catalog = serving(tmp_path, "vllm", 20.0), load_catalog(project, {})  # long enough for an energy
    found = ask([*searches, burst], **SERVE, **aim)
    assert [ranking.work for ranking in found.rankings] == [burst.cell.workload.removesuffix("-n1")]
    [reason] = {cell.reason for cell in found.unknown}
    assert reason == why_without(column, searches=True)
    assert "maximise=throughput" in reason
    assert answer_text(found, catalog).splitlines()[1] == BY_THROUGHPUT
    fastest = ask(searches, **SERVE, maximise="throughput")
    assert [cell.row["framework"] for cell in fastest.rankings[0].found] == ["lightllm", "vllm"]
    for other in (fastest, ask([burst], **SERVE, **aim)):
        assert BY_THROUGHPUT not in answer_text(other, catalog)


def test_a_platform_without_numbers_names_the_suite_of_searches_and_what_predicts_their_rates(
    tmp_path: Path, project: Path
) -> None:
    here = searched(tmp_path, "vllm", 10.0, 0.8)
    waiting = Record(here.cell.model_copy(update={"platform": "rtx3090"}), PLATFORMS["rtx3090"], None)
    at_once = {"workload": "r40-burst-n1", "objective_ttft_s": None}
    other = replace(waiting, cell=waiting.cell.model_copy(update=at_once))
    found = ask([waiting, other], **SERVE, platform="rtx3090")
    says = answer_text(found, load_catalog(project, {})).splitlines()[1:3]
    assert says == [
        "rtx3090 has no numbers. To measure: snakemake cells --config "
        "select='serve/rtx3090/llama2-7b/vllm/tuned/*' suite=full",
        "To predict the rates that hold: llm-dissect plan rates=true suite=full "
        "select='serve/rtx3090/llama2-7b/vllm/tuned/r40-search-n1'",
    ]
    bursts = answer_text(ask([other], **SERVE, platform="rtx3090"), load_catalog(project, {})).splitlines()
    assert bursts[1].endswith("suite=smoke")
    assert bursts[2] == ""


def test_of_other_platforms_the_one_with_most_cells_comes_first(tmp_path: Path) -> None:
    here = searched(tmp_path, "vllm", 10.0, 0.8)
    waiting = Record(here.cell.model_copy(update={"platform": "rtx3090"}), PLATFORMS["rtx3090"], None)
    one = replace(here, cell=here.cell.model_copy(update={"platform": "a800"}), platform=PLATFORMS["a800"])
    others = [searched(tmp_path, "lightllm", 20.0, 1.9), here]
    found = ask([waiting, one, *others], **SERVE, platform="rtx3090")
    assert found.elsewhere == {"rtx3090": ["h200", "a800"]}


def test_the_rate_that_holds_and_the_next_one_stand_beside_the_throughput(tmp_path: Path, project: Path) -> None:
    records = [searched(tmp_path, "vllm", 10.0, 0.8), serving(tmp_path, "vllm", 2.0)]
    search, burst = candidates(records, TERMS)
    assert search["held_rate_per_s"] <= 10.0 < search["failed_rate_per_s"]
    assert burst["held_rate_per_s"] is None
    found = ask(records, **SERVE, maximise="throughput")
    held, shown = number_text(search, "held_rate_per_s"), answer_text(found, load_catalog(project, {})).splitlines()
    heads = [line for line in shown if "setting " in line and "tokens/s" in line]
    of_searches = ("rate that holds (requests/s)", "next, which does not", "growth of latency")
    assert [[title in head for title in of_searches] for head in heads] == [[True] * 3, [False] * 3]
    assert f"  {held}  " in shown[shown.index(heads[0]) + 1]
    assert GROWTH in shown
    rows = answer_frame(found).set_index("work")
    assert rows.loc["r40-search", "held_rate_per_s"] == search["held_rate_per_s"]


def test_the_csv_has_searches_with_rate_objective_and_growth_of_latency(tmp_path: Path) -> None:
    records = [searched(tmp_path, "vllm", 10.0, 0.8), serving(tmp_path, "vllm", 2.0)]
    for asked in (SERVE, {**SERVE, "minimise": "energy"}, {**SERVE, "max_ttft_s": 0.1, "maximise": "throughput"}):
        rows = answer_frame(ask(records, **asked)).set_index("workload")
        search, burst = (rows.loc[record.cell.workload] for record in records)
        objective = [search[f"objective_{each}"] for each in ("ttft_s", "tpot_s", "share")]
        assert objective == [2.0, 0.2, 0.99]
        assert 0 < search["held_rate_per_s"] <= 10.0 < search["failed_rate_per_s"]
        assert search["latency_growth"] == 1.0
        assert burst[["objective_share", "held_rate_per_s", "latency_growth"]].isna().all()


def test_where_a_search_found_no_rate_the_csv_has_its_bound(tmp_path: Path) -> None:
    record = searched(tmp_path, "vllm", 1e6, 0.8)
    row = answer_frame(ask([record], **SERVE, maximise="throughput")).iloc[0]
    assert (row["standing"], row["held_rate_per_s"]) == ("not known", None)
    assert row["why"] == why_without("tokens_per_s_per_gpu", searches=True)
    assert row["rate_bound"].startswith("≥ ")


def test_limits_that_were_not_searched_for_are_held_against_every_rate_tried(tmp_path: Path, project: Path) -> None:
    records, catalog = [searched(tmp_path, "vllm", 10.0, 0.8)], load_catalog(project, {})
    [search] = candidates(records, TERMS)
    held = f"{search['held_rate_per_s']:.3g}"

    def largest(**limits: float | str) -> str | None:
        text = answer_text(ask(records, stage="serve", maximise="throughput", **limits), catalog)
        return found[1] if (found := re.search(r"in requests/s: vLLM tuned (\S+)\. ", text)) else None

    told = {"max_ttft_s": 2.0, "max_tpot_s": 0.2}
    assert [largest(), largest(max_ttft_s=2.0), largest(**told)] == [None, None, None]
    # Requests in time take 1 s to the first token, and 0.1 s for each later one; those beyond the rate 8 s.
    whole_s = 1 + 0.1 * (search["searches"][0].output_tokens - 1)
    assert largest(max_ttft_s=1.0) == largest(max_latency_s=whole_s + 1e-6) == held
    slow: list[dict[str, float]] = [{"max_ttft_s": 0.9}, {"max_latency_s": whole_s - 0.1}, told | {"max_tpot_s": 0.05}]
    assert [largest(**limits) for limits in slow] == ["none"] * 3
    assert float(largest(max_ttft_s=8.0) or 0) > float(held)
    assert float(largest(max_ttft_s=2.0, percentile="p50") or 0) > float(held), "half of the requests are in time"


@pytest.mark.parametrize(("late", "within"), [(None, True), (10, True), (11, False)])
def test_no_rate_is_within_other_limits_by_requests_that_were_sent_late(late: int | None, within: bool) -> None:
    search = {"ttft_s": 2.0, "tpot_s": 0.2}
    spec = make.serve_spec(requests=1000, arrival={"kind": "poisson", "search": search})
    probes = make.search_metrics(spec, capacity=64.0).probes
    assert probes
    probe = probes[0].model_copy(update={"late": late})
    question = Question(stage="serve", model="llama2-7b", max_ttft_s=4.0)
    assert search_lines._keeps(MeasuredProbe(probe, 128), question) is within
