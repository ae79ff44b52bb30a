"""The questions that are asked most: two settings side by side, and what to measure where there are none."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dissect.base.outcome import Status
from dissect.cells.study import load_study
from dissect.config.methods import NAIVE
from dissect.present.recommend.candidates import candidates
from dissect.present.report import direct_answers as direct_answers_module
from dissect.present.report.direct_answers import DirectAnswer, direct_answers
from dissect.present.tables.columns import Record
from recommend_cases import TERMS, ended, searched, serving, training

ONCE = (1.0,)


def answers(records: list[Record]) -> dict[str, DirectAnswer]:
    return {answer.name: answer for answer in direct_answers(candidates(records, TERMS), "smoke")}


def test_flash_attention_is_told_in_words_with_its_ratio(tmp_path: Path) -> None:
    found = answers([training(tmp_path, "L", 1000.0), training(tmp_path, "L+F", 1200.0)])["flash-attention"]
    [pair] = found.pairs
    assert (found.short, pair.verdict) == ("FlashAttention: 20 % faster, H200", "FlashAttention: 20 % faster")
    assert (pair.left.title, pair.right.title) == ("no FlashAttention", "FlashAttention")
    assert re.fullmatch(r"1\.2\d* \[1\.1\d*–1\.2\d*\] ×", pair.ratio)
    assert pair.basis.startswith("runs 5 and 5, starts 1 and 1, 5 shared rounds of 1 start, this start only")
    assert [pair.left.numbers[0], pair.right.numbers[0]] == [
        f"{side} tokens/s" for side in ("1,000 [990–1,010]", "1,200 [1,188–1,212]")
    ]
    slower = answers([training(tmp_path, "L", 1000.0), training(tmp_path, "L+F", 920.0)])["flash-attention"]
    assert slower.short == "FlashAttention: 8.0 % slower, H200"


def test_single_runs_decide_nothing_and_say_what_would(tmp_path: Path) -> None:
    found = answers([training(tmp_path, "L", 1000.0, ONCE), training(tmp_path, "L+F", 3000.0, ONCE)])["flash-attention"]
    [pair] = found.pairs
    assert (pair.verdict, pair.told, pair.ratio) == ("cannot tell", False, "3.00 ×")
    assert pair.command.startswith("snakemake remeasure --config select='[finetune/h200/llama2-7b/deepspeed/L/")


def test_a_page_has_only_so_many_comparisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_answers_module, "MOST", 1)
    records = [training(tmp_path, method, 1000.0) for method in ("L", "L+F", "L+R", "L+R+F")]
    found = answers(records)["flash-attention"]
    assert (len(found.pairs), found.left_out) == (1, 1)


def test_what_alone_fits_is_an_answer(tmp_path: Path) -> None:
    records = [
        ended(tmp_path, NAIVE, Status.OOM), training(tmp_path, "Z3", 800.0),
        training(tmp_path, "R", 900.0), training(tmp_path, "Z3+R", 600.0),
    ]  # fmt: skip
    found = answers(records)["zero-3"]
    assert [(pair.left.title, pair.verdict) for pair in found.pairs] == [
        ("DeepSpeed without ZeRO", "ZeRO-3: 33 % slower"),
        ("DeepSpeed without ZeRO", "only ZeRO-3 fits"),
    ]
    assert found.pairs[1].left.numbers == ["out of memory"]


def test_a_limit_of_memory_decides_before_speed(tmp_path: Path) -> None:
    model = {"model": "llama2-13b"}
    records = [
        training(tmp_path, "L", 2500.0, gib=37, **model), training(tmp_path, "QL", 1800.0, gib=19, **model),
    ]  # fmt: skip
    [pair] = answers(records)["13b-24gb"].pairs
    assert (pair.verdict, pair.left.numbers[1], pair.right.numbers[1]) == (
        "only QL keeps within 24 GiB", "37.0 GiB by nvml", "19.0 GiB by nvml",
    )  # fmt: skip
    both = answers([*records, training(tmp_path, "QL+R", 1500.0, gib=18, **model)])["13b-24gb"]
    assert [(pair.left.title, pair.verdict) for pair in both.pairs] == [("QL+R", "QL: 20 % faster, within 24 GiB")]


def test_engines_are_held_to_the_shortest_limit_that_one_keeps(tmp_path: Path) -> None:
    found = answers([serving(tmp_path, "vllm", 10.0), serving(tmp_path, "lightllm", 12.0)])["engine-ttft"]
    [pair] = found.pairs
    assert (pair.left.title, pair.right.title) == ("LightLLM", "vLLM")
    assert (pair.work, pair.verdict) == ("llama2-7b, r40-burst", "vLLM: 20 % faster, within TTFT p99 of 5 s")
    assert pair.right.numbers[2] == "TTFT p99 4.00 [3.96–4.04] s"


def test_a_load_in_which_no_engine_keeps_any_limit_answers_nothing(tmp_path: Path) -> None:
    slow = answers([serving(tmp_path, "vllm", 30.0), serving(tmp_path, "lightllm", 36.0)])["engine-ttft"]
    assert (slow.pairs, slow.short) == ([], "not measured")
    assert "holds" in slow.command


def test_engines_at_the_rates_that_they_hold_are_held_to_the_objective_of_the_search(tmp_path: Path) -> None:
    """The slower one answers within 1 s at its own rate, which is no reason to hold the other to it."""
    searches = [searched(tmp_path, "vllm", 10.0, 0.8), searched(tmp_path, "lightllm", 20.0, 1.9)]
    bursts = [serving(tmp_path, "vllm", 10.0), serving(tmp_path, "lightllm", 12.0)]
    first, second = answers([*bursts, *searches])["engine-ttft"].pairs
    assert (first.left.title, first.right.title, first.work) == ("vLLM", "LightLLM", "llama2-7b, r40-search")
    assert re.fullmatch(r"LightLLM: \d+ % faster, within TTFT p99 of 2 s", first.verdict)
    assert second.work == "llama2-7b, r40-burst"
    assert [side.numbers[-1].endswith(" requests/s hold") for side in (first.left, first.right)] == [True, True]
    assert not any("requests/s" in number for number in second.left.numbers)


def test_a_limit_that_one_run_keeps_tells_nothing(tmp_path: Path) -> None:
    records = [serving(tmp_path, engine, seconds) for engine, seconds in (("vllm", 4.0), ("lightllm", 12.0))]
    once = [replace(record, runs=replace(record.runs, runs=record.runs.runs[:1])) for record in records if record.runs]
    [pair] = answers(once)["engine-ttft"].pairs
    assert (pair.verdict, pair.told) == ("cannot tell, within TTFT p99 of 2 s", False)
    [pair] = answers(records)["engine-ttft"].pairs
    assert pair.verdict == "only vLLM keeps within TTFT p99 of 2 s"


def test_what_is_missing_has_a_command_that_plans_it(project: Path) -> None:
    found = direct_answers([], "smoke")
    assert len(found) == 5
    globs = []
    for answer in found:
        assert answer.short == "not measured"
        command = re.fullmatch(
            r"snakemake cells --config platforms=\[h200-x4\] suite=full runs=5 select='\[?(.*?)\]?'", answer.command
        )
        assert command, answer.command
        globs += command[1].split(",")
    asked = {"platforms": ["h200-x4"], "suite": "full", "runs": 5, "select": list(dict.fromkeys(globs))}
    ids = [cell.id for cell in load_study(project, asked).by_path.values()]
    for glob in globs:
        pattern = glob.replace("+", r"\+").replace("*", "[^/]*")
        assert any(re.fullmatch(pattern, each) for each in ids), glob
