"""Which setting is best: from candidates to an answer and its lines."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import factories as make
from dissect.base.outcome import Flag, Status
from dissect.cells.cell_id import CellId
from dissect.cells.terms import Terms
from dissect.config.catalog import load_catalog
from dissect.config.price import Price
from dissect.config.question import Question
from dissect.present.recommend.answer import answer
from dissect.present.recommend.answer_frame import answer_frame
from dissect.present.recommend.answer_text import answer_text
from dissect.present.recommend.ask import check_prices
from dissect.present.recommend.candidates import COLUMNS, candidates
from dissect.present.recommend.standing import Standing
from dissect.present.tables.columns import Record
from recommend_cases import TERMS, ask, ended, serving, standings, training


def test_the_fastest_and_what_noise_cannot_tell_from_it(tmp_path: Path) -> None:
    records = [
        training(tmp_path, "L", 900.0),
        training(tmp_path, "QL", 1000.0),
        training(tmp_path, "L+R", 990.0),
        training(tmp_path, "L+F", 970.0, (0.9, 1.1, 1.0, 0.95, 1.05)),
    ]
    found = ask(records)
    assert [cell.row["method"] for cell in found.rankings[0].found] == ["QL", "L+R", "L+F", "L"]
    assert standings(found) == {
        "QL": Standing.AHEAD, "L+R": Standing.TIED, "L": Standing.BEHIND, "L+F": Standing.UNTOLD,
    }  # fmt: skip
    assert standings(ask(records[:3])) == {"QL": Standing.BEST, "L+R": Standing.TIED, "L": Standing.BEHIND}
    [_, tied, *_] = found.rankings[0].found
    assert tied.told.startswith(
        "1.010 [1.008–1.012] × the best's time (runs 5 and 5, starts 1 and 1, 5 shared rounds of 1 start, "
        "this start only, detectable"
    )


def test_what_is_held_to_less_memory_tells_no_speed(tmp_path: Path) -> None:
    records = [training(tmp_path, "L", 900.0), training(tmp_path, "QL", 1000.0, platform="h100-24g")]
    assert standings(ask(records)) == {"L": Standing.BEST, "QL": Standing.UNKNOWN}
    [held] = ask(records).unknown
    assert held.reason == "it runs, but memory is held, so that the speed is that of no card"
    assert held.row["tokens_per_s_per_gpu"] is None


def test_bf16_states_are_marked(tmp_path: Path, project: Path) -> None:
    records = [training(tmp_path, "L", 900.0), training(tmp_path, "BS", 1000.0, knobs={"states": "bf16"})]
    text = answer_text(ask(records), load_catalog(project, {})).splitlines()
    marked = [line for line in text if "bf16 states" in line]
    assert [line.split()[0] for line in marked] == ["best", "bf16"]
    assert ", BS, " in marked[0]
    assert marked[1].endswith("without the fp32 master weights of the others.")


def test_one_run_is_neither_best_nor_behind(tmp_path: Path) -> None:
    once = (1.0,)
    records = [training(tmp_path, "QL", 2000.0, once), training(tmp_path, "L", 1000.0, once)]
    assert set(standings(ask(records)).values()) == {Standing.UNTOLD}
    records += [training(tmp_path, "L+R", 900.0), training(tmp_path, "L+F", 800.0)]
    assert standings(ask(records)) == {
        "QL": Standing.UNTOLD, "L": Standing.UNTOLD, "L+R": Standing.AHEAD, "L+F": Standing.BEHIND,
    }  # fmt: skip


def test_a_question_that_keeps_less_gets_the_same_verdicts(tmp_path: Path) -> None:
    """As on the page: what a limit or choice takes away changes no verdict between what is left."""
    spread = (0.97, 1.03, 1.0, 0.98, 1.02)
    records = [training(tmp_path, method, 1000 - 9 * n, spread[::(-1) ** n], gib=20 + n) for n, method in enumerate(
        ("L", "QL", "L+R", "L+F", "QL+R", "QL+F")
    )]  # fmt: skip
    whole = {(c.row["method"], c.told) for c in ask(records).standings}
    fewer = {(c.row["method"], c.told) for c in ask(records, memory_gb=23).standings if c.standing is not Standing.OVER}
    assert len(fewer) == 4
    assert fewer < whole


@pytest.mark.parametrize(
    ("aim", "best"),
    [
        ({"minimise": "time"}, "QL"), ({"maximise": "throughput"}, "QL"), ({"minimise": "memory"}, "L"),
        ({"minimise": "cost"}, "QL"),
    ],
)  # fmt: skip
def test_each_objective_has_its_own_order(aim: dict[str, str], best: str, tmp_path: Path) -> None:
    records = [
        training(tmp_path, "L", 900.0, gib=10),
        training(tmp_path, "QL", 1000.0),
        training(tmp_path, "QL+F+R", 800.0),
    ]
    found = ask(records, **aim)
    assert found.rankings[0].found[0].row["method"] == best


def test_limits_refuse_and_name_the_nearest(tmp_path: Path) -> None:
    records = [
        training(tmp_path, "L", 900.0, gib=30),
        training(tmp_path, "QL", 700.0, gib=23),
        training(tmp_path, "PT", 950.0, gib=26),
    ]
    found = ask(records, memory_gb=24)
    assert standings(found) == {"L": Standing.OVER, "PT": Standing.OVER, "QL": Standing.BEST}
    nothing = ask(records, memory_gb=20, min_tokens_per_s=10)
    assert [cell.row["method"] for cell in nothing.rankings[0].over] == ["QL", "PT", "L"]
    assert nothing.rankings[0].over[0].reason == "memory_gib is 23, the limit is 20"


def test_a_limit_within_the_interval_is_marked(tmp_path: Path) -> None:
    noisy = (0.9, 1.1, 1.0, 0.95, 1.05)
    records = [
        training(tmp_path, "L", 1000.0, noisy),
        training(tmp_path, "QL", 990.0),
        training(tmp_path, "L+R", 985.0),
    ]
    found = ask(records, min_tokens_per_s=960)
    assert [(cell.row["method"], cell.close) for cell in found.rankings[0].found] == [
        ("L", ("tokens_per_s",)), ("QL", ()), ("L+R", ()),
    ]  # fmt: skip
    assert standings(found)["L"] is Standing.UNTOLD, "it may be beyond the limit, so it is not the best"
    assert standings(found)["QL"] is Standing.AHEAD
    [single] = ask([training(tmp_path, "L", 1000.0, (1.0,))], min_tokens_per_s=960).rankings[0].found
    assert (single.standing, single.close) == (Standing.UNTOLD, ("tokens_per_s",))


def test_the_largest_run_is_held_against_a_limit_on_memory(tmp_path: Path) -> None:
    """The interval of the mean of 20, 22 and 24 GiB reaches from 17 to 28 GiB and says nothing of what a run needs."""
    record = training(tmp_path, "L", 1000.0, (1.0, 0.99, 1.01), gib=(20, 22, 24))
    [row] = candidates([record], TERMS)
    assert row["memory_gib"] == 24
    assert not {"memory_gib_low", "memory_gib_high"} & set(COLUMNS)
    assert (row.get("memory_gib_low"), row.get("memory_gib_high")) == (None, None)
    for limit, standing in ((24.5, Standing.BEST), (23.5, Standing.OVER)):
        [cell] = ask([record], memory_gb=limit).standings
        assert (cell.standing, cell.close) == (standing, ())


def test_means_of_memory_are_told_apart(tmp_path: Path) -> None:
    records = [training(tmp_path, method, 1000.0, gib=gib) for method, gib in (("L", 20), ("QL", 30))]
    assert standings(ask(records, minimise="memory")) == {"L": Standing.BEST, "QL": Standing.BEHIND}


def test_what_is_not_known_and_what_is(tmp_path: Path) -> None:
    waiting = training(tmp_path, "L", 1.0)
    failed = training(tmp_path, "QL", 1.0)
    records = [
        Record(waiting.cell, waiting.platform, None),
        Record(failed.cell, failed.platform, None),
        ended(tmp_path, "PT", Status.OOM),
        ended(tmp_path, "L+R", Status.SKIPPED_OOM),
        ended(tmp_path, "L+Z2", Status.TIMEOUT),
        Record(make.unsupported_cell("cannot be", stage="finetune", method="QL+Z3"), make.PLATFORMS["h200"], None),
    ]
    found = ask(records, {str(failed.cell.key): "it broke"})
    assert standings(found) == {
        "L": Standing.UNKNOWN, "QL": Standing.UNKNOWN, "PT": Standing.OUT_OF_MEMORY, "L+R": Standing.OUT_OF_MEMORY,
        "L+Z2": Standing.UNKNOWN, "QL+Z3": Standing.IMPOSSIBLE,
    }  # fmt: skip
    assert {cell.row["method"]: cell.reason for cell in found.unknown} == {
        "L": "not measured", "QL": "failed: it broke", "L+Z2": "timeout: no room",
    }  # fmt: skip
    assert not found.rankings


def test_what_has_no_such_number_is_not_known(tmp_path: Path) -> None:
    found = ask([training(tmp_path, "L", 1.0, platform="a800")], minimise="cost")
    assert found.unknown[0].reason == "has no cost_per_million_tokens: its platform has no price"


def test_a_given_price_counts_on_every_platform(tmp_path: Path, project: Path) -> None:
    records = [training(tmp_path, "L", 1000.0, platform="a800"), training(tmp_path, "QL", 500.0, platform="h200")]
    terms = {"a800": Terms(price=Price(per_gpu_hour=9, currency="USD", source="a list", date="2026-03"))}
    rows = candidates(records, terms, price="3.6 EUR")
    assert {row["currency"] for row in rows} == {"EUR"}
    question = Question(stage="finetune", model="llama2-7b", minimise="cost")
    check_prices(question, rows)
    found = answer(question, rows)
    assert [cell.row["method"] for cell in found.rankings[0].found] == ["L", "QL"]
    assert found.rankings[0].found[0].row["cost_per_million_tokens"] == pytest.approx(2.0, rel=1e-3)
    bare = candidates(records, {}, price=3.6)
    check_prices(question, bare)
    text = answer_text(answer(question, bare), load_catalog(project, {"price": 3.6}))
    assert "unit of money per million tokens" in text
    assert "Price of" not in text


def test_settings_that_no_table_plans(tmp_path: Path) -> None:
    records = [training(tmp_path, "L", 900.0), training(tmp_path, "QL", 1.0, model="llama2-13b")]
    assert ask(records).never_planned == ["finetune/h200/llama2-7b/deepspeed/QL/*"]
    assert ask(records, model="llama2-70b", platform="h200", method=["L"], n_gpus=4).never_planned == [
        "finetune/h200/llama2-70b/deepspeed/L/*-n4"
    ]


def test_a_stand_in_is_ranked_apart_and_said(tmp_path: Path, project: Path) -> None:
    records = [training(tmp_path, "L", 9.0), training(tmp_path, "QL", 9e6, platform="cpu", model="llama-tiny")]
    found = ask(records)
    assert [ranking.stand_in for ranking in found.rankings] == [None, "llama-tiny"]
    text = answer_text(found, load_catalog(project, {}))
    assert "with llama-tiny in place of llama2-7b" in text
    assert "nothing of other models' speed" in text
    assert [r.stand_in for r in ask(records, model="llama-tiny").rankings] == [None]


def test_engines_are_ranked_by_load_and_within_limits(tmp_path: Path) -> None:
    records = [
        serving(tmp_path, "vllm", 4.0), serving(tmp_path, "lightllm", 8.0), serving(tmp_path, "vllm", 1.0, requests=10),
    ]  # fmt: skip
    found = ask(records, stage="serve", max_ttft_s=2.0, maximise="throughput")
    assert [ranking.work for ranking in found.rankings] == ["r40-burst", "r10-burst"]
    first = found.rankings[0]
    assert [cell.row["framework"] for cell in first.found] == ["vllm"]
    assert [cell.row["framework"] for cell in first.over] == ["lightllm"]
    both = ask(records, stage="serve", max_ttft_s=2.0, percentile="p50", n_gpus=1).rankings[0]
    assert [cell.row["framework"] for cell in both.found] == ["vllm", "lightllm"]
    assert both.found[1].standing is Standing.BEHIND
    assert ask(records, stage="serve", framework="tgi").rankings == []


def test_the_text_says_all_of_it(tmp_path: Path, project: Path) -> None:
    records = [
        training(tmp_path, "QL", 1000.0, flags=[Flag.THROTTLED], reference="set"),
        training(tmp_path, "L", 995.0),
        training(tmp_path, "L+F", 970.0, (0.9, 1.1, 1.0, 0.95, 1.05)),
        training(tmp_path, "PT", 900.0, gib=40),
        ended(tmp_path, "L+R", Status.OOM),
        Record(training(tmp_path, "L+Z2", 1.0).cell, make.PLATFORMS["h200"], None),
    ]
    edit = project / "config/platforms/h200.yaml"
    edit.write_text(
        edit.read_text() + "price: {per_gpu_hour: 3.6, currency: EUR, source: a price list, date: 2026-03-31}\n"
    )
    found = ask(records, memory_gb=24, minimise="cost")
    text = answer_text(found, load_catalog(project, {}))
    for part in (
        "Fine-tune llama2-7b, memory per GPU up to 24 GB: lowest cost per token.", "ahead", "no difference",
        "cannot tell", "in the order of their values, with or without one.",
        "2.00 [1.98–2.02]", "× the best's cost (runs 5 and 5, starts 1 and 1, 5 shared rounds of 1 start",
        "  To tell: snakemake remeasure --config select='[finetune/h200/llama2-7b/deepspeed/",
        "20.0 by nvml", "throttled; ", "reference set", "commit 0123456",
        "PT, 2 GPUs, batch 1: memory_gib is 40, the limit is 24", "Out of memory: 1", "Not known: 1 × not measured.",
        "Price of h200: 3.6 EUR per GPU-hour, a price list, 2026-03-31.",
    ):  # fmt: skip
        assert part.removesuffix("; ") in text, part
    frame = answer_frame(found)
    assert list(frame["rank"].dropna()) == [1, 2, 3]
    assert set(frame["standing"]) == {
        "ahead, but not told apart from all others",
        "no difference to the best",
        "cannot tell",
        "beyond a limit",
        "does not fit",
        "not known",
    }


def test_nothing_measured_is_said(project: Path) -> None:
    empty = answer(Question(stage="finetune", model="llama2-7b"), candidates([], TERMS))
    assert "Nothing that fits the question was measured, and no table " in answer_text(empty, load_catalog(project, {}))
    assert isinstance(answer_frame(empty), pd.DataFrame)


def test_many_settings_fit_a_screen(tmp_path: Path, project: Path) -> None:
    records = [
        training(tmp_path, method, 1000.0 - 10 * number, platform=platform, batch=batch)
        for batch in (1, 2, 4, 8)
        for number, method in enumerate(("L", "QL", "L+R", "L+F", "QL+R", "QL+F", "PT"))
        for platform in ("h200", "a800")
    ]
    text = answer_text(ask(records), load_catalog(project, {})).splitlines()
    assert len(text) <= 40
    assert sum("settings measured" in line for line in text) == 2
    assert next(line.split()[0] for line in text if line.startswith(("  best", "  behind", "  no", "  and"))) == "best"
    assert any(re.fullmatch(r"  and .*\d+ more: behind", line) for line in text)
    assert "2 more kinds of work: results/recommend.csv has all." in text


@pytest.mark.parametrize(
    ("aim", "told"),
    [
        ({}, r" The best value of all is among them: H200.* batch 8 per GPU.* tokens/s: 4,000.*"),
        ({"minimise": "memory"}, ""),
    ],
)
def test_the_best_value_is_named_where_its_kind_of_work_is_not_shown(
    tmp_path: Path, project: Path, aim: dict[str, str], told: str
) -> None:
    """A larger batch is other work, but it may be many times as cheap."""
    records = [training(tmp_path, method, 500.0 * batch, batch=batch) for batch in (1, 2) for method in ("L", "QL")]
    found = ask([*records, training(tmp_path, "L", 4000.0, batch=8)], **aim)
    [line] = [
        line for line in answer_text(found, load_catalog(project, {})).splitlines() if "more kind of work" in line
    ]
    assert re.fullmatch(rf"1 more kind of work: results/recommend\.csv has all\.{told}", line)


def test_one_cell_of_several_sets_has_no_command_to_tell_it_from_itself(tmp_path: Path, project: Path) -> None:
    runs = training(tmp_path, "L", 900.0, (1.0,))
    names = [{"reference": name, "platform": f"h200@{name}"} for name in ("one", "two")]
    sets = [replace(runs, cell=runs.cell.model_copy(update=name)) for name in names]
    text = answer_text(ask(sets), load_catalog(project, {}))
    assert "2 settings measured." in text
    assert "To tell: " not in text
    assert "To tell: " in answer_text(ask([*sets, training(tmp_path, "QL", 950.0)]), load_catalog(project, {}))


def test_a_platform_without_numbers_says_what_measures_it_and_names_its_relatives(
    tmp_path: Path, project: Path
) -> None:
    here, there = training(tmp_path, "L", 900.0, platform="rtx3090"), training(tmp_path, "L", 900.0, platform="h200")
    relative = training(tmp_path, "L", 900.0, platform="rtx3090-no-nvlink")
    waiting = Record(here.cell, here.platform, None)
    found = ask([waiting, relative, there], platform=["rtx3090", "h200"])
    assert found.elsewhere == {"rtx3090": ["rtx3090-no-nvlink"]}
    catalog = load_catalog(project, {"suite": "full"})
    command = f"snakemake cells --config select='{CellId.parse(here.cell.id)}' suite=full"
    measures, *says = answer_text(found, catalog).splitlines()[1:3]
    assert measures == f"rtx3090 has no numbers. To measure: {command}"
    assert says == ["There are some of rtx3090-no-nvlink: platform=rtx3090-no-nvlink."]
    other = Record(here.cell.model_copy(update={"method": "QL"}), here.platform, None)
    far = ask([waiting, other, there], platform="rtx3090")
    assert far.elsewhere == {"rtx3090": ["h200"]}
    measures, *says = answer_text(far, load_catalog(project, {})).splitlines()[1:3]
    assert measures.endswith(f"select='{CellId.parse(here.cell.id)._replace(method='*')}' suite=smoke")
    assert says == ["There are some of h200, on other GPUs: platform=h200."]
    held = replace(there, platform=there.platform.model_copy(update={"memory_is_held": True}))
    assert ask([waiting, held], platform="rtx3090").elsewhere == {"rtx3090": []}, "speeds of no card"
    alone = answer_text(ask([waiting], platform="rtx3090"), catalog).splitlines()
    assert alone[1:3] == [f"rtx3090 has no numbers. To measure: {command}", ""]
    slow = replace(waiting, platform=held.platform)
    for nothing_to_measure in (slow, there):
        bare = answer_text(ask([nothing_to_measure], platform="rtx3090"), catalog).splitlines()
        assert bare[1] == "rtx3090 has no numbers."
    assert ask([waiting, relative]).elsewhere == {}


def test_a_long_reason_is_cut_before_a_bracket_that_would_stay_open(tmp_path: Path, project: Path) -> None:
    found = ask([ended(tmp_path, "L+R", Status.OOM)])
    reason = "batch 1 of the same cell already ran out of memory (key 0123456789ab, phase optimizer)"
    text = answer_text(
        replace(found, out_of_memory=[replace(found.out_of_memory[0], reason=reason)]), load_catalog(project, {})
    )
    assert ": batch 1 of the same cell already ran out of memory…\n" in text


def by_device(project: Path, **rates: float) -> list[Record]:
    """Settings that wall time cannot tell apart, with what the device alone would allow."""
    noise = (0.8, 1.25, 1.0, 0.9, 1.1)
    return [
        training(project, method, 1000.0 - n, noise[:: (-1) ** n], device=rate)
        for n, (method, rate) in enumerate(rates.items())
    ]


@pytest.mark.parametrize("aim", [{}, {"maximise": "throughput"}, {"minimise": "cost"}])
def test_device_time_tells_settings_apart_where_wall_time_cannot(
    tmp_path: Path, project: Path, aim: dict[str, str]
) -> None:
    found = ask(by_device(tmp_path, L=3000.0, QL=2000.0), **aim)
    assert standings(found) == {"L": Standing.BEST, "QL": Standing.BEHIND}
    told = found.rankings[0].found[1].told
    wall, device = told.split("; on device time: ")
    assert "shared rounds" in wall
    assert device.startswith("0.667 [" if "maximise" in aim else "1.500 [")
    assert "\n  behind on device time  " in answer_text(found, load_catalog(project, {}))


def test_device_time_says_that_nothing_differs(tmp_path: Path) -> None:
    assert standings(ask(by_device(tmp_path, L=3000.0, QL=3003.0))) == {"L": Standing.BEST, "QL": Standing.TIED}


def test_what_is_better_on_device_time_leaves_the_best_untold(tmp_path: Path) -> None:
    """The best of the wall times is not the best of the device times: neither is the one."""
    found = ask(by_device(tmp_path, L=2000.0, QL=3000.0))
    assert standings(found) == {"L": Standing.AHEAD, "QL": Standing.UNTOLD}
    assert "on device time: 0.667 [" in found.rankings[0].found[1].told


@pytest.mark.parametrize("aim", ["memory", "energy"])
def test_device_time_tells_nothing_of_other_aims(tmp_path: Path, aim: str) -> None:
    for cell in ask(by_device(tmp_path, L=3000.0, QL=2000.0), minimise=aim).standings:
        assert "device" not in cell.told


def test_device_time_of_one_side_decides_nothing(tmp_path: Path) -> None:
    records = [*by_device(tmp_path, L=3000.0), training(tmp_path, "QL", 999.0, (1.25, 0.8, 1.0, 0.9, 1.1))]
    assert standings(ask(records)) == {"L": Standing.AHEAD, "QL": Standing.UNTOLD}
