"""Results of cells, with where they would have been measured."""

from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.cell import Cell
from dissect.cells.spec import InspectSpec, OperatorSpec, ServeSpec, TrainingSpec, canonical_spec
from dissect.metrics.inspection import InspectMetrics
from dissect.metrics.operators import OperatorMetrics
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.results.result import Durations, Gpu, Provenance, Result
from dissect.stages.training.deepspeed.spec import ProfileSpec
from factories.metrics import inspect_metrics, operator_metrics, profile_metrics, serving_metrics, training_metrics
from factories.specs import GIB, Spec, key_of


def gpu(uuid: str = "u") -> Gpu:
    """One GPU as NVML would have read it."""
    return Gpu(
        index=0, name="NVIDIA H200", uuid=uuid, driver="580.1", memory_bytes=1, power_limit_w=700.0, mean_power_w=300.0,
        sm_clock_mhz=1980.0, memory_clock_mhz=3201.0, temperature_c=40.0, throttle_reasons=[],
        links={"1": "NVLink x18"},
    )  # fmt: skip


def provenance(
    gpus: list[Gpu] | str = "no NVML on this machine", measured_at: str = "2026-03-01T12:00:00Z"
) -> Provenance:
    """Where a result of these tests would have been measured."""
    return Provenance(
        measured_at=measured_at, git_commit="0123456789abcdef0123456789abcdef01234567", git_dirty=False, host="node1",
        kernel="6.8.0", cpu_model="Intel(R) Xeon(R) Platinum 8480+", cpu_cores=64, host_memory_bytes=503 * GIB,
        python="3.12.3", versions={"torch": "2.11.0", "deepspeed": "0.19.8"}, environment={"OMP_NUM_THREADS": "1"},
        scheduler_job=None, gpus=gpus, other_processes="none",
    )  # fmt: skip


def _some_metrics(spec: Spec) -> TrainingMetrics | ProfileMetrics | ServingMetrics | InspectMetrics:
    if isinstance(spec, InspectSpec):
        return inspect_metrics()
    if isinstance(spec, ServeSpec):
        return serving_metrics(spec)
    return profile_metrics(spec) if isinstance(spec, ProfileSpec) else training_metrics(spec)


def ok_result(
    spec: Spec,
    metrics: TrainingMetrics | ProfileMetrics | ServingMetrics | InspectMetrics | OperatorMetrics | None = None,
    flags: list[Flag] | None = None,
) -> Result:
    """A cell that was measured."""
    if metrics is None and isinstance(spec, OperatorSpec):
        metrics = operator_metrics(spec)
    if metrics is None:
        metrics = _some_metrics(spec)
    return Result(
        key=key_of(spec), spec=spec, status=Status.OK, metrics=metrics, flags=flags or [],
        durations=Durations(window_s=12.0), provenance=provenance(),
    )  # fmt: skip


def measured_at(result: Result, minute: int) -> Result:
    """The same numbers, measured in this minute of an hour; runs of equal bytes would be one run."""
    assert result.provenance is not None
    update = {"measured_at": f"2026-03-01T12:{minute:02}:00+00:00"}
    return result.model_copy(update={"provenance": result.provenance.model_copy(update=update)})


def cell_of(result: Result) -> Cell:
    """The cell of a pre-training result, as a configuration would name it."""
    batch = result.spec.workload.batch if isinstance(result.spec, TrainingSpec) else 1
    return Cell(
        stage="pretrain", platform="h200", model="llama2-7b", framework="deepspeed", method="Naive",
        workload=f"s350-b{batch}-n4", n_gpus=4, seq_len=350, batch=batch, launcher="", key=result.key,
        canonical=canonical_spec(result.spec),
    )  # fmt: skip


def ended_result(spec: Spec, status: Status, phase: Phase | None, reason: str) -> Result:
    """A cell that ended without numbers."""
    launched = status is not Status.SKIPPED_OOM
    return Result(
        key=key_of(spec), spec=spec, status=status, phase=phase, reason=reason,
        provenance=provenance() if launched else None,
    )  # fmt: skip
