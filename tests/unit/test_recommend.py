"""Which setting is best: from records to candidates, an answer, and its lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.study import load_study
from dissect.cells.terms import Terms
from dissect.config.adapters.lora import Lora
from dissect.config.adapters.prompt_tuning import PromptTuning
from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.config.platform import Price
from dissect.config.question import Question
from dissect.present.recommend.answer import Answer, answer
from dissect.present.recommend.answer_text import answer_frame, answer_text
from dissect.present.recommend.ask import check_prices, gather, read_question
from dissect.present.recommend.candidates import COLUMNS, candidates
from dissect.present.recommend.standing import Standing
from dissect.present.tables.columns import Record
from dissect.results.result import Result
from dissect.statistics.estimate import Estimate

GIB = 2**30
EUR = Price(per_gpu_hour=3.6, currency="EUR", source="a price list", date="2026-03")
TERMS = {
    "h200": Terms(price=EUR),
    "a800": Terms(),
    "cpu": Terms(stand_ins=["llama-tiny"]),
}


def training(
    project: Path,
    method: str,
    rate: float,
    spread: Sequence[float] = make.SPREAD,
    gib: int | Sequence[int] = 20,
    **where: Any,
) -> Record:
    """A fine-tuning cell with so many tokens per second, in runs of the same rounds that differ by these factors."""
    sizes = [gib] * len(spread) if isinstance(gib, int) else gib
    flags, nvml, batch = where.pop("flags", []), where.pop("nvml", True), where.pop("batch", 1)
    knobs = where.pop("knobs", {})
    spec = make.finetune_spec(make.hardware(n_gpus=2), zero_stage=len(method) % 4, batch=batch, **knobs)
    runs = []
    for factor, size in zip(spread, sizes, strict=True):
        rates = Estimate(median=rate * factor, low=rate * 0.9, high=rate * 1.1, mean=rate, n=20)
        metrics = make.training_metrics(
            spec, tokens_per_s=rates, nvml_peak_memory_bytes=size * GIB if nvml else None,
            peak_memory_bytes=(size - 1) * GIB,
        )  # fmt: skip
        runs.append(make.ok_result(spec, metrics, flags))
    return _record(project, make.in_rounds(runs), method, **where)


def ended(project: Path, method: str, status: Status, **where: Any) -> Record:
    spec = make.finetune_spec(make.hardware(n_gpus=2), zero_stage=len(method) % 4)
    return _record(project, [make.ended_result(spec, status, Phase.BACKWARD, "no room")], method, **where)


def serving(project: Path, engine: str, seconds: float, **load: Any) -> Record:
    spec = make.serve_spec(engine=engine, **load)
    runs = make.serving_runs(spec, seconds)
    cell = make.published_cell(project, *runs, platform="h200", method="tuned")
    workload = f"r{spec.workload.requests}-burst" + "-calibrated" * spec.workload.calibrate + "-n1"
    return Record(cell.model_copy(update={"workload": workload}), make.PLATFORMS["h200"], make.cell_runs(*runs))


def _record(project: Path, runs: Sequence[Result], method: str, platform: str = "h200", **ids: Any) -> Record:
    cell = make.published_cell(project, *runs, platform=platform, method=method, model=ids.pop("model", "llama2-7b"))
    return Record(cell.model_copy(update=ids), make.PLATFORMS[platform], make.cell_runs(*runs))


def ask(records: list[Record], failures: dict[str, str] | None = None, **question: Any) -> Answer:
    asked = Question.model_validate({"stage": "finetune", "model": "llama2-7b"} | question)
    return answer(asked, candidates(records, TERMS, failures))


def standings(found: Answer) -> dict[str, Standing]:
    return {cell.row["method"]: cell.standing for cell in found.standings}


def test_numbers_per_gpu_joule_and_money(tmp_path: Path) -> None:
    [row] = candidates([training(tmp_path, "QL", 1000.0, (0.99, 1 / 0.99))], TERMS)
    assert list(row)[: len(COLUMNS)] == list(COLUMNS)
    assert row["tokens_per_s"] == pytest.approx(1000)
    assert row["tokens_per_s_per_gpu"] == pytest.approx(500)
    assert row["tokens_per_s_per_gpu_low"] == pytest.approx(row["tokens_per_s_low"] / 2)
    assert row["tokens_per_s_low"] < 990, "two runs tell little"
    assert row["seconds_per_million_tokens"] == pytest.approx(1000)
    assert row["seconds_per_million_tokens_low"] == pytest.approx(1e6 / row["tokens_per_s_high"])
    # Two GPUs at 3.6 an hour are 0.002 a second, in which 1000 tokens pass.
    assert row["tokens_per_price"] == pytest.approx(500_000)
    assert row["cost_per_million_tokens"] == pytest.approx(2.0)
    assert row["cost_per_million_tokens_high"] == pytest.approx(2000 / row["tokens_per_s_low"])
    assert row["tokens_per_joule"] * row["joules_per_token"] == pytest.approx(1)
    assert (row["memory_gib"], row["memory_source"]) == (20, "nvml")


def test_memory_is_the_allocator_s_without_nvml(tmp_path: Path) -> None:
    [row] = candidates([training(tmp_path, "QL", 1000.0, nvml=False)], TERMS)
    assert (row["memory_gib"], row["memory_source"]) == (19, "allocator")


def test_a_cell_of_two_tables_counts_once(tmp_path: Path) -> None:
    record = training(tmp_path, "QL", 1000.0)
    assert len(candidates([record, record], TERMS)) == 1


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
        "1.010 [1.008–1.012] × the best (runs 5 and 5, starts 1 and 1, shared rounds, detectable"
    )


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
    ("one", "other"),
    [
        ({"batch": 1}, {"batch": 2}),
        ({"batch": 1}, {"batch": "max"}),
        ({}, {"knobs": {"seq_len": 128}}),
        ({}, {"knobs": {"adapter": PromptTuning(kind="prompt_tuning")}}),
        ({}, {"knobs": {"adapter": Lora(kind="lora", rank=8)}}),
    ],
)
def test_only_equal_work_is_ranked_together(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    records = [training(tmp_path, "L", 100.0, **one), training(tmp_path, "QL", 900.0, **other)]
    assert [len(ranking.found) for ranking in ask(records).rankings] == [1, 1]
    assert set(standings(ask(records)).values()) == {Standing.BEST}


def test_a_frozen_base_is_other_work_than_all_parameters(tmp_path: Path) -> None:
    specs = [make.pretrain_spec(), make.pretrain_spec(quantization="nf4")]
    records = [
        _record(tmp_path, make.training_runs(spec, 0.2), method)
        for spec, method in zip(specs, ("Naive", "Q"), strict=True)
    ]
    works = [ranking.work for ranking in ask(records, stage="pretrain").rankings]
    assert works == [
        "sequences of 350 tokens, batch 1 per GPU, all parameters train",
        "sequences of 350 tokens, batch 1 per GPU, all but a frozen 4-bit base trains",
    ]


def test_calibration_repeats_another_cell_and_is_no_candidate(tmp_path: Path) -> None:
    records = [serving(tmp_path, "vllm", 4.0), serving(tmp_path, "vllm", 4.0, calibrate=True)]
    assert len(candidates(records, TERMS)) == 1


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
        "cannot tell", "2.00 [1.98–2.02]", "× the best (runs 5 and 5, starts 1 and 1, shared rounds",
        "  To tell: snakemake remeasure --config select='[finetune/h200/llama2-7b/deepspeed/",
        "20.0 by nvml", "throttled; ", "reference set", "commit 0123456789",
        "PT, 2 GPUs, batch 1: memory_gib is 40, the limit is 24", "Out of memory: 1", "Not known: 1",
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
    assert "Nothing that fits the question was measured." in answer_text(empty, load_catalog(project, {}))
    assert isinstance(answer_frame(empty), pd.DataFrame)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "--config stage: found nothing"),
        ({"stage": "finetune"}, "--config model: found nothing"),
        ({"stage": "fine"}, "stage: found 'fine'"),
        ({"stage": "finetune", "model": "llama2-8b"}, "unknown model 'llama2-8b'; did you mean"),
        ({"stage": "finetune", "model": "llama2-7b", "platform": ["h200", "h300"]}, "unknown platform 'h300'"),
        ({"stage": "finetune", "model": "llama2-7b", "method": "XY"}, "--config method"),
        ({"stage": "serve", "model": "llama2-7b", "method": "fast"}, "unknown policy 'fast' (known: aligned, tuned)"),
        ({"stage": "finetune", "model": "llama2-7b", "max_ttft_s": 2}, "found a limit of servers"),
        ({"stage": "finetune", "model": "llama2-7b", "memory_gib": 2}, "did you mean 'memory_gb'"),
        ({"stage": "finetune", "model": "llama2-7b", "minimise": "money"}, "found 'money'"),
        ({"stage": "serve", "model": "llama2-7b", "minimise": "time", "maximise": "throughput"}, "one of the two"),
    ],
)  # fmt: skip
def test_a_bad_question_is_one_sentence(given: dict[str, Any], sentence: str, project: Path) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as error:
        read_question(load_catalog(project, given))
    assert sentence in str(error.value)


def test_methods_are_spelt_normally(project: Path) -> None:
    given = {"stage": "finetune", "model": "llama2-7b", "method": ["F+QL"]}
    assert read_question(load_catalog(project, given)).method == ["QL+F"]


def test_cost_needs_a_price(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config/platforms/h200.yaml: price: found nothing, but .*per_gpu_hour"):
        gather(project, {"stage": "finetune", "model": "llama2-7b", "platform": "h200", "minimise": "cost"})
    question = Question(stage="finetune", model="llama2-7b", minimise="cost")
    records = [training(tmp_path, "L", 1.0), training(tmp_path, "QL", 1.0, platform="a800")]
    usd = TERMS | {"a800": Terms(price=EUR.model_copy(update={"currency": "USD"}))}
    with pytest.raises(ConfigError, match=r"a800.yaml: price.currency: found USD, expected EUR"):
        check_prices(question, candidates(records, usd))
    check_prices(question, candidates(records, TERMS))
    on_cpu = training(tmp_path, "PT", 1.0, platform="cpu", model="llama-tiny")
    with pytest.raises(ConfigError, match=r"a800.yaml: price: found nothing"):
        check_prices(question, candidates([on_cpu, records[1]], TERMS))
    with pytest.raises(ConfigError, match=r"<name>.yaml: price: found nothing"):
        check_prices(question, candidates([], TERMS))


def test_a_price_without_a_measurement_is_no_error(project: Path) -> None:
    file = project / "config/platforms/a800.yaml"
    file.write_text(file.read_text() + "price: {per_gpu_hour: 2, currency: EUR, source: s, date: 2026-03}\n")
    given = {"stage": "finetune", "model": "llama2-7b", "platform": "a800", "minimise": "cost"}
    question, frame, _ = gather(project, given)
    assert {cell.reason for cell in answer(question, frame).unknown} == {"not measured"}


def test_a_broken_result_is_named_and_the_others_answer(project: Path) -> None:
    [cell, *_] = [cell for cell in load_study(project, {}).by_path.values() if cell.stage == "finetune"]
    path = project / str(cell.path)
    path.parent.mkdir(parents=True)
    path.write_text(make.ok_result(make.finetune_spec()).model_dump_json())
    question, rows, _ = gather(project, {"stage": "finetune", "model": "llama2-7b"})
    [broken] = [row for row in rows if row["key"] == cell.key]
    assert broken["status"] == "broken"
    [named] = [each for each in answer(question, rows).unknown if each.row["key"] == cell.key]
    assert f"but {cell.key} is expected for {cell.id}" in named.reason


@pytest.mark.parametrize(
    "price",
    [
        "{per_gpu_hour: 0, currency: EUR, source: s, date: 2026-03}",
        "{per_gpu_hour: 1, currency: euro, source: s, date: 2026-03}",
        "{per_gpu_hour: 1, currency: EUR, date: 2026-03}", "{per_gpu_hour: 1, currency: EUR, source: s, date: March}",
    ],
)  # fmt: skip
def test_a_price_has_a_source_and_a_date(price: str, project: Path) -> None:
    file = project / "config/platforms/rtx4090.yaml"
    file.write_text(f"{file.read_text()}price: {price}\n")
    with pytest.raises(ConfigError, match=r"config/platforms/rtx4090.yaml: price"):
        load_catalog(project, {})


def test_a_question_reads_what_is_there(project: Path) -> None:
    question, frame, _ = gather(project, {"stage": "finetune", "model": "llama2-7b", "platform": "a800"})
    found = answer(question, frame)
    assert {cell.reason for cell in found.unknown} == {"not measured"}
    assert {cell.row["platform"] for cell in found.standings} == {"a800"}
