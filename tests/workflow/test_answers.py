"""``llm-dissect``: the answer is all that it prints, an error is one sentence, and its folder is any of the project."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clones import Clone, new_clone
from dissect.config.targets import OWN_KEYS, RUNS
from small_disk import read_only

ANSWERS = {
    "plan": "9 cells, 0 to run",
    "progress": "20",
    "recommend stage=pretrain model=llama2-7b": "Pre-train llama2-7b: least time.",
    "compare left=results right=results": "results against results: 9 cells are on both sides",
    "claims": "45 verdicts on the paper's claims: 0 holds, ",
    "references": "0 cells with 0 runs in 0 sets",
    "export": "results/export.tar.gz: 9 cells with 9 runs",
    "prune older_than=3": "cell ",
}
"""Question -> beginning of its answer."""
REFUSED = {
    "plan platform=h200": "--config platform: not read by plan, only by recommend; did you mean 'platforms'?",
    "import": "--config file: found nothing, expected the file to import: --config file=<path>",
    "import file=none.tar.gz": "none.tar.gz: no such file",
    "export file=Snakefile": "Snakefile: is no export, so none replaces it; name another file, or add force=true",
    "compare left=results": "--config right: found nothing, expected 'results', ",
    "recommend stage=pretrain": "--config model: found nothing, expected one of ",
    "prune": "--config: found none of select, older_than and protocol, expected at least one",
}
"""Question that cannot be answered -> beginning of the sentence."""
NO_COMMAND = {
    "pln": "unknown command 'pln'; did you mean 'plan'? (known: all, cells, ",
    "remeasure more": "more: expected key=value",
    "remeasure more=2 -n --config fresh=true": "more=2: expected all settings in one place, ",
    "cells select=x --config=suite=full": "select=x: expected all settings in one place, ",
    "cells select=x -Csuite=full": "select=x: expected all settings in one place, ",
    "cells -n suite=full": "suite=full: expected settings before options, found it behind -n",
    "plan -n": "-n: expected key=value; options are for snakemake plan",
}
"""Command that is none -> beginning of the sentence."""


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answer_comes_first_and_is_all(clone: Clone, question: str) -> None:
    before = clone.bytes_of("cells/**/*.json")
    output = clone.ask(*question.split()).output
    assert output.startswith(ANSWERS[question]), output
    assert not [word for word in ("Job", "Snakemake", "profile", "Building DAG") if word in output]
    assert clone.measured() == []
    assert clone.bytes_of("cells/**/*.json") == before


def test_results_that_can_only_be_read_answer_too(clone: Clone) -> None:
    elsewhere = {"export file=ours.tar.gz": "ours.tar.gz: 9 cells with 9 runs"}
    with read_only(clone.folder / "results"):
        for question, answer in (elsewhere | ANSWERS).items():
            if question != "export":
                said = clone.ask(*question.split()).output
                assert f"\n{answer}" in f"\n{said}"
                assert ("the answer is from what is there\n" in said) == (question != "progress")
                assert ("not written\n" in said) == (question.split()[0] in ("plan", "recommend", "compare"))
        for change in ("export", "import file=ours.tar.gz", "prune older_than=3 really=true"):
            assert clone.ask(*change.split(), expect=1).output.splitlines()[-1].endswith(": Read-only file system")


def test_snakemake_prints_the_same_below_the_name_of_its_profile(clone: Clone) -> None:
    first, *lines = clone.snakemake("plan", profile=None).output.splitlines()
    assert "profiles/default" in first
    assert lines == clone.ask("plan").output.splitlines()
    assert clone.snakemake("-n", "plan").jobs == ["what would run, what does not fit, how long it takes"]


@pytest.mark.parametrize("question", REFUSED)
def test_an_error_is_one_sentence_and_said_once(clone: Clone, question: str) -> None:
    (line,) = clone.ask(*question.split(), expect=1).output.splitlines()
    assert line.startswith(f"llm-dissect: {REFUSED[question]}")


@pytest.mark.parametrize(
    ("question", "file"),
    [("plan", "answers/planning.py"), ("progress", "present/progress.py"), ("plan", "cells/study.py")],
)
def test_a_bug_shows_where_it_is(fresh: Clone, question: str, file: str) -> None:
    fresh.own_scripts()
    path = fresh.folder / "scripts/dissect" / file
    path.write_text(
        re.sub(r"(?m)^def (answer|show_progress|load_study)\(.*:$", r'\g<0>\n    {}["bug"]', path.read_text())
    )
    output = fresh.ask(question, expect=1).output
    assert "KeyError" in output
    assert f'File "{path}", line ' in output


@pytest.mark.parametrize("command", NO_COMMAND)
def test_what_is_no_command_is_one_sentence_too(clone: Clone, command: str) -> None:
    (line,) = clone.ask(*command.split(), expect=2).output.splitlines()
    assert line.startswith(f"llm-dissect: {NO_COMMAND[command]}")


def test_the_commands_are_listed(clone: Clone) -> None:
    output = clone.ask().output
    assert "\n  recommend   the best measured setting under limits\n" in output
    assert "\n  remeasure   add runs to the selected cells\n" in output


def test_a_character_that_the_terminal_lacks_is_replaced(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert clone.ask("help").output.startswith("Usage: ")
    assert clone.ask("export", "file=ö.tar.gz").output.startswith("?.tar.gz: 9 cells with 9 runs")


@pytest.mark.parametrize("run", [*RUNS, "results/tables/table_IV.csv"])
def test_a_run_is_that_of_snakemake(fresh: Clone, run: str) -> None:
    settings = ("select=pretrain/cpu/*/deepspeed/Z2*/*",) if "select" in OWN_KEYS.get(run, ()) else ()
    given = ("--config", *settings) if settings else ()
    jobs = sorted(fresh.snakemake("-n", run, *given, profile=None).jobs)
    assert jobs
    assert sorted(fresh.ask(run, *settings, "-n").jobs) == jobs
    assert sorted(fresh.ask(run, "--profile", "profiles/cpu", "-n", *given, folder="config").jobs) == jobs


def test_files_are_those_of_the_folder_of_the_command(clone: Clone) -> None:
    (clone.folder / "docs").mkdir()
    clone.ask("export", "file=ours.tar.gz", folder="docs")
    assert (clone.folder / "docs/ours.tar.gz").exists()
    assert "9 were here" in clone.ask("import", "--config", "file=ours.tar.gz", folder="docs").output
    assert clone.ask("compare", "left=ours.tar.gz", "right=results", folder="docs").output.startswith("results against")


def test_without_the_environment_a_line_says_what_to_do(clone: Clone) -> None:
    (clone.folder / ".venv").unlink(missing_ok=True)
    done = subprocess.run([clone.folder / "llm-dissect", "plan"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"llm-dissect: its environment is missing: run 'make -C {clone.folder} venv'\n"


@pytest.fixture
def by_name(clone: Clone, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a clone's command in any folder, by the name that its environment puts on the PATH, behind ``first``."""
    clone.ask("help")  # links the environment
    link = tmp_path / "bin/llm-dissect"
    link.parent.mkdir()
    link.symlink_to(clone.folder / "llm-dissect")
    environment = {**os.environ, "PATH": f"{link.parent}:{os.environ['PATH']}"}

    def run(folder: Path, word: str, first: str = "") -> subprocess.CompletedProcess[str]:
        command = ["/bin/sh", "-c", f"{first}exec llm-dissect {word}"]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    return run


