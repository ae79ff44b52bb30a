"""The shell command of every stage's cells, as Snakemake would run it, held against tests/golden/protocols."""

import re
from pathlib import Path

import pytest

from clones import Clone, stubbed_clone
from dissect.cells.runners import runners
from protocols import check_protocol

JOB = re.compile(r"^Job \d+: Measure (?P<stage>\w+)/.*\nShell command: (?P<command>.*)$", re.MULTILINE)


def neutral(command: str) -> str:
    """Without what is a cell's own: launcher, spec and files."""
    launcher, _, options = command.partition(" scripts/measure.py")
    for pattern, word in (
        (r"--launcher '.*' --spec '.*' --publish \S+ --runs \d+", "<cell>"),
        (r">\S+\.log", "><log>"),
    ):
        options = re.sub(pattern, word, options)
    assert re.search(r"envs/run \S+ -- python$", launcher)
    return f"<launcher> scripts/measure.py{options}"


def test_commands_of_cells(tmp_path: Path) -> None:
    output = stubbed_clone(tmp_path).snakemake("-n", "-p", "cells").output
    found = {(job["stage"], neutral(job["command"])) for job in JOB.finditer(output)}
    commands = dict(found)
    assert len(commands) == len(found), "one command for each stage"
    for stage, framework in runners():
        check_protocol(stage, framework, "command", commands[stage])


def test_runs_are_forked_if_so_configured(tmp_path: Path) -> None:
    output = stubbed_clone(tmp_path).snakemake("-n", "-p", "cells", "--config", "fork=true").output
    commands = [job["command"] for job in JOB.finditer(output)]
    assert commands
    assert all(" --fork " in command for command in commands)


@pytest.mark.slow
def test_a_batch_system_gets_searches_and_long_limits_first(tmp_path: Path) -> None:
    clone = stubbed_clone(tmp_path)
    budget = "overrides={'pretrain/cpu/*/deepspeed/Z2/*': {sampling: {budget_s: 7200}}}"
    output = clone.snakemake("cells", "--jobs", "1", "--config", budget).output
    jobs = re.findall(r"^Job \d+: Measure (pretrain/.+)$", output, re.MULTILINE)
    searches = [job for job in jobs if "-bmax-" in job]
    assert "/Z2/" in jobs[0]
    assert set(jobs[1 : 1 + len(searches)]) == set(searches)
    assert len(jobs) > 1 + len(searches)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "runs"), [(["more=3"], 3), (["fresh=true"], 1)])
def test_a_job_of_remeasure_asks_for_the_time_of_the_runs_that_it_measures(
    clone: Clone, settings: list[str], runs: int
) -> None:
    clone.edit("rules/common.smk", 'MEASURE = "', 'MEASURE = "echo {resources.runtime} >>asked.txt; ')
    budget = "overrides={'pretrain/cpu/*/deepspeed/Z2/*': {sampling: {budget_s: 1200}}}"
    select = "select=pretrain/cpu/*/deepspeed/Z2/*"
    clone.snakemake("remeasure", "--jobs", "1", "--config", select, budget, *settings)
    margin_min, budget_min = 10, 20
    assert (clone.folder / "asked.txt").read_text().split() == [str(margin_min + runs * budget_min)]


@pytest.mark.slow
def test_a_first_try_asks_for_the_predicted_time_and_a_retry_for_the_whole(clone: Clone) -> None:
    """Cells of its kind were measured; the job fails until it has been tried twice, as one that is killed does."""
    budget = "overrides={'pretrain/cpu/*/deepspeed/Z2/*': {sampling: {budget_s: 1200}}}"
    asks = "echo {resources.runtime} {resources.whole_runtime} >>asked.txt; test $(wc -l <asked.txt) = 2 && "
    clone.edit("rules/common.smk", 'MEASURE = "', f'MEASURE = "{asks}')
    select = "select=pretrain/cpu/*/deepspeed/Z2/*"
    clone.snakemake("cells", "--jobs", "1", "--retries", "1", "--config", select, budget)
    first, retry = (map(int, line.split()) for line in (clone.folder / "asked.txt").read_text().splitlines())
    margin_min, budget_min = 10, 20
    (asked, whole), again = first, tuple(retry)
    assert margin_min <= asked < whole == margin_min + budget_min
    assert again == (whole, whole)
