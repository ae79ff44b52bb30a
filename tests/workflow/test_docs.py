"""Every command of the README and the docs is executed here, in clones; the worked examples with what they show."""

import re
import shutil
import subprocess
from functools import partial

import pytest

from clones import ROOT, Clone, Run
from dissect.config.targets import QUESTIONS, RUNS
from shown import PAGES, Command, blocks, commands

WORKED = {"docs/extending.md": "fresh", "docs/tutorial.md": "clone"}
"""Pages whose examples build on one another: files are written, commands run, and what is shown must be printed."""

NOT_HERE = {
    r"git clone … llm-dissect": "what the clones of these tests stand for",
    r"cd llm-dissect": "the folder in which these tests run commands",
    r"source \.venv/bin/activate": "the tests run with what .venv has",
    r"make (check|test|lint)": "what runs this test",
    r"apptainer build .*|sha256sum train\.sif": "needs Apptainer: for real in tests/e2e/test_image.py",
    r"kubectl .*|profiles/kubernetes/run .*|cd /shared": "needs a cluster: see tests/e2e/kubernetes",
    r"llm-dissect describe.*": "needs a GPU: see tests/unit/test_description.py",
    r"llm-dissect ready .*|python3 scripts/gpu_smoke\.py .*": "needs a GPU: see tests/unit/test_readiness.py",
    r"llm-dissect validate .*": "cells of a clone without commits: see tests/unit/test_validating.py",
    r"envs/run --build train-flash": "compiles for minutes to hours: see tests/e2e/test_env_run.py",
    r"torchrun .*": "needs torch, and two ranks: for real in tests/e2e/test_plain_loop.py",
    r"python scripts/search_zero3_sizes\.py .*": "needs GPUs: for real in tests/e2e/test_search_zero3_sizes.py",
}
"""Commands that are not executed here, each with the reason."""

DRY = {
    r"make .*": "`make -n`: the targets call what other tests and `make test` run for real",
    r".*profiles/slurm (?!--unlock).*": "needs a cluster: for real in tests/e2e/slurm/test_slurm_runs.py",
    r".*(a800|h100|h200|workstation).*": "would measure on a machine with GPUs",
    r".*cpu-x8.*": "would measure eight processes, cell by cell",
}
"""Commands that are executed with -n, each with the reason."""


def reason(command: Command, reasons: dict[str, str]) -> str | None:
    return next((why for pattern, why in reasons.items() if re.fullmatch(pattern, str(command))), None)


def commands_of(page: str) -> list[Command]:
    return [command for block in blocks(page) for command in commands(block)]


def new_commands_of(page: str) -> list[Command]:
    """Those that no page before it shows, and that are executed here."""
    before = {str(command) for earlier in PAGES[: PAGES.index(page)] for command in commands_of(earlier)}
    found = {str(command): command for command in commands_of(page) if not reason(command, NOT_HERE)}
    return [command for text, command in found.items() if text not in before]


def test_every_command_is_executed_or_says_why_not() -> None:
    shown = [command for page in PAGES for command in commands_of(page)]
    assert len(shown) > 30
    known = ("make", "snakemake", "llm-dissect")
    strange = [c.where for c in shown if c.words[0] not in known and not reason(c, NOT_HERE)]
    assert strange == [], "no test executes these; a block that holds no commands names its language"


def test_every_reason_is_needed() -> None:
    shown = [command for page in PAGES for command in commands_of(page)]
    patterns = [*NOT_HERE, *DRY]
    assert [p for p in patterns if not any(re.fullmatch(p, str(command)) for command in shown)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WORKED and new_commands_of(page)])
def test_the_commands_of_a_page(page: str, clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(page, clone)
    for command in new_commands_of(page):
        with monkeypatch.context() as context:
            for name, value in command.variables.items():
                context.setenv(name, value)
            execute(clone, command)
    measured = ["pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"] if page == "README.md" else []
    assert clone.measured() == measured, "only remeasure measures again"


@pytest.mark.parametrize("page", WORKED)
def test_the_worked_examples(page: str, request: pytest.FixtureRequest) -> None:
    clone: Clone = request.getfixturevalue(WORKED[page])
    clone.own_scripts()  # the examples change them
    shown = list(blocks(page))
    assert len([block for block in shown if block.info == "console"]) >= 3
    for block in shown:
        if re.search(r"[/ ]\S+\.\w+$", block.info):
            block.write(clone.folder)
        for command in commands(block):
            if not reason(command, NOT_HERE):
                check_output(command, execute(clone, command))


def execute(clone: Clone, command: Command) -> str:
    """Run a command as a user would; the output."""
    program, *arguments = command.words
    dry = ["-n"] if reason(command, DRY) and not {*QUESTIONS, "-n"} & set(arguments) else []
    if program == "make":
        done = subprocess.run(["make", *dry, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command.where}\n{done.stderr}"
        return done.stdout
    if {"import", "compare", "references"} & set(arguments):
        bring(clone, re.findall(r"[\w-]+\.tar\.gz", str(command)))
    if "export" in arguments and "/h200/" in str(command):
        clone.snakemake("cells", "--config", "tables=all", "select=operators/h200/-/gemm/square/*")
        assert len(clone.measured()) == 1
    # The clone's configuration has tables of pre-training only.
    every = ["tables=all"] if re.search(r"select=(?!\[?pretrain)", str(command)) else []
    ask = clone.ask if program == "llm-dissect" else partial(clone.snakemake, profile=None)
    try:
        return ask(*dry, *arguments, *every).output
    except AssertionError as error:
        error.add_note(command.where)
        raise


def bring(clone: Clone, names: list[str]) -> None:
    """Files that somebody sent: here one's own export under their names."""
    sent = clone.folder / "sent.tar.gz"
    if names and not sent.exists():
        clone.snakemake("export", "--config", f"file={sent.name}", profile=None)
    for name in names:
        if not (clone.folder / name).exists():
            shutil.copy(sent, clone.folder / name)


def prepare(page: str, clone: Clone) -> None:
    """What a page speaks of beside the finished cells: reference results, and prices as it shows them."""
    if page == "docs/questions.md":
        shutil.copytree(ROOT / "config/references/h200", clone.folder / "config/references/h200")
        clone.edit("config/config.yaml", "tables: [table_III, table_IV]", "tables: all")
        [price] = [block.text for block in blocks(page) if block.info == "yaml"]
        for platform in ("cpu", "h200"):
            with (clone.folder / f"config/platforms/{platform}.yaml").open("a") as file:
                file.write(price)


def check_output(command: Command, output: str) -> None:
    """What is shown was printed; if jobs are shown, these and no others."""
    expected = [line for line in command.shown if line.startswith(("Measure", "Write"))]
    if expected:
        assert sorted(Run(0, output).jobs) == sorted(expected), command.where
    for line in command.shown:
        assert line in output, f"{command.where} no longer shows: {line}"


def test_commands_within_sentences_name_targets_that_exist() -> None:
    rules = "\n".join(path.read_text() for path in (ROOT / "Snakefile", *ROOT.glob("rules/*.smk")))
    known = {
        "make": set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)),
        "snakemake": set(re.findall(r"^rule (\w+):", rules, re.MULTILINE)) | QUESTIONS.keys(),
        "llm-dissect": QUESTIONS.keys() | RUNS.keys(),
    }
    named = [
        (page, program, target)
        for page in PAGES
        for program, target in re.findall(r"`(make|snakemake|llm-dissect) ([a-z][a-z-]*)", (ROOT / page).read_text())
    ]
    assert len(named) > 10
    assert [(page, target) for page, program, target in named if target not in known[program]] == []