def test_by_its_name_it_finds_the_project(clone: Clone, tmp_path: Path, by_name: Callable) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(clone.folder / "config")
    assert by_name(Path("/"), "plan").stdout.startswith("9 cells, 0 to run")
    for folder in (tmp_path, clone.folder, clone.folder / "config/platforms", alias):
        assert by_name(folder, "help").stdout.startswith("Usage: ")


def test_by_its_name_it_answers_for_no_other_clone(clone: Clone, tmp_path: Path, by_name: Callable) -> None:
    """Neither in a folder of another one, in a git worktree, nor in a clone within its own."""
    another, inside = new_clone(tmp_path / "another").folder, new_clone(clone.folder / "clones/inside").folder
    git = ["git", "-C", another, "-c", "user.name=one", "-c", "user.email=one@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "Snakefile", "llm-dissect", "config"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=one"], check=True)
    subprocess.run([*git, "worktree", "add", "--quiet", tmp_path / "worktree"], check=True)
    folders = {another: another, another / "config/platforms": another, tmp_path / "worktree": tmp_path / "worktree"}
    for folder, other in {**folders, inside / "envs": inside}.items():
        done = by_name(folder, "plan")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"llm-dissect: this folder is in the clone {other}, but the command on the PATH is that of {clone.folder}: "
            f"run '{other}/llm-dissect' to ask this clone, or '{clone.folder}/llm-dissect' to ask the other\n"
        )
    named = subprocess.check_output([clone.folder / "llm-dissect", "plan"], cwd=another, text=True)
    assert named.startswith("9 cells, 0 to run"), "its path says which clone is asked"


def test_by_its_name_it_ends_in_a_folder_that_was_removed(tmp_path: Path, by_name: Callable) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = by_name(gone, "plan", first='rmdir "$PWD" && ')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "llm-dissect: this folder no longer exists: ask in another one"


@pytest.mark.parametrize("question", ["plan", "help"])
def test_a_reader_that_leaves_ends_it_quietly(clone: Clone, question: str) -> None:
    clone.ask("plan")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [clone.folder / "llm-dissect", question], cwd=clone.folder, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.stderr == b""
