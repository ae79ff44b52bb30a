"""envs/run with real builds of a tiny environment: hand-made packages, no index, no network."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

SOURCE = Path(__file__).parents[2] / "envs" / "run"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SHOW = "import tiny, sys; print(tiny.VERSION, sys.prefix)"

# Needs nothing to build with, and waits for permission, so that a build can be caught half way.
BACKEND = """
import pathlib, shutil, time

def build_wheel(directory, config_settings=None, metadata_directory=None):
    pathlib.Path({folder!r}, "started").touch()
    while not pathlib.Path({folder!r}, "go").exists():
        time.sleep(0.02)
    return pathlib.Path(shutil.copy("tiny-2.0-py3-none-any.whl", directory)).name
"""


def write_wheel(folder: Path, version: str) -> Path:
    """A wheel of one module that knows its version."""
    info = f"tiny-{version}.dist-info"
    wheel = folder / f"tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


class Project:
    """A project folder that holds nothing but envs/ and the packages that its locks name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages = root / "packages"
        self.packages.mkdir()
        self.requirements = root / "envs" / "tiny" / "requirements.txt"
        self.requirements.parent.mkdir(parents=True)
        shutil.copy(SOURCE, root / "envs" / "run")
        uv = shutil.which("uv")
        assert uv, "uv is not on PATH; `make test` puts it there"
        self.variables = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{Path(uv).parent}:{os.environ['PATH']}",
            "UV_CACHE_DIR": str(root / "uv-cache"),
            "UV_FIND_LINKS": str(self.packages),
            "UV_NO_INDEX": "1",
        }
        self.lock("1.0")

    def lock(self, version: str) -> None:
        """Lock the environment to a version of its one package."""
        self.write_lock(version, write_wheel(self.packages, version))

    def lock_slow(self) -> None:
        """Lock it to version 2.0, which is built from source once the file ``go`` is there."""
        top = self.root / "tiny-2.0"
        top.mkdir()
        build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (top / "pyproject.toml").write_text(build + '[project]\nname = "tiny"\nversion = "2.0"\n')
        (top / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: tiny\nVersion: 2.0\n")
        (top / "backend.py").write_text(BACKEND.format(folder=str(self.root)))
        write_wheel(top, "2.0")
        archive = self.packages / "tiny-2.0.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(top, "tiny-2.0")
        self.write_lock("2.0", archive)

    def write_lock(self, version: str, package: Path) -> None:
        """Pin the package by its hash."""
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        self.requirements.write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n")

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start envs/run in its own process group."""
        return subprocess.Popen(
            [str(self.root / "envs" / "run"), *arguments],
            cwd=self.root / "packages",
            env={**self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of envs/run."""
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.strip(), err.strip()

    def folders(self) -> list[Path]:
        """The environments that there are."""
        return sorted(path for path in self.root.glob(".envs/tiny-*") if path.is_dir())

    def wait_for(self, name: str) -> None:
        """Until a file of the project is there."""
        deadline = time.monotonic() + 30
        while not (self.root / name).exists():
            assert time.monotonic() < deadline, f"{name} did not appear"
            time.sleep(0.02)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose environment ``tiny`` is locked and not built."""
    return Project(tmp_path)


def test_a_missing_environment_is_built_and_the_command_runs_in_it(project: Project) -> None:
    status, out, err = project.run("tiny", "--", "python", "-c", SHOW)
    assert (status, out) == (0, f"1.0 {project.folders()[0]}")
    assert re.fullmatch(
        r"envs/run: building tiny for Python \S+ in \.envs/\S+ \(log: \S+\)\n.*built tiny in \d+ s", err
    )
    assert list(project.folders()[0].rglob("tiny.*.pyc")), "the packages are byte-compiled"


def test_the_command_gets_its_arguments_its_folder_and_its_exit_status(project: Project) -> None:
    program = "import os, sys; print(sys.argv[1:], os.getcwd()); sys.exit(7)"
    status, out, _ = project.run("tiny", "--", "python", "-c", program, "a b", "--", "*")
    assert (status, out) == (7, f"['a b', '--', '*'] {project.packages}")


def test_the_command_sees_caches_of_its_environment_and_no_foreign_packages(project: Project) -> None:
    names = ["PYTHONPATH", "HF_HUB_OFFLINE", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR"]
    program = f"import os; print(*(os.environ.get(name) for name in {names}))"
    given = {"PYTHONPATH": "/nowhere", "TRITON_CACHE_DIR": "/local"}
    _, out, _ = project.run("tiny", "--", "python", "-c", program, **given)
    caches = project.root / ".cache" / project.folders()[0].name
    assert out == f"None 1 {caches}/torch_extensions /local"


def test_a_built_environment_starts_at_once_and_silently(project: Project) -> None:
    project.run("--build", "tiny")
    times = []
    for _ in range(5):
        start = time.monotonic()
        assert project.run("tiny", "--", "true") == (0, "", "")
        times.append(time.monotonic() - start)
    assert min(times) < 0.2


def test_comments_order_and_further_hashes_build_nothing(project: Project) -> None:
    project.run("--build", "tiny")
    lock = project.requirements.read_text()
    project.requirements.write_text(f"# A comment.\n\n{lock.rstrip()} \\\n    --hash=sha256:{'0' * 64}\n    # via me\n")
    assert project.run("--build", "tiny") == (0, "", "")
    assert len(project.folders()) == 1


def test_a_changed_version_builds_another_environment_and_keeps_the_first(project: Project) -> None:
    project.run("--build", "tiny")
    first = project.folders()
    project.lock("1.1")
    _, out, _ = project.run("tiny", "--", "python", "-c", SHOW)
    (second,) = set(project.folders()) - set(first)
    assert out == f"1.1 {second}"
    project.lock("1.0")
    assert project.run("tiny", "--", "python", "-c", SHOW) == (0, f"1.0 {first[0]}", "")


def test_concurrent_starts_build_once(project: Project) -> None:
    starts = [project.start("tiny", "--", "python", "-c", SHOW) for _ in range(3)]
    ends = [start.communicate(timeout=60) for start in starts]
    assert {out.strip() for out, _ in ends} == {f"1.0 {project.folders()[0]}"}
    assert sum(err.count("building tiny") for _, err in ends) == 1


@pytest.mark.parametrize("kill", [os.killpg, os.kill], ids=["with uv", "without uv"])
def test_a_killed_build_is_never_used_and_built_again(project: Project, kill: Callable[[int, int], None]) -> None:
    project.lock_slow()
    killed = project.start("tiny", "--", "python", "-c", SHOW)
    project.wait_for("started")
    kill(killed.pid, signal.SIGKILL)
    killed.wait()
    (folder,) = project.folders()
    assert not (folder / ".complete").exists()
    (project.root / "go").touch()
    status, out, err = project.run("tiny", "--", "python", "-c", SHOW)
    assert (status, out) == (0, f"2.0 {folder}")
    assert "building tiny" in err


def test_an_unbuildable_environment_says_why_and_can_be_repaired(project: Project) -> None:
    sound = project.requirements.read_text()
    project.requirements.write_text(re.sub("sha256:.*", f"sha256:{'0' * 64}", sound))
    status, out, err = project.run("tiny", "--", "python", "-c", SHOW)
    log = f"{project.folders()[0]}.log"
    assert (status, out) == (1, "")
    assert "Hash mismatch" in err
    assert err.endswith(f"'tiny' could not be built for Python {PYTHON}, the lines above are the end of {log}")
    project.requirements.write_text(sound)
    assert project.run("tiny", "--", "python", "-c", SHOW)[:2] == (0, f"1.0 {project.folders()[0]}")


def test_without_a_minor_version_the_workflows_python_is_taken(project: Project) -> None:
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.99.1\n")
    assert "no working Python 3.99 was found for 'tiny'" in project.run("--build", "tiny")[2]
    assert project.run("--build", f"tiny@{PYTHON}")[0] == 0


def test_a_wheel_of_ones_own_stands_in_for_what_takes_long_to_build(project: Project) -> None:
    project.lock_slow()  # the file `go`, without which its build waits forever, never appears
    own = project.root / "own"
    own.mkdir()
    wheel = write_wheel(own, "2.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    status, out, err = project.run("tiny", "--", "python", "-c", SHOW, LLM_DISSECT_WHEEL=f"{wheel}#sha256={digest}")
    assert (status, out) == (0, f"2.0 {project.folders()[0]}")
    assert f"{wheel} stands in for tiny==2.0" in err
    assert not (project.root / "started").exists()


def test_a_wheel_that_is_not_what_it_is_said_to_be_is_refused(project: Project) -> None:
    wheel = write_wheel(project.root, "2.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for given, says in {
        f"{wheel}": "LLM_DISSECT_WHEEL is '.*', expected <path of a wheel>.whl#sha256=<64 hexadecimal digits>",
        f"{wheel}#sha256={'0' * 64}": f"checksum mismatch: {wheel} does not have the digest 0{{64}}",
        f"{wheel}#sha256={digest}": r"tiny-2.0-py3-none-any.whl cannot stand in for tiny==1.0, which envs/tiny/\S+ has",
    }.items():
        status, _, err = project.run("--build", "tiny", LLM_DISSECT_WHEEL=given)
        assert status == 1
        assert re.fullmatch(f"envs/run: {says}", err.splitlines()[-1]), err
    other = wheel.rename(wheel.with_name("other-1.0-py3-none-any.whl"))
    assert project.run("--build", "tiny", LLM_DISSECT_WHEEL=f"{other}#sha256={digest}")[0] == 0, "another's wheel"


def test_what_an_environment_prepares_reaches_its_build(project: Project) -> None:
    project.lock_slow()
    (project.root / "go").touch()
    prepare = project.requirements.with_name("prepare")
    prepare.write_text(
        f'echo "two minutes ahead" >&2\nexport UV_CACHE_DIR={project.root}/other-cache\nprogress() {{ :; }}\n'
    )
    start = time.monotonic()
    status, _, err = project.run("--build", "tiny")
    assert time.monotonic() - start < 30, "nothing that watches holds the output open"
    assert (status, err.splitlines()[1]) == (0, "two minutes ahead")
    assert (project.root / "other-cache").is_dir()


@pytest.mark.parametrize(
    ("capabilities", "given", "archs", "jobs"),
    [
        ("9.0\n9.0", {}, "90", None),
        ("8.9\n8.6", {}, "80", None),
        ("12.0\n9.0", {"MAX_JOBS": "3"}, "90;120", "3"),
        ("9.0", {"FLASH_ATTN_CUDA_ARCHS": "80"}, "80", None),
        (None, {}, "80;90;100;120", None),
    ],
)
def test_flash_attn_is_compiled_for_the_gpus_that_are_there(
    tmp_path: Path, capabilities: str | None, given: dict[str, str], archs: str, jobs: str | None
) -> None:
    driver = "exit 127" if capabilities is None else f"printf '{capabilities}\n'"
    for name, does in (("nvidia-smi", driver), ("nvcc", "true")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    show = 'echo "${FLASH_ATTN_CUDA_ARCHS-80;90;100;120} $MAX_JOBS $NVCC_THREADS"'
    script = f"set -euo pipefail; . {SOURCE.parent}/train-flash/prepare; {show}"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **given}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    found, chosen, threads = done.stdout.split()
    memory = int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[1]) // 2**20
    assert (found, threads) == (archs, "1")
    assert chosen == jobs or 1 <= int(chosen) <= min(len(os.sched_getaffinity(0)), max(1, memory // 5 + 1))
    minutes = -(-73 * len(archs.split(";")) * 6 // int(chosen))
    assert f"for the architectures {archs} with {chosen} jobs: about {minutes} min" in done.stderr


def test_files_of_flash_attn_that_this_build_compiled_are_counted(tmp_path: Path) -> None:
    """Not those that an earlier build left in uv's cache."""
    prepare, objects = SOURCE.parent / "train-flash/prepare", tmp_path / "sdists-v9/flash-attn/build"
    objects.mkdir(parents=True)
    (objects / "earlier.o").touch()
    os.utime(objects / "earlier.o", (0, 0))
    (tmp_path / "folder.lock").touch()
    for name in ("one.o", "two.o", "two.cu"):
        (objects / name).touch()
        os.utime(objects / name, (2**32, 2**32))
    for name in ("uv", "nvcc"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {tmp_path}\n")
        (tmp_path / name).chmod(0o755)
    script = f"set -euo pipefail; uv={tmp_path}/uv folder={tmp_path}/folder; . {prepare}; progress"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "2 of 73 files of flash-attn are compiled\n"


def test_without_a_compiler_flash_attn_is_no_traceback(project: Project) -> None:
    shutil.copy(SOURCE.parent / "train-flash/prepare", project.requirements.with_name("prepare"))
    if shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists():
        pytest.skip("this machine has nvcc")
    status, _, err = project.run("--build", "tiny")
    assert status == 1
    assert err.splitlines()[-1].startswith("envs/run: train-flash compiles flash-attn, for which nvcc is missing: ")


USAGE = "envs/run: usage: envs/run <name>[@<python>] -- <command>... or envs/run --build <name>[@<python>]"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), USAGE),
        (("tiny",), USAGE),
        (("tiny", "--"), USAGE),
        (("tiny", "python"), USAGE),
        (("--build",), USAGE),
        (("--build", "tiny", "more"), USAGE),
        (("huge", "--", "true"), "envs/run: unknown environment 'huge' (known: tiny)"),
        (("", "--", "true"), USAGE),
        (("../envs/tiny", "--", "true"), "envs/run: unknown environment '../envs/tiny' (known: tiny)"),
        (("tiny@3", "--", "true"), "envs/run: found Python '3', expected a minor version such as 3.12"),
        (
            ("tiny@3.99", "--", "true"),
            "envs/run: no working Python 3.99 was found for 'tiny', install it or put it on PATH",
        ),
    ],
)
def test_bad_calls_end_with_one_sentence(project: Project, arguments: tuple[str, ...], sentence: str) -> None:
    status, out, err = project.run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(sentence)
    assert "\n" not in err
    assert not project.folders()


def test_a_missing_uv_is_one_sentence(project: Project, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "flock", "grep", "mkdir", "sha256sum", "sort", "tr"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    status, _, err = project.run("--build", f"tiny@{PYTHON}", PATH=str(tools))
    assert (status, err) == (1, "envs/run: uv is neither in .venv/bin nor on PATH, 'make envs' installs it")
