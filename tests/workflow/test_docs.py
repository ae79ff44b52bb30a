"""The worked examples of docs/extending.md, executed as they stand there."""

import re
import shlex
import shutil
from pathlib import Path

from clones import ROOT, Clone

BLOCK = re.compile(r"^```(\w+) ?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_worked_examples(fresh: Clone) -> None:
    (fresh.folder / "scripts").unlink()  # a link to the real ones, which the examples must not change
    shutil.copytree(ROOT / "scripts", fresh.folder / "scripts")
    blocks = BLOCK.findall((ROOT / "docs/extending.md").read_text())
    assert len([kind for kind, _, _ in blocks if kind == "console"]) >= 3
    for kind, info, text in blocks:
        if kind == "console":
            run_console(fresh, text)
        else:
            write_file(fresh.folder, info, text)


def test_the_readme_s_daily_commands(measured_clone: Clone, tmp_path: Path) -> None:
    clone = measured_clone.copy(tmp_path / "clone")
    section = (ROOT / "README.md").read_text().split("## Daily commands")[1].split("\n## ")[0]
    commands = [line.split("#")[0] for line in section.splitlines() if line.startswith("    snakemake")]
    # A cluster needs a cluster: `make test-slurm`. What is imported is what was exported.
    commands = [command.replace("theirs", "ours") for command in commands if "slurm" not in command]
    assert len(commands) >= 6
    for command in commands:
        clone.snakemake(*shlex.split(command)[1:], profile=None)
    assert clone.measured() == ["pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"], "only remeasure measures again"


def test_the_readme_s_make_targets_exist() -> None:
    targets = re.findall(r"^    make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def write_file(folder: Path, info: str, text: str) -> None:
    append, _, name = info.rpartition(" ")
    path = folder / name
    before = path.read_text() if append else ""
    assert bool(append) == path.exists(), f"{name}: 'append' is for files that exist"
    path.write_text(before + text)


def run_console(clone: Clone, text: str) -> None:
    for session in text.split("$ ")[1:]:
        command, *shown = session.strip().splitlines()
        program, *arguments = shlex.split(command)
        assert program == "snakemake"
        run = clone.snakemake(*arguments, profile=None)
        expected = [line for line in shown if line.startswith(("Measure", "Write"))]
        if expected:
            assert sorted(job for job in run.jobs) == sorted(expected), command
        for line in shown:
            assert line in run.output, f"{command} no longer shows: {line}"
