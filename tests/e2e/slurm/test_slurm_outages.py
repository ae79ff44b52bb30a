"""What a cluster does to jobs that are in order: preemption, suspension, signals, and a slurmctld that is down."""

import time

import pytest
from slurm_cluster import Cluster
from slurm_site import Run, Site, environment, new_site

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.slurm]

METHODS = ["Naive", "R", "Q", "Z2", "Z3"]
SUSPENDED_S, BUDGET_S, DOWN_S = 25, 22.0, 60
TWELVE_S = {"TINY_STEPS": "20", "TINY_STEP_S": "0.5"}


@pytest.fixture(scope="module")
def preempted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """A run whose two cells are to be preempted, one in each way."""
    site = new_site(tmp_path_factory.mktemp("preempted") / "clone", cluster)
    # Equal specs would be one cell in the store, whose second job waits for the first.
    site.configure(
        ["Naive"], ["low", "cheap"], low=environment(**TWELVE_S), cheap=environment(**TWELVE_S, TINY_PLATFORM="cheap")
    )
    return site, site.start("all")


def preempt(cluster: Cluster, site: Site) -> None:
    """Preempt both cells, once they run."""
    for name, node in (("low", "n11"), ("cheap", "n12")):
        cluster.wait_until(f"the cell on {name} runs", lambda name=name: site.runs(f"/{name}/"))
        cluster.slurm("sbatch", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1")


@pytest.fixture(scope="module")
def hit(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, preempted: tuple[Site, Run]) -> tuple[Site, Run]:
    """A run in which four cells meet something; the fifth one ends while slurmctld is down, beside the preempted."""
    folder = tmp_path_factory.mktemp("hit")
    site = new_site(folder / "clone", cluster)
    site.configure(
        METHODS,
        ["faults"],
        Naive=environment(TINY_UNTIL=str(folder / "down")),
        R={**environment(**TWELVE_S), "sampling": {"budget_s": BUDGET_S}},
        Q=environment(**TWELVE_S),
        Z2=environment(**TWELVE_S),
        Z3={**environment(TINY_PREPARE_S="11"), "sampling": {"budget_s": 10.0}},
    )
    run = site.start("all")
    for method in ("R", "Q", "Z2", "Naive"):
        cluster.wait_until(f"{method} runs", lambda method=method: site.runs(f"/{method}/"))
        if method == "Z2":
            cluster.slurm("scancel", "--full", "--signal=USR1", site.job_of("_Z2_"))
        elif method != "Naive":
            cluster.slurm("scontrol", "suspend", site.job_of(f"_{method}_"))
    resume_at = time.monotonic() + SUSPENDED_S
    cluster.slurm("scontrol", "resume", site.job_of("_Q_"))
    preempt(cluster, preempted[0])
    time.sleep(max(0.0, resume_at - time.monotonic()))
    cluster.slurm("scontrol", "resume", site.job_of("_R_"))
    cluster.wait_until("Z2 is retried", lambda: site.runs("/Z2/", 2))
    for name in ("low", "cheap"):
        cluster.wait_until(f"{name} runs again", lambda name=name: preempted[0].runs(f"/{name}/", 2))
    time.sleep(6)  # Slurm writes down every few seconds what it knows
    cluster.kill_daemon("slurmctld")
    down_at = time.monotonic()
    (folder / "down").touch()
    # Its table needs no other cell: that of a job of which Slurm has no word is built.
    cluster.wait_until("the result ends its job", site.table("table_IV").exists, DOWN_S)
    time.sleep(max(0.0, down_at + DOWN_S - time.monotonic()))
    cluster.start_daemon("slurmctld")
    run.end()
    return site, run


@pytest.mark.usefixtures("hit")
def test_a_preempted_job_is_requeued_or_retried(preempted: tuple[Site, Run]) -> None:
    site, run = preempted
    assert run.end() == 0, run.output
    for name, jobs in (("low", 1), ("cheap", 2)):
        assert (site.result(f"/{name}/").status, site.result(f"/{name}/").attempts) == ("ok", 2)
        assert site.attempts(f"/{name}/") == 2
        logs = (site.folder / "results/logs/slurm").glob(f"*/*_{name}_*/*.log")
        assert len({path.stem for path in logs}) == jobs
    assert "SLURM status is: 'PREEMPTED'" in run.output


def test_a_slurmctld_that_is_down_for_a_minute_costs_no_cell(hit: tuple[Site, Run]) -> None:
    site, run = hit
    assert run.process.returncode == 0, run.output
    assert (site.result("/Naive/").status, site.attempts("/Naive/")) == ("ok", 1)
    assert site.table("table_III").exists()


def test_suspended_time_costs_no_budget_and_is_a_flag(hit: tuple[Site, Run]) -> None:
    site, _ = hit
    for method in ("R", "Q"):
        result = site.result(f"/{method}/")
        assert (result.status, result.attempts) == ("ok", 1)
        assert "suspended" in result.flags
    assert site.result("/R/").durations.total_s > SUSPENDED_S


def test_an_attempt_that_any_signal_ended_counts(hit: tuple[Site, Run]) -> None:
    site, _ = hit
    assert (site.result("/Z2/").status, site.result("/Z2/").attempts) == ("ok", 2)
    assert "suspended" not in site.result("/Z2/").flags


def test_the_budget_starts_after_the_preparation(hit: tuple[Site, Run]) -> None:
    site, _ = hit
    result = site.result("/Z3/")
    assert (result.status, result.attempts) == ("ok", 1)
    assert result.durations.prepare_s > 10
