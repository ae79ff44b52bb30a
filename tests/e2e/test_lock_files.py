"""The lock files against the registry: they resolve to themselves, and install without compiling, where it answers."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.parent.name for path in ROOT.glob("envs/*/requirements.txt"))
COMPILE = ("--universal", "--generate-hashes", "--python-version", "3.11", "--no-header", "--quiet")
"""Options of ``make locks``."""
FROM_SOURCE = {"flash-attn": "compiled", "deepspeed": "Python only", "connection-pool": "Python only"}
"""Distributions that have no wheel, and what their sources are."""
GLIBC = "2_35"
"""That of Ubuntu 22.04, the oldest that all wheels run on."""


def uv(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run uv's pip in a folder, whose uv.toml it reads."""
    command = [str(shutil.which("uv")), "pip", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)


@cache
def why_no_registry() -> str | None:
    done = subprocess.run(
        [str(shutil.which("uv")), "pip", "compile", "--quiet", "--no-cache", "-"],
        input="packaging",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return None if done.returncode == 0 else f"the package registry does not answer: {done.stderr.splitlines()[0]}"


@pytest.fixture(autouse=True)
def registry() -> None:
    if reason := why_no_registry():
        pytest.skip(reason)


def pins(lock: Path) -> dict[str, set[str]]:
    """Requirement with its marker -> digests of its files."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    blocks = "\n".join(lines).replace("\\\n", " ").splitlines()
    found = {block.split(" --hash=")[0].strip(): re.findall(r"sha256:([0-9a-f]{64})", block) for block in blocks}
    return {name: set(digests) for name, digests in found.items() if name}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_resolves_to_itself(name: str, tmp_path: Path) -> None:
    """With its versions as constraints: nothing is missing or in conflict, and every digest is the registry's."""
    locked, folder = pins(ROOT / "envs" / name / "requirements.txt"), ROOT / "envs" / name
    constraints, again = tmp_path / "constraints.txt", tmp_path / "requirements.txt"
    constraints.write_text("".join(f"{pin}\n" for pin in locked))
    source = ["--all-extras", str(ROOT / "pyproject.toml")] if name == "workflow" else ["requirements.in"]
    done = uv("compile", *COMPILE, *source, "-c", str(constraints), "--output-file", str(again), folder=folder)
    assert done.returncode == 0, done.stderr
    resolved = pins(again)
    assert set(resolved) == set(locked)
    assert [pin for pin in locked if not locked[pin] <= resolved[pin]] == [], "files of other digests"


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_installs_on_linux_without_compiling(name: str, python: str, tmp_path: Path) -> None:
    """All but installing: every distribution has a wheel for Linux and this Python, or is known to have none."""
    environment = str(tmp_path / "environment")
    subprocess.run([str(shutil.which("uv")), "venv", "--quiet", environment], check=True)
    wheels = ["--only-binary", ":all:"]
    for source in FROM_SOURCE:
        wheels += ["--no-binary", source]
    target = ("--python-version", python, "--python-platform", f"x86_64-manylinux_{GLIBC}", *wheels)
    folder = ROOT / "envs" / name
    done = uv(
        "sync", "--dry-run", "--python", environment, *target, "--require-hashes", "requirements.txt", folder=folder
    )
    assert done.returncode == 0, done.stderr
    assert f"Would install {done.stderr.count(' + ')} packages" in done.stderr
