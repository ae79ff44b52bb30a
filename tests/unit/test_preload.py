"""What keeps a process from being forked, and which runs may share one."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dissect.machine.nvidia import close_nvml
from dissect.machine.vendor import vendors
from dissect.measure.preload import code_state, imports_of, why_unfit
from factories import (
    ddp_profile_spec,
    fsdp_finetune_spec,
    fsdp_spec,
    hardware,
    inspect_spec,
    megatron_spec,
    operator_spec,
    pretrain_spec,
    profile_spec,
    serve_spec,
)
from forked_ranks import in_fork


def alone() -> str | None:
    """What is wrong with a process that has just been forked, so has one thread and no torch."""
    found: str | None = in_fork(why_unfit)
    return found


def test_a_bare_process_may_be_forked() -> None:
    assert alone() is None


def test_a_process_with_threads_must_not_be_forked() -> None:
    def beside_a_thread() -> str | None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return why_unfit()

    assert str(in_fork(beside_a_thread)).startswith("1 threads run beside the main one: ")


@pytest.mark.parametrize("name", ["cuda00002000009", "jemalloc_bg_thd"])
def test_idle_threads_of_libraries_keep_no_process_from_being_forked(name: str) -> None:
    def beside_the_librarys() -> str | None:
        named = threading.Event()

        def idle() -> None:
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
            named.set()
            threading.Event().wait()

        threading.Thread(target=idle, daemon=True).start()
        named.wait()
        return why_unfit()

    assert in_fork(beside_the_librarys) is None


def test_a_process_that_has_a_gpu_open_must_not_be_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = replace(vendors()["cuda"], device_files=str(tmp_path / "nvidia"))
    monkeypatch.setattr("dissect.measure.preload.vendors", lambda: {"cuda": vendor})
    assert alone() is None
    with (tmp_path / "nvidia0").open("w"):
        assert alone() == f"{tmp_path}/nvidia0 is open"


def test_a_process_that_initialised_cuda_must_not_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)  # there is no torch in this environment
    assert alone() == "CUDA is initialised"


def test_nvml_is_closed_as_often_as_it_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    opened = 2

    def init() -> None:
        nonlocal opened
        opened += 1

    def shutdown() -> None:
        nonlocal opened
        if not opened:
            raise NVMLError
        opened -= 1

    monkeypatch.setitem(
        sys.modules, "pynvml", SimpleNamespace(nvmlInit=init, nvmlShutdown=shutdown, NVMLError=NVMLError)
    )
    close_nvml()
    assert opened == 0


def test_runs_share_a_process_if_they_import_the_same_in_the_same_environment() -> None:
    spec = pretrain_spec(hardware(device="cpu"))
    assert imports_of(spec) == imports_of(pretrain_spec(hardware(device="cpu"), batch=7))
    others = [
        pretrain_spec(hardware()),
        megatron_spec(),
        operator_spec("square"),
        pretrain_spec(hardware(), quantization="nf4"),
        pretrain_spec(hardware(), zero_stage=3),
    ]
    changed = hardware(device="cpu").model_copy(update={"environment": {"OMP_NUM_THREADS": "7"}})
    kinds = {imports_of(each) for each in (spec, *others, pretrain_spec(changed))}
    assert len(kinds) == 7
    assert None not in kinds


def test_runs_of_one_runner_share_no_process_if_they_import_other_libraries() -> None:
    assert imports_of(profile_spec(zero_stage=0)) != imports_of(ddp_profile_spec())  # DeepSpeed
    assert imports_of(fsdp_finetune_spec()) != imports_of(fsdp_spec())  # PEFT


def test_servers_and_cells_of_several_nodes_are_not_forked() -> None:
    assert imports_of(serve_spec()) is None
    assert imports_of(inspect_spec()) is None
    assert imports_of(pretrain_spec(hardware(n_gpus=8).model_copy(update={"n_nodes": 2}))) is None


def test_the_state_of_the_code_changes_with_what_is_installed(tmp_path: Path) -> None:
    before = code_state([str(tmp_path)])
    assert code_state([str(tmp_path)]) == before
    (tmp_path / "library-2.0.dist-info").mkdir()
    installed = code_state([str(tmp_path)])
    assert installed != before
    (tmp_path / "module.py").write_text("a = 1")
    more = code_state([str(tmp_path)])
    assert more != installed
    (tmp_path / "other").mkdir()
    (tmp_path / "other").replace(tmp_path / "library-2.0.dist-info")
    assert code_state([str(tmp_path)]) != more, "the same version, installed again"


def test_byte_code_beside_its_source_is_no_other_code(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    before = code_state([str(tmp_path)])
    for folder in (tmp_path, tmp_path / "library"):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__/module.cpython-311.pyc").touch()
    assert code_state([str(tmp_path)]) == before
