"""A results folder in which a user cannot work: one sentence each says what would help."""

import ctypes
import errno
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clones import new_clone
from small_disk import small_disk

FLOCK = {"x86_64": 73, "aarch64": 32}
"""Numbers of the system call."""


def plan(folder: Path, prefix: tuple[str, ...] = (), before: Callable[[], None] | None = None) -> tuple[int, list[str]]:
    """Exit status and output of a dry run in a process of its own."""
    command = [*prefix, sys.executable, "-m", "snakemake", "--profile", "profiles/cpu", "-n", "--quiet"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=before, timeout=300
    )
    return done.returncode, done.stdout.splitlines()


def no_flock() -> None:
    """Let the kernel answer flock as on a file system without it, by a seccomp filter on this process."""
    number = FLOCK[platform.machine()]

    class Instruction(ctypes.Structure):
        _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction)))

    load, jump_if_equal, end = 0x20, 0x15, 0x06
    refused, allowed = 0x00050000 | errno.ENOSYS, 0x7FFF0000
    filter_ = (Instruction * 4)(
        Instruction(load, 0, 0, 0), Instruction(jump_if_equal, 0, 1, number),
        Instruction(end, 0, 0, refused), Instruction(end, 0, 0, allowed),
    )  # fmt: skip
    libc = ctypes.CDLL(None, use_errno=True)
    set_no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    libc.prctl(set_no_new_privileges, 1, 0, 0, 0)
    if libc.prctl(set_seccomp, by_filter, ctypes.byref(Program(4, filter_)), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def test_results_of_another_user(tmp_path: Path) -> None:
    clone = new_clone(tmp_path / "clone")
    results = clone.folder / "results"
    results.mkdir()
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root may write everywhere, unless it gives that away
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and root may write everywhere")
        os.chown(results, 65534, 65534)
        results.chmod(0o755)
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
    else:
        results.chmod(0o555)
    code, output = plan(clone.folder, prefix)
    assert code == 1
    (sentence,) = [line for line in output if line.startswith("llm-dissect: ")]
    assert sentence.startswith("llm-dissect: results/.active: user ")
    assert f"may not write it; the folder results belongs to {results.owner()}, group {results.group()}" in sentence
    assert "chmod -R g+rwX results" in sentence
    assert "umask 002" in sentence
    assert not [line for line in output if "Traceback" in line]
    results.chmod(0o777)
    assert plan(clone.folder, prefix)[0] == 0
    if prefix:  # as docs/slurm.md has it: another user wrote what is there, and the group may write it
        for path in (results, *results.rglob("*")):
            os.chown(path, 65534, os.getegid())
            path.chmod(0o2770 if path.is_dir() else 0o660)
        assert plan(clone.folder, prefix)[0] == 0


@pytest.mark.skipif(platform.machine() not in FLOCK, reason="the number of flock is not known on this machine")
def test_a_file_system_without_flock(tmp_path: Path) -> None:
    clone = new_clone(tmp_path / "clone")
    code, output = plan(clone.folder, before=no_flock)
    assert code == 1
    (sentence,) = [line for line in output if line.startswith("llm-dissect: ")]
    assert "results/.active: its file system does not support flock (Function not implemented); link the" in sentence
    assert not [line for line in output if "Traceback" in line]


def test_a_full_disk(tmp_path: Path) -> None:
    clone = new_clone(tmp_path / "clone")
    with small_disk(clone.folder / "results"):
        (clone.folder / "results/filler").write_bytes(bytes(240 * 1024))
        code, output = plan(clone.folder)
    assert code == 1
    (sentence,) = [line for line in output if line.startswith("llm-dissect: ")]
    assert sentence.startswith("llm-dissect: results: No space left on device; ")
    assert not [line for line in output if "Traceback" in line]


def test_a_table_is_written_though_the_disk_of_its_log_is_full(tmp_path: Path) -> None:
    clone, table = new_clone(tmp_path / "clone"), "results/tables/table_prediction.csv"
    with small_disk(clone.folder / "results/logs"):
        (clone.folder / "results/logs/filler").write_bytes(bytes(256 * 1024))
        assert clone.snakemake(table).jobs == ["Write table table_prediction"]
    assert (clone.folder / table).read_text().startswith("stage,")
