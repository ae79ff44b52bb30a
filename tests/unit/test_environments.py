"""The software environments: what is locked, and that the locks say what their sources ask for."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dissect.cells.software import lock_identity

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("envs/*/requirements.txt"))
PYTHONS = ["3.11", "3.12"]


def blocks(lock: Path) -> list[str]:
    """The lock's requirements, each with its hashes, on one line; comments dropped."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def pins(lock: Path, python: str) -> dict[str, str]:
    """Distribution -> version that a lock gives this Python on Linux."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    environment |= {"sys_platform": "linux", "platform_machine": "x86_64"}
    requirements = [Requirement(block.split(" --hash=")[0]) for block in blocks(lock)]
    chosen = [r for r in requirements if r.marker is None or r.marker.evaluate(environment)]
    names = [canonicalize_name(r.name) for r in chosen]
    assert len(names) == len(set(names)), f"{lock} gives Python {python} one distribution twice"
    return {name: str(r.specifier).removeprefix("==") for name, r in zip(names, chosen, strict=True)}


def asked(folder: Path) -> list[Requirement]:
    """What people wrote: requirements.in, or pyproject.toml for the workflow's environment."""
    if folder.name == "workflow":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        return [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    lines = [line.partition("#")[0].strip() for line in (folder / "requirements.in").read_text().splitlines()]
    included = [line.removeprefix("-r ") for line in lines if line.startswith("-r ")]
    here = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return here + [requirement for name in included for requirement in asked((folder / name).resolve().parent)]


def test_all_environments_are_locked() -> None:
    names = ["client", "docs", "kubernetes", "sglang", "train", "train-flash", "vllm", "workflow"]
    assert [lock.parent.name for lock in LOCKS] == names


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_a_lock_names_no_host(lock: Path) -> None:
    assert not re.findall(r"https?://\S+|--(?:extra-)?index-url.*|--find-links.*", lock.read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    pattern = re.compile(r"[a-z0-9-]+==[^ ;]+( +;[^-].*?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    assert [block for block in blocks(lock) if not pattern.fullmatch(block)] == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_a_lock_fulfils_its_source(lock: Path, python: str) -> None:
    locked = pins(lock, python)
    unmet = [str(r) for r in asked(lock.parent) if not r.specifier.contains(locked.get(canonicalize_name(r.name), "0"))]
    assert unmet == []


@pytest.mark.parametrize("python", PYTHONS)
def test_train_flash_differs_from_train_by_flash_attention_alone(python: str) -> None:
    train, flash = (pins(ROOT / "envs" / name / "requirements.txt", python) for name in ("train", "train-flash"))
    assert set(flash.items()) - set(train.items()) == {("flash-attn", "2.8.3.post2"), ("wheel", flash["wheel"])}
    assert set(train.items()) <= set(flash.items())


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_the_launcher_and_the_spec_agree_on_the_identity(lock: Path, python: str, tmp_path: Path) -> None:
    """A folder that carries the spec's identity and is marked complete is the one that the launcher takes."""
    name = lock.parent.name
    (tmp_path / "envs" / name).mkdir(parents=True)
    shutil.copy(lock, tmp_path / "envs" / name)
    shutil.copy(ROOT / "envs" / "run", tmp_path / "envs")
    folder = tmp_path / ".envs" / f"{name}-{lock_identity(lock.read_text(), python)[:12]}"
    folder.mkdir(parents=True)
    (folder / ".complete").touch()
    command = [tmp_path / "envs" / "run", f"{name}@{python}", "--", "printenv", "VIRTUAL_ENV"]
    run = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
    assert (run.stdout, run.stderr) == (f"{folder}\n", "")
