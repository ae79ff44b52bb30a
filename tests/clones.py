"""Clones of the project in which real Snakemake runs."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import warm_snakemake

ROOT = Path(__file__).parents[1]
TARGETS = ("All targets are complete", "All selected cells are complete", "All selected cells are measured again")
STUB = ROOT / "tests/workflow/measuring_stub.py"


@dataclass
class Run:
    """How one snakemake run ended."""

    code: int
    output: str

    @property
    def jobs(self) -> list[str]:
        """The messages of the jobs that ran or would run, the targets that only collect them aside."""
        return [job for job in re.findall(r"^Job \d+: (.+)$", self.output, re.MULTILINE) if job not in TARGETS]


@dataclass
class Clone:
    """A project folder and what happened in it."""

    folder: Path

    def snakemake(self, *arguments: str, profile: str | None = "cpu", expect: int | None = 0) -> Run:
        """Run snakemake as a user would; fails the test if it ends otherwise than expected.

        A clone with scripts of its own has a process from the beginning, all others have a fork of a warm one.
        """
        words = ["--profile", f"profiles/{profile}", *arguments] if profile else [*arguments]
        # The tables of this suite are about cells, not about this process's environment.
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        with tempfile.NamedTemporaryFile() as output:
            if (self.folder / "scripts").is_symlink():
                code = warm_snakemake.run(self.folder, words, environment, Path(output.name))
            else:
                command = [sys.executable, "-m", "snakemake", *words]
                code = subprocess.run(
                    command, cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=300
                ).returncode
            run = Run(code, Path(output.name).read_text())
        if expect is not None:
            assert run.code == expect, run.output
        return run

    def ask(self, *words: str, folder: str = ".", expect: int = 0) -> Run:
        """Run llm-dissect as a user would, in a folder of the clone; fails the test if it ends otherwise than expected.

        What it needs of ``make venv`` is the environment of this process.
        """
        if not (self.folder / ".venv").exists():
            (self.folder / ".venv").symlink_to(sys.prefix)
        command = [self.folder / "llm-dissect", *words]
        done = subprocess.run(
            command, cwd=self.folder / folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        assert done.returncode == expect, done.stdout
        return Run(done.returncode, done.stdout)

    def measured(self) -> list[str]:
        """Ids of the cells measured since the last call, sorted."""
        log = self.folder / "measured.txt"
        keys = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        found = {path.stem: path for path in (self.folder / "results/cells").rglob("*.json")}
        cells = self.folder / "results/cells"
        return sorted(str(found[key].parent.relative_to(cells)) if key in found else key for key in keys)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file; the text must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} no longer says: {old}"
        path.write_text(text.replace(old, new, 1))

    def own_scripts(self) -> None:
        """A copy of scripts/ in place of the link to the real ones, to be changed."""
        if (self.folder / "scripts").is_symlink():
            (self.folder / "scripts").unlink()
            unfinished = shutil.ignore_patterns("*.pyc.*")  # another process is about to rename it
            shutil.copytree(ROOT / "scripts", self.folder / "scripts", ignore=unfinished)

    def bytes_of(self, pattern: str) -> dict[str, bytes]:
        """Content of files below results/."""
        found = (self.folder / "results").glob(pattern)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(found)}

    def cell_file(self, fragment: str) -> Path:
        """The published file of the one cell whose path has a fragment."""
        (path,) = [path for path in (self.folder / "results/cells").rglob("*.json") if fragment in str(path)]
        return path

    def copy(self, target: Path, *, without: tuple[str, ...] = ()) -> "Clone":
        """Another clone with the same files, times preserved."""
        shutil.copytree(self.folder, target, symlinks=True, ignore=lambda _, names: [n for n in names if n in without])
        return Clone(target)


def new_clone(folder: Path) -> Clone:
    """What git would give, with scripts/ linked and without results."""
    copy_configuration(folder)
    for name in ("rules", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "llm-dissect"):
        shutil.copy(ROOT / name, folder)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    shutil.copy(ROOT / "envs/run", folder / "envs")
    return Clone(folder)


def copy_configuration(folder: Path) -> None:
    """The configuration and the lock files, without reference results: tests bring their own."""

    def shipped(path: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(path).name == "references" and Path(path, name).is_dir()]

    shutil.copytree(ROOT / "config", folder / "config", ignore=shipped)
    for lock in ROOT.glob("envs/*/requirements.txt"):
        target = folder / lock.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(lock, target)


def stubbed_clone(folder: Path) -> Clone:
    """A clone whose measuring command is replaced."""
    clone = new_clone(folder)
    paths = f"$PWD/scripts:{ROOT / 'tests'}"
    command = f'PYTHONPATH="{paths}" exec "{sys.executable}" "{STUB}" "$@"'
    (folder / "envs/run").write_text(f"#!/bin/sh\n{command}\n")
    # A site's own interpreter would really measure.
    path = folder / "config/platforms/h200.yaml"
    path.write_text(path.read_text().replace("interpreter: python3", "interpreter: envs/run site -- python"))
    return clone


def with_new_times(clone: Clone) -> Clone:
    """Times as git and cp leave them: all new, in no useful order."""
    for path in sorted(clone.folder.rglob("*"), key=lambda path: path.name):
        if path.is_file() and not path.is_symlink() and "scripts" not in path.parts:
            path.touch()
    return clone
