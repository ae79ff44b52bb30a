"""Candidates of an answer: their numbers, and the work that makes them comparable."""

from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.cells.spec import TrainingSpec
from dissect.config.adapters.lora import Lora
from dissect.config.adapters.prompt_tuning import PromptTuning
from dissect.present.recommend.candidates import DEVICE_VALUES, candidates
from dissect.present.recommend.standing import Standing
from dissect.present.tables.on_device import device_values
from dissect.present.tables.tidy import rows_once
from dissect.present.tables.training_view import TRAINING
from recommend_cases import TERMS, ask, recorded, serving, standings, training


def test_numbers_per_gpu_joule_and_money(tmp_path: Path) -> None:
    [row] = candidates([training(tmp_path, "QL", 1000.0, (0.99, 1 / 0.99))], TERMS)
    assert row["ttft_p50_s"] is None, "a number of servers"
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


@pytest.mark.parametrize(
    ("spec", "decides"),
    [
        (make.pretrain_spec(zero_stage=2), True),
        (make.pretrain_spec(zero_stage=2, offload_optimizer=True), False),
        (make.fsdp_spec(), True),
        (make.fsdp_spec(cpu_offload=True), False),
        (make.fsdp_finetune_spec(cpu_offload=True), False),
    ],
)
def test_device_time_decides_nothing_where_the_optimizer_runs_on_the_host(
    spec: TrainingSpec, decides: bool, tmp_path: Path
) -> None:
    record = recorded(tmp_path, make.training_runs(spec, 0.2, device=(0.1, 0.1)), "the method")
    [row] = rows_once(record, TRAINING)
    assert row["device_time_s"] == pytest.approx(0.1)
    assert (row["device_tokens_per_s"] is not None) is decides
    assert bool(device_values(row, "tokens_per_s")) is decides
    [candidate] = candidates([record], TERMS)
    assert bool(candidate[DEVICE_VALUES]["tokens_per_s"]) is decides


def test_a_cell_of_two_tables_counts_once(tmp_path: Path) -> None:
    record = training(tmp_path, "QL", 1000.0)
    assert len(candidates([record, record], TERMS)) == 1


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
        recorded(tmp_path, make.training_runs(spec, 0.2), method)
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
