"""Keys of --config that no target of a command reads are refused; those of the docs are read."""

import re
from pathlib import Path

import pytest

from dissect.answers.dispatch import MODULES
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.config.root import RootConfig
from dissect.config.targets import OWN_KEYS, QUESTIONS, RUNS, question_of, refuse_unread

PROJECT = Path(__file__).parents[2]
SOURCES = [PROJECT / "Snakefile", *PROJECT.glob("rules/*.smk")]
RULES = [
    part for path in SOURCES for part in re.findall(r"^rule (\w+):\n((?:\s.*\n|\n)+)", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(
    ("command", "key", "says"),
    [
        ("plan", "platform", "not read by plan, only by recommend; did you mean 'platforms'?"),
        ("plan", "model", "not read by plan, only by recommend; did you mean 'models'?"),
        ("all", "select", "not read by all, only by cells, "),
        ("results/tables/table_II.csv", "more", "not read by all, only by plan, remeasure"),
        ("recommend", "left", "not read by recommend, only by compare"),
        ("cells prune", "file", "not read by cells, prune, only by export, import, references"),
    ],
)
def test_a_key_that_no_target_reads_is_refused(command, key, says):
    with pytest.raises(ConfigError, match=re.escape(f"--config {key}: {says}")):
        refuse_unread([key], ["snakemake", *command.split(), "--config", f"{key}=x"])


@pytest.mark.parametrize("command", ["", "all", "cells", "export cells", "progress"])
def test_what_describes_the_study_is_read_by_every_target(command):
    refuse_unread(["platforms", "models", "suite", "runs", "tables", "figures", "overrides", "fork"], command.split())


@pytest.mark.parametrize(
    ("command", "keys"),
    [("all export", ["select", "file"]), ("remeasure", ["select", "more"]), ("compare", ["margin"])],
)
def test_one_target_that_reads_a_key_is_enough(command, keys):
    refuse_unread(keys, command.split())


def test_every_target_and_key_is_one():
    assert RUNS.keys() == {name for name, body in RULES if "output:" not in body}
    assert OWN_KEYS.keys() == QUESTIONS.keys() | RUNS.keys() - {"all"}
    assert QUESTIONS.keys() == MODULES.keys() | {"progress"} <= OWN_KEYS.keys()
    assert set().union(*OWN_KEYS.values()) <= RootConfig.model_fields.keys()


@pytest.mark.parametrize(
    ("command", "question"),
    [
        ("plan", "plan"),
        ("plan --quiet all --cores all", "plan"),
        ("--profile profiles/cpu export --config select=plan", "export"),
        ("all", None),
        ("cells --config file=plan", None),
    ],
)
def test_the_question_of_a_command(command, question):
    assert question_of(["snakemake", *command.split()]) == question


@pytest.mark.parametrize(
    "command", ["all export", "plan recommend", "import results/tables/table_II.csv", "cells prune"]
)
def test_a_question_is_asked_alone(command):
    with pytest.raises(ConfigError, match="is answered alone, found "):
        question_of(["snakemake", *command.split()])


def commands_of(path: Path) -> list[str]:
    """Commands with settings, those of ``llm-dissect`` as Snakemake has them."""
    text = re.sub(r"\bllm-dissect ([a-z]+)(?= \w+=)", r"snakemake \1 --config", path.read_text())
    return re.findall(r"snakemake [^`#\n]*--config [^`#\n]*", text)


def test_commands_of_the_readme_select_cells():
    globs = [
        dict(re.findall(r"(suite|select)='?([^' ]+)", command))
        for command in commands_of(PROJECT / "README.md")
        if "select=" in command
    ]
    assert len(globs) == 3
    for given in globs:
        assert load_study(PROJECT, given).unmatched == []


def test_commands_of_the_docs_use_keys_that_their_targets_read():
    pages = (PROJECT / "README.md", *PROJECT.glob("docs/*.md"))
    commands = [(path.name, line) for path in pages for line in commands_of(path)]
    assert len(commands) > 30
    for name, line in commands:
        words, _, settings = line.partition("--config ")
        try:
            refuse_unread(re.findall(r"(?:^| )(\w+)=", settings), words.split())
        except ConfigError as error:
            pytest.fail(f"{name}: {line}: {error}")
