"""What measured cells say of the times of others: operators, what a launch costs, and power limits."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import geometric_mean, median

from dissect.cells.manifest import PlatformFacts
from dissect.cells.spec import OperatorSpec, TrainingSpec
from dissect.metrics.operators import CollectiveMetrics, GemmMetrics, MemcpyMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.predict.curves import Datasheet, MeasuredOperator
from dissect.predict.host_cost import MeasuredStep, host_cost
from dissect.predict.step_time import Pace, TimePrediction
from dissect.present.tables.columns import Record, gpus_of
from dissect.present.tables.prediction_groups import training_numbers
from dissect.results.result import Result


class MeasuredPace:
    """Predictions from the records of measured cells."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._pace = Pace(list(operators_of(records)))
        self._from_datasheets = Pace([])
        self.steps = list(self._steps(records))
        """What a launch costs in each training cell on each machine, where launches limit it."""
        self.limits_w = power_limits(records)
        """GPU model -> power limit in watts."""
        self._machines = _newest_machines(records)

    def predict(
        self,
        spec: TrainingSpec,
        batch: int,
        facts: PlatformFacts,
        machine: frozenset[str],
        steps: Sequence[MeasuredStep] | None = None,
    ) -> TimePrediction | None:
        """The predicted time on a machine, corrected by ``steps`` or all there are; None without a prediction."""
        host = host_cost(self.steps if steps is None else steps, spec.hardware.gpu_model, machine)
        return self._pace.predict(spec, batch, datasheet_of(facts), host)

    def predict_on_unknown(self, spec: TrainingSpec, batch: int, facts: PlatformFacts) -> TimePrediction | None:
        """The same where nothing was ever measured with that GPU: from its datasheet."""
        return self._from_datasheets.predict(spec, batch, datasheet_of(facts), host_cost([], "", frozenset()))

    def machine_of_platform(self, platform: str) -> frozenset[str]:
        """The GPUs on which a cell of a platform was measured last; empty if none was."""
        return self._machines.get(platform, frozenset())

    def _steps(self, records: Iterable[Record]) -> Iterator[MeasuredStep]:
        for record in records:
            by_machine: dict[frozenset[str], list[TrainingMetrics]] = {}
            for run, metrics in training_runs(record):
                by_machine.setdefault(machine_of(run), []).append(metrics)
            for machine, found in by_machine.items():
                spec, step = record.spec, typical_step_s(found)
                if isinstance(spec, TrainingSpec) and machine:
                    sheet = datasheet_of(record.platform)
                    if shown := self._pace.measured_step(record.cell.id, spec, found[0].batch, sheet, step, machine):
                        yield shown


def machine_of(run: Result) -> frozenset[str]:
    """Identifiers of the GPUs that ran it."""
    return frozenset(gpu.uuid for gpu in gpus_of(run))


def training_runs(record: Record) -> Iterator[tuple[Result, TrainingMetrics]]:
    """The runs of a training cell that have numbers, with these."""
    for run in record.results:
        if (metrics := training_numbers(run.metrics)) is not None:
            yield run, metrics


def typical_step_s(found: Iterable[TrainingMetrics]) -> float:
    """Geometric mean of the runs' median step times in seconds."""
    return geometric_mean(metrics.step_time_s.median for metrics in found)


def datasheet_of(facts: PlatformFacts) -> Datasheet:
    """Peaks of a platform's GPU, as it declares them."""
    return Datasheet(dict(facts.peak_flops), facts.memory_bytes_per_s, facts.link_bytes_per_s)


def operators_of(records: Iterable[Record]) -> Iterator[MeasuredOperator]:
    """Numbers of the operator cells, of each the newest run."""
    for record in records:
        for run in record.results[-1:]:
            spec, metrics = record.spec, run.metrics
            if isinstance(spec, OperatorSpec) and isinstance(metrics, GemmMetrics | MemcpyMetrics | CollectiveMetrics):
                yield MeasuredOperator(spec, metrics)


def power_limits(records: Iterable[Record]) -> dict[str, float]:
    """GPU model -> median power limit in watts, of those that results have."""
    found: dict[str, list[float]] = {}
    for gpu in (gpu for record in records for run in record.results for gpu in gpus_of(run)):
        if gpu.power_limit_w:
            found.setdefault(gpu.name, []).append(gpu.power_limit_w)
    return {model: median(limits) for model, limits in found.items()}


def _newest_machines(records: Iterable[Record]) -> dict[str, frozenset[str]]:
    """Platform -> machine of its newest run."""
    runs = ((record.cell.platform, run) for record in records for run in record.results)
    dated = [(run.provenance.measured_at, platform, machine_of(run)) for platform, run in runs if run.provenance]
    return {platform: machine for _, platform, machine in sorted(dated, key=lambda each: each[0]) if machine}
