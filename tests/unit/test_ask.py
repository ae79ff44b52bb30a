"""Questions as they are given, and the records and prices that they need."""

import re
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.cells.study import load_study
from dissect.cells.terms import Terms
from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.config.question import MEANT, Question
from dissect.present.recommend.answer import answer
from dissect.present.recommend.ask import check_prices, gather, read_question
from dissect.present.recommend.candidates import candidates
from recommend_cases import EUR, TERMS, training


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "--config stage: found nothing"),
        ({"stage": "finetune"}, "--config model: found nothing"),
        ({"stage": "fine"}, "stage: found 'fine'"),
        ({"stage": "finetune", "model": "llama2-8b"}, "unknown model 'llama2-8b'; did you mean"),
        ({"stage": "finetune", "model": "none-such"}, "unknown model 'none-such' (known: llama-tiny, "),
        ({"stage": "finetune", "model": "llama2-7b", "platform": ["h200", "h300"]}, "unknown platform 'h300'"),
        ({"stage": "finetune", "model": "llama2-7b", "method": "XY"}, "--config method"),
        ({"stage": "serve", "model": "llama2-7b", "method": "fast"}, "unknown policy 'fast'"),
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


@pytest.mark.parametrize("key", ["stage", "minimise", "maximise"])
@pytest.mark.parametrize("word", MEANT)
def test_a_word_that_users_try_is_answered_with_the_question_that_they_mean(key: str, word: str, project: Path) -> None:
    given = {"stage": "serve", "model": "llama2-7b", key: word}
    meant = re.findall(r"(stage|minimise|maximise)=(\w+)", MEANT[word])
    if (key, word) in meant:
        assert getattr(read_question(load_catalog(project, given)), key) == word
        return
    with pytest.raises(ConfigError, match=f"{key}: found '{word}': expected {re.escape(MEANT[word])}$"):
        load_catalog(project, given)
    for other in meant:
        assert read_question(load_catalog(project, {"stage": "serve", "model": "llama2-7b"} | dict([other])))


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
