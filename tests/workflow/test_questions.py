"""Questions about finished cells, asked as users ask them: nothing is measured and nothing else changes."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from clones import Clone

PRICE = "price: {per_gpu_hour: 0.02, currency: EUR, source: a test, date: 2026-03-01}\n"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as text:
        return list(csv.DictReader(text))


def test_recommend(clone: Clone) -> None:
    before = clone.bytes_of("**/*.json")
    question = ("stage=pretrain", "model=llama2-7b", "memory_gb=100", "framework=deepspeed")
    run = clone.snakemake("recommend", "--config", *question)
    assert "with llama-tiny in place of llama2-7b" in run.output
    found = rows(clone.folder / "results/recommend.csv")
    ranked = [row for row in found if row["rank"]]
    assert {row["standing"] for row in ranked} == {"cannot tell"}, "one run of each"
    assert "To tell: snakemake remeasure --config select='[pretrain/cpu/llama-tiny/deepspeed/" in run.output
    rates = [float(row["tokens_per_s"]) for row in ranked if row["work"] == ranked[0]["work"]]
    assert rates == sorted(rates, reverse=True)
    assert clone.measured() == []
    assert clone.bytes_of("**/*.json") == before, "no manifest and no cell changed"
    assert clone.snakemake("all").jobs == []


def test_the_command_that_tells_is_for_the_suite_of_the_question(clone: Clone) -> None:
    cell_id = "pretrain/cpu/llama-tiny/deepspeed/Z3/s128-b1-n2"
    clone.snakemake("cells", "--config", "suite=full", "runs=1", f"select={cell_id}")
    question = ("stage=pretrain", "model=llama2-7b", "framework=deepspeed", "method=[Z3,Z2]", "suite=full")
    run = clone.snakemake("recommend", "--config", *question)
    [command] = re.findall(r"To tell: snakemake (.+)", run.output)
    jobs = clone.snakemake("-n", *shlex.split(command)).jobs
    assert f"Measure again {cell_id}" in jobs


def test_recommend_by_price(clone: Clone) -> None:
    question = ("stage=pretrain", "model=llama2-7b", "minimise=cost")
    run = clone.snakemake("recommend", "--config", *question, expect=1)
    assert "llm-dissect: config/platforms/cpu.yaml: price: found nothing" in run.output
    file = clone.folder / "config/platforms/cpu.yaml"
    file.write_text(file.read_text() + PRICE)
    lock = clone.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/tables/table_III.csv\n")
    run = clone.snakemake("recommend", "--config", *question)
    assert "Another snakemake is active" not in run.output, "the answer needs none of the manifests that it keeps"
    assert "EUR per million tokens" in run.output
    assert "Price of cpu: 0.02 EUR per GPU-hour, a test, 2026-03-01." in run.output


@pytest.mark.parametrize(
    "price", [PRICE, PRICE.replace("0.02", "2"), PRICE.replace("EUR", "USD")], ids=["new", "changed", "currency"]
)
def test_a_price_measures_nothing_and_draws_no_table(clone: Clone, price: str) -> None:
    file = clone.folder / "config/platforms/cpu.yaml"
    file.write_text(file.read_text() + price)
    # Only the page answers questions, so only the page may be written again.
    assert {*clone.snakemake("all").jobs} <= {"Write report"}
    assert clone.measured() == []


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("stage=pretrain", "--config model: found nothing, expected one of"),
        ("memory_gib=24", "unknown key 'memory_gib'"),
        ("minimise=mony", "did you mean 'memory'?"),
    ],
)
def test_a_bad_question_is_one_sentence(clone: Clone, key: str, sentence: str) -> None:
    run = clone.snakemake("recommend", "--config", key, expect=1)
    assert sentence in run.output
    assert "Traceback" not in run.output


def test_compare_with_an_export_that_was_measured_again(clone: Clone) -> None:
    clone.snakemake("export", "--config", "file=old.tar.gz")
    select = "select=pretrain/cpu/*/deepspeed/Z2/*"
    clone.snakemake("remeasure", "--config", select)
    clone.measured()
    before = clone.bytes_of("**/*.json")
    run = clone.snakemake("compare", "--config", "left=old.tar.gz", "right=results")
    folder = clone.folder / "results/compare/old-vs-results"
    assert "only left, 0 only right" in run.output
    assert "results/compare/old-vs-results/compare.md" in run.output
    assert "# results against old" in (folder / "compare.md").read_text()
    found = rows(folder / "compare.csv")
    verdicts = {row["left_id"]: row["verdict"] for row in found if row["quantity"] == "peak_memory_gib"}
    again = [cell for cell, verdict in verdicts.items() if verdict == "cannot tell"]
    assert [cell.split("/")[4] for cell in again] == ["Z2"], "all others have the same runs"
    assert {row["field"] for row in rows(folder / "differences.csv")} <= {"flags"}
    one = clone.snakemake("compare", "--config", "left=old.tar.gz", "right=results", select, "margin=0.1")
    assert "1 cells are on both sides" in one.output
    assert clone.measured() == []
    assert clone.bytes_of("**/*.json") == before
    assert clone.snakemake("compare", "--config", "left=old.tar.gz", expect=1).output.count("--config right: found") > 0
