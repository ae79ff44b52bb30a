"""A site's own software: containers, modules and Pythons; what of it belongs to a key, and what a launcher starts."""

import os
import shlex
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from dissect.cells.cell import Cell
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError

ROOT = Path(__file__).parents[2]
IMAGE = {"runtime": "apptainer", "image": "/shared/train.sif", "options": ["--nv"]}
DIGEST = "sha256:0f3c"


def cell(project: Path, environment: dict[str, Any]) -> Cell:
    """The first cell of a platform whose training environment is this one."""
    path = project / "config/platforms/cpu.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "environments": {"train": environment}}))
    found = load_study(project, {"select": "pretrain/cpu/*/deepspeed/Z2/*"})
    return found.selected[0]


def test_an_image_is_known_by_its_digest_and_not_by_its_place(project: Path) -> None:
    first = cell(project, {"container": IMAGE, "image": DIGEST})
    assert first.launcher == "envs/in-container apptainer /shared/train.sif --nv -- python3"
    moved = cell(project, {"container": {**IMAGE, "image": "/elsewhere/my train.sif", "python": "/opt/bin/python"},
                           "image": DIGEST})  # fmt: skip
    assert shlex.split(moved.launcher)[2:] == ["/elsewhere/my train.sif", "--nv", "--", "/opt/bin/python"]
    by_command = cell(project, {"interpreter": "apptainer exec /shared/train.sif python3", "image": DIGEST})
    other_runtime = cell(project, {"container": {"runtime": "pyxis", "image": "/shared/train.sqsh"}, "image": DIGEST})
    assert first.key == moved.key == by_command.key == other_runtime.key
    assert cell(project, {"container": IMAGE, "image": "sha256:1a2b"}).key != first.key


def test_modules_are_software_too(project: Path) -> None:
    plain = cell(project, {"lock": "train"})
    assert cell(project, {"lock": "train", "modules": []}).key == plain.key
    loaded = cell(project, {"lock": "train", "modules": ["gcc/13", "cuda/12.8"]})
    assert loaded.launcher == f"envs/with-modules gcc/13 cuda/12.8 -- {plain.launcher}"
    keys = {plain.key, loaded.key, cell(project, {"lock": "train", "modules": ["cuda/12.8", "gcc/13"]}).key}
    assert len(keys) == 3
    assert '"modules"' not in (plain.canonical or "")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"container": IMAGE, "versions": {"torch": "2.11.0"}}, "'container' needs 'image'"),
        ({"container": IMAGE, "lock": "train"}, "exactly one of"),
        ({"container": {"runtime": "docker", "image": "x"}, "image": DIGEST}, "(not by docker)"),
        ({"lock": "train", "modules": ["cuda; rm"]}, "modules"),
    ],
)
def test_what_does_not_fit_is_refused(project: Path, environment: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        cell(project, environment)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("runtime", "program", "asked"),
    [
        ("apptainer", "apptainer", "exec --bind {root} --bind {here} --pwd {here} --more image.sif python3 -c 1"),
        ("pyxis", "srun", "--export=ALL --overlap --nodes=1 --ntasks=1 --cpu-bind=none --container-image=image.sif"
         " --container-mounts={root}:{root},{here}:{here} --container-workdir={here} --more python3 -c 1"),
    ],
)  # fmt: skip
def test_what_a_runtime_is_asked_for(tmp_path: Path, runtime: str, program: str, asked: str) -> None:
    """By a stand-in that prints its arguments; a test of the images themselves is where the runtime is installed."""
    (tmp_path / program).write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / program).chmod(0o755)
    command = [ROOT / "envs/in-container", runtime, "image.sif", "--more", "--", "python3", "-c", "1"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == asked.format(root=ROOT.resolve(), here=tmp_path.resolve())


@pytest.mark.skipif(not Path("/usr/share/modules/init/bash").exists(), reason="Environment Modules is not installed")
def test_modules_are_loaded_before_the_command(tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/1.5").write_text("#%Module1.0\nsetenv TOOL_VERSION 1.5\n")
    environment = {**os.environ, "MODULEPATH": str(tmp_path)}

    def load(name: str) -> subprocess.CompletedProcess[str]:
        command = [ROOT / "envs/with-modules", name, "--", "sh", "-c", "echo version $TOOL_VERSION"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert load("tool/1.5").stdout == "version 1.5\n"
    missing = load("tool/9")
    assert missing.returncode == 1
    assert "envs/with-modules: module load tool/9 failed" in missing.stderr
    assert missing.stdout == ""


def test_a_python_without_pydantic_says_what_it_lacks(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare/bin/python"
    for script in ("measure.py", "measure_node.py"):
        done = subprocess.run([python, ROOT / "scripts" / script], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith(f"{python}: failed: {python} has no pydantic and no psutil")
