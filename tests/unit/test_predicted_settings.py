"""What `recommend` says of settings that were not measured: below its answer, called predicted, and never ranked."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clones import copy_configuration
from dissect.answers.recommending import CSV, answer
from dissect.base.units import GIB
from dissect.cells.study import load_study
from dissect.predict.outlook import Outlook
from dissect.present.recommend.answer import answer as ranked
from dissect.present.recommend.ask import gather
from dissect.present.recommend.candidates import Candidate
from dissect.present.recommend.predicted_rank import LIMITS
from dissect.present.recommend.predicted_servers import PredictedServer
from dissect.present.recommend.predicted_settings import (
    COMPILED,
    ELSEWHERE,
    PIPELINES,
    UNTIMED,
    Forecast,
    PredictedSetting,
    forecast,
    why_no_steps,
)
from factories import megatron_spec

ASKED = {"stage": "finetune", "model": "llama2-7b", "platform": "h200-x4", "suite": "full"}


def predicted(project: Path, **more: Any) -> list[PredictedSetting]:
    return [each for each in forecast_of(project, **more).settings if isinstance(each, PredictedSetting)]


def servers(project: Path, **more: Any) -> list[PredictedServer]:
    found = forecast_of(project, stage="serve", **more).settings
    return [each for each in found if isinstance(each, PredictedServer)]


def forecast_of(project: Path, **more: Any) -> Forecast:
    return _forecast(project, json.dumps(ASKED | more))


@cache
def _forecast(project: Path, asked: str) -> Forecast:
    question, rows, study = gather(project, json.loads(asked))
    return forecast(ranked(question, rows), study, project)


def said(project: Path, **more: Any) -> str:
    return _said(project, json.dumps(ASKED | more))


@cache
def _said(project: Path, asked: str) -> str:
    return answer(load_study(project, json.loads(asked)), project, json.loads(asked))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predicted") / "project"
    copy_configuration(folder)
    return folder


def test_settings_that_are_expected_to_fit_are_predicted_the_fastest_first(project: Path) -> None:
    found = predicted(project)
    rates = [each.tokens_per_s for each in found]
    assert rates == sorted(rates, reverse=True)
    assert len(found) > 3
    limited = predicted(project, memory_gb=12)
    assert 0 < len(limited) < len(found)
    assert all(each.memory.high_bytes <= 12 * GIB for each in limited)
    assert {each.row["status"] for each in found} == {"not measured"}


def test_they_stand_below_the_answer_and_can_be_left_out(project: Path) -> None:
    text = said(project)
    below = [line for line in text.splitlines() if line.startswith("  predicted: ")]
    assert 1 < len(below) <= 3
    assert all(line.startswith("  predicted: H200 node of 4") and ", expected to fit" in line for line in below)
    assert text.count("\n") <= 40
    assert ELSEWHERE not in text
    assert said(project, platform="rtx4090", n_gpus=2).endswith(f"\n{ELSEWHERE}\n")
    assert "predicted" not in said(project, predicted=False).lower()
    assert set(pd.read_csv(project / CSV)["standing"]) <= {"not known", "unsupported", "never planned"}


def test_servers_are_predicted_within_the_limits_of_the_question(project: Path) -> None:
    found = servers(project)
    waits = [each.latency("latency").value for each in found]
    assert len(found) > 3
    assert waits == sorted(waits)
    assert "transformers" not in {each.row["framework"] for each in found}
    assert all(each.found.cache_low > 0 for each in found)
    ttfts = sorted(each.latency("ttft").value for each in found)
    limit = ttfts[len(ttfts) // 2]
    limited = servers(project, max_ttft_s=limit)
    assert 0 < len(limited) < len(found)
    assert all(each.latency("ttft").value <= limit for each in limited)
    assert servers(project, memory_gb=80) == []


def test_a_server_says_its_load_cache_latency_and_cost(project: Path) -> None:
    [line, *_] = [each for each in said(project, stage="serve").splitlines() if each.startswith("  predicted:")]
    assert all(word in line for word in ("tokens/s", "TTFT p99", "cache ", "expected to fit (kernels: ", " s,"))
    assert "predicted" not in said(project, stage="serve", predicted=False)
    first = servers(project)[0]
    priced = replace(first, row=Candidate(first.row, price_per_gpu_hour=3.6, currency="EUR"))
    assert "EUR per million tokens" in priced.text
    cost = float(priced.text.partition(" EUR per")[0].rpartition(", ")[2].partition(" ")[0])
    assert cost == pytest.approx(1e-3 * first.row["n_gpus"] * 1e6 / first.tokens_per_s, rel=0.01)


def test_a_given_price_is_in_every_prediction(project: Path) -> None:
    for stage in ("finetune", "serve"):
        text = said(project, stage=stage, price="2.5 EUR")
        lines = [line for line in text.splitlines() if line.startswith("  predicted:")]
        assert lines
        assert all(" EUR per million tokens, expected to fit" in line for line in lines)
    first = predicted(project, price="2.5 EUR")[0]
    cost = float(first.text.partition(" EUR per")[0].rpartition("GiB, ")[2].partition(" ")[0])
    assert cost == pytest.approx(2.5 * 4 / 3600 * 1e6 / first.tokens_per_s, rel=0.01)


def test_what_is_not_predicted_says_why(project: Path) -> None:
    server = said(project, stage="serve").splitlines()
    [line] = [each for each in server if "its steps wait for their host" in each]
    assert line.startswith("Not predicted: ")
    assert any("has no load of its own: `plan rates=true` predicts the rate." in each for each in server)
    assert "Not predicted" not in said(project, stage="serve", predicted=False)
    assert COMPILED in said(project, stage="pretrain", method=["C", "Z3+C"])
    assert COMPILED not in said(project, method=["L"])
    assert why_no_steps(megatron_spec(pipeline_parallel=2)) == PIPELINES
    assert why_no_steps(megatron_spec()) is None


def test_predictions_follow_the_objective(project: Path) -> None:
    """The last of one order is the first of another."""
    numbers: dict[str, Callable[[PredictedSetting], float]] = {
        "memory": lambda each: each.memory.peak_bytes,
        "energy": lambda each: each.joules_per_token or inf,
        "cost": lambda each: each.row["n_gpus"] / each.tokens_per_s,
    }
    for objective, number in numbers.items():
        found = predicted(project, minimise=objective, price="2 EUR")
        assert [number(each) for each in found] == sorted(number(each) for each in found)
    assert "the least energy of each kind of work" in said(project, minimise="energy")


def test_each_setting_is_counted_once_and_one_is_shown_however_long_the_answer(project: Path) -> None:
    found = forecast_of(project, model="llama2-70b", platform="rtx4090")
    question, rows, _ = gather(project, ASKED | {"model": "llama2-70b", "platform": "rtx4090"})
    counted = len(found.settings) + found.beyond.total() + found.unknown.total()
    assert counted == len(ranked(question, rows).unknown)
    assert found.beyond[Outlook.RUNS_OUT] > 20
    assert found.unknown[UNTIMED] > 0
    text = found.text(200)
    assert text.count("  predicted: RTX4090, ") == 1
    assert f"Predicted: {found.beyond[Outlook.RUNS_OUT]} × expected to run out of memory.\n" in text
    assert forecast_of(project, min_tokens_per_s=1e9).beyond[LIMITS] > 3


def test_the_best_of_each_kind_of_work_is_shown(project: Path) -> None:
    text = said(project, platform="rtx4090")
    lines = [line for line in text.splitlines() if line.startswith("  predicted: ")]
    assert len({line.split(", ")[2].partition("+")[0] for line in lines}) == len(lines) == 2, "prompts and adapters"


def test_the_largest_batch_is_predicted_with_its_size(project: Path) -> None:
    found = predicted(project, stage="pretrain", platform="a800", framework="ddp")
    names = [each.text.partition(": ")[0] for each in found if each.row["batch"] == "max"]
    assert any(re.fullmatch(r"A800, PyTorch DDP, Naive, 8 GPUs, batch max of \d+", name) for name in names), names
