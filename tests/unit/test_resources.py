"""What a batch system is asked for, per platform and cell."""

import json
from pathlib import Path
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as executor

from dissect.cells.cell import Cell
from dissect.cells.packs import pack_platforms, pack_request
from dissect.cells.preflight import refuse_what_cannot_run, sbatch_options
from dissect.cells.resources import NAMES, Request, resources_of, share_of_cores
from dissect.cells.slurm_cluster_choice import use_one_cluster
from dissect.cells.study import Study, load_study
from dissect.config.errors import ConfigError
from goldens import check_golden


def study(project: Path, **options: Any) -> Study:
    return load_study(project, options)


def request_of(study: Study, cell_id: str) -> Request:
    cell = next(cell for cell in study.by_path.values() if cell.id == cell_id)
    return resources_of(cell, study.catalog.platforms[cell.platform])


def schedule(project: Path, platform: str, text: str) -> None:
    path = project / f"config/platforms/{platform}.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("scheduler:")]
    path.write_text("\n".join([*lines, f"scheduler: {text}", ""]))


Z2 = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"
EVERYTHING = (
    "{cluster: big, partition: gpu, account: lab, qos: high, constraint: nvlink, exclusive: true, cpus: 8,"
    " memory_gib: 64, gpus: true, gpu_model: tiny, margin_s: 60, pack_h: 1.5,"
    " options: [--reservation=lab, '--exclude=n[1-3]'], pod_image: 'i:1', pod_spec: {hostIPC: true}}"
)


def test_requests_of_the_shipped_platforms(project: Path) -> None:
    every = study(project, platforms=["cpu", "a800", "rtx4090", "rtx3090", "h200-x4"], models=["llama2-7b"])
    shown = [cell for cell in every.by_path.values() if cell.method in ("-", "Naive")]
    requests = {cell.id: dict(resources_of(cell, every.catalog.platforms[cell.platform])) for cell in shown}
    check_golden("requests.json", json.dumps(requests, indent=1, sort_keys=True) + "\n")


def test_every_field_of_the_section_is_asked_for(project: Path) -> None:
    schedule(project, "cpu", EVERYTHING)
    request = request_of(study(project), Z2)
    assert dict(request) == {
        "clusters": "big", "slurm_partition": "gpu", "slurm_account": "lab", "qos": "high",
        "constraint": "nvlink", "slurm_extra": "--exclusive --reservation=lab '--exclude=n[1-3]'", "runtime": 6,
        "mem_mb": 65536, "cpus_per_task": 8, "gpu": 2, "gpu_model": "tiny", "nodes": 1, "gres": None, "tasks": None,
        "tasks_per_gpu": None, "mpi": None, "pod_image": "i:1", "pod_spec": '{"hostIPC": true}',
    }  # fmt: skip
    assert set(request) == set(NAMES)
    assert sbatch_options(request) == (
        "--clusters=big", "--partition=gpu", "--account=lab", "--qos=high", "--constraint=nvlink", "--time=6",
        "--mem=65536", "--nodes=1", "--cpus-per-task=8", "--gpus=tiny:2", "--exclusive", "--reservation=lab",
        "--exclude=n[1-3]",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "section", "extra"),
    [
        ("a800", "{partition: gpu}", "--exclusive"),
        ("a800", "{exclusive: false}", None),
        ("cpu", "{gpus: true}", None),
        ("cpu", "{exclusive: true, options: [--switches=1]}", "--exclusive --switches=1"),
    ],
)
def test_nodes_with_gpus_are_exclusive_unless_they_are_shared(
    project: Path, platform: str, section: str, extra: str | None
) -> None:
    schedule(project, platform, section)
    found = study(project, platforms=[platform], select=f"pretrain/{platform}/*/*/Naive/*")
    assert resources_of(found.selected[0], found.catalog.platforms[platform])["slurm_extra"] == extra


def test_a_run_uses_one_cluster() -> None:
    use_one_cluster([{"clusters": None}, {"clusters": None}])
    with pytest.raises(SystemExit, match=r"several Slurm clusters \(far, that of this host\)"):
        use_one_cluster([{"clusters": None}, {"clusters": "far"}])


def test_the_executor_still_asks_the_own_cluster_alone() -> None:
    query = executor.query_job_status_squeue("run")
    assert "--clusters" not in query, "it no longer does: slurm_cluster_choice need not change its query"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--partition=gpu", "'--partition' is set by 'partition'"),
        ("--part=gpu", "'--part' is set by 'partition'"),
        ("--mem=9G", "'--mem' is set by 'memory_gib'"),
        ("--time=9", "'--time' is set by 'margin_s' and the 'budget_s' of a cell"),
        ("--clusters=big", "'--clusters' is set by 'cluster'"),
        ("--no-requeue", "'--no-requeue' is set by the keys 'slurm-requeue' and 'slurm-no-requeue' of the profile"),
        ("--export=NONE", "'--export' is set by the pipeline"),
        ("-w node7", "scheduler.options"),
        ("--nodelist node7", "scheduler.options"),
    ],
)
def test_options_that_the_pipeline_sets_are_refused(project: Path, option: str, says: str) -> None:
    schedule(project, "cpu", f"{{options: ['{option}']}}")
    with pytest.raises(ConfigError, match=r"config/platforms/cpu\.yaml") as raised:
        study(project)
    assert says in str(raised.value)


def test_several_nodes_get_a_task_each_and_gpus_per_node(project: Path) -> None:
    schedule(project, "cpu", EVERYTHING)
    platform = project / "config/platforms/cpu.yaml"
    platform.write_text(platform.read_text().replace("gpus_per_node: 2", "gpus_per_node: 1\nnodes: 2"))
    found = study(project, select="*/cpu/*/*/*/*")
    asked = {"gpu": None, "gpu_model": None, "gres": "gpu:tiny:1", "nodes": 2, "tasks": 2, "tasks_per_gpu": 0}
    assert asked.items() <= request_of(found, Z2).items()
    assert asked.items() <= pack_request(found, "cpu").items()
    assert sbatch_options(request_of(found, Z2))[-7:-3] == (
        "--nodes=2", "--ntasks=2", "--gres=gpu:tiny:1", "--cpus-per-task=8",
    )  # fmt: skip
    inspection = request_of(found, "inspect/cpu/-/system/-/n2")
    assert (inspection["nodes"], inspection["gpu"], inspection["mpi"]) == (1, 1, None), "it looks at one node"


def test_time_follows_the_budget_and_memory_the_declared(project: Path) -> None:
    schedule(project, "cpu", "{margin_s: 60}")
    config = project / "config/config.yaml"
    config.write_text(
        config.read_text().replace("overrides: {}", f"overrides: {{'{Z2}': {{sampling: {{budget_s: 1}}}}}}")
    )
    short = request_of(study(project), Z2)
    other = request_of(study(project), Z2.replace("/Z2/", "/Q/"))
    assert (short["runtime"], other["runtime"]) == (2, 6), "minutes, rounded up"
    assert short["mem_mb"] == 5202, "4 GiB that the spec declares, and some for Snakemake"


@pytest.mark.parametrize(("longest_s", "minutes"), [(1.0, 11), (120.0, 13), (1e4, 15), (None, 15)])
def test_a_prediction_shortens_the_time_and_nothing_else(longest_s: float | None, minutes: int, project: Path) -> None:
    found = study(project)
    cell = next(cell for cell in found.by_path.values() if cell.id == Z2)
    asked = resources_of(cell, found.catalog.platforms["cpu"], longest_s)
    assert asked == request_of(found, Z2) | {"runtime": minutes}


def test_a_platform_without_wishes_asks_for_little(project: Path) -> None:
    request = request_of(study(project), Z2)
    assert {name for name in NAMES if request[name] is not None} == {"runtime", "mem_mb", "cpus_per_task", "nodes"}
    assert request["cpus_per_task"] == -1, "left to the cluster"


def test_nothing_of_it_is_in_a_key(project: Path) -> None:
    before = {cell.id: cell.key for cell in study(project).by_path.values()}
    schedule(project, "cpu", EVERYTHING)
    assert {cell.id: cell.key for cell in study(project).by_path.values()} == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{memory_gib: 4}", "'scheduler.memory_gib' is 4, expected more than 'host.memory_gib' (4)"),
        ("{gpu_model: 'a:8'}", "scheduler.gpu_model"),
        ("{partitions: gpu}", "did you mean 'partition'?"),
        ("{pack_h: 0}", "scheduler.pack_h"),
    ],
)
def test_a_bad_section_is_one_sentence(project: Path, text: str, says: str) -> None:
    schedule(project, "cpu", text)
    with pytest.raises(ConfigError, match=r"config/platforms/cpu\.yaml") as caught:
        study(project)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pack_asks_for_the_most_that_a_cell_needs(project: Path) -> None:
    schedule(project, "cpu", EVERYTHING)
    found = study(project, select="pretrain/*/*/*/*/*")
    assert pack_platforms(found) == ["cpu", "cpu-x8"], "one extends the other, the rest set no pack_h"
    request = pack_request(found, "cpu")
    assert (request["runtime"], request["gpu"], request["slurm_partition"]) == (90, 2, "gpu")


def test_a_job_has_time_for_all_runs(project: Path) -> None:
    one, five = (request_of(study(project, runs=runs), Z2)["runtime"] for runs in (1, 5))
    budget_min, margin_min = 5, 10
    assert (one, five) == (budget_min + margin_min, 5 * budget_min + margin_min)


@pytest.mark.parametrize(
    ("gpu", "shared", "cores"),
    [(None, None, 16), (2, None, 16), (None, 4, 16), (1, 4, 4), (2, 4, 8), (4, 4, 16), (8, 4, 16), (1, 64, 1)],
)
def test_cells_run_side_by_side_only_where_gpus_are_shared_out(gpu: int | None, shared: int | None, cores: int) -> None:
    of = {stage: Cell(stage, "h200", "m", "f", "-", "w", 1, None, None, "python") for stage in ("pretrain", "serve")}
    assert share_of_cores(of["pretrain"], {"gpu": gpu}, 16, shared) == cores
    assert share_of_cores(of["serve"], {"gpu": gpu}, 16, shared) == 16, "a server has the host alone"


@pytest.mark.parametrize(("account", "command"), [(None, "sbatch"), ("lab", "sacctmgr")])
def test_a_host_without_slurm_is_one_sentence(
    account: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=f"llm-dissect: {command}: command not found; .*login node"):
        refuse_what_cannot_run([{"slurm_account": account, "runtime": 1}])
