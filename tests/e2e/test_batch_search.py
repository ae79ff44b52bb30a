"""The search for the largest batch of a real model in real memory: wherever it starts, the limit is the same."""

import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Status  # noqa: E402
from dissect.cells.spec import TrainingSpec  # noqa: E402
from dissect.machine.node import look_at_node  # noqa: E402
from dissect.metrics.training import TrainingMetrics  # noqa: E402
from dissect.ranks.measurement import Measurement  # noqa: E402
from dissect.results.result import Durations  # noqa: E402
from dissect.results.store import Store  # noqa: E402
from dissect.stages.training import other_cells  # noqa: E402
from dissect.stages.training.ddp import pretrain as ddp  # noqa: E402
from dissect.stages.training.measure import TrainingCell, measure_training  # noqa: E402
from dissect.stages.training.search import SearchStart  # noqa: E402
from factories import ddp_spec, hardware  # noqa: E402
from forked_ranks import TINY, shortened  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch, pytest.mark.slow]
BUDGET = 900 << 20
"""Bytes beside those of the imports, of which a sequence takes tens of MiB: what allocators keep moves no limit."""


def spec_of_search() -> TrainingSpec:
    on = hardware(n_gpus=1, device="cpu").model_copy(
        update={"device_memory_bytes": BUDGET, "environment": {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}}
    )
    wide = TINY.model_copy(update={"vocab_size": 8_000, "max_position_embeddings": 512})
    spec = shortened(ddp_spec(on, batch=1, seq_len=512, model=wide), "fp32")
    return other_cells.with_batch(spec, "max")


def searched(start: SearchStart, folder: Path) -> Measurement:
    spec = spec_of_search()
    ddp.import_libraries(spec)
    cell = TrainingCell(spec, ddp, folder, time.monotonic() + 600, look_at_node(spec.hardware), "")
    return cell.search(start, Durations())


def metrics_of(measurement: Measurement) -> TrainingMetrics:
    assert measurement.status is Status.OK, measurement.reason
    assert isinstance(measurement.metrics, TrainingMetrics)
    return measurement.metrics


@pytest.fixture(scope="module")
def unpredicted(tmp_path_factory: pytest.TempPathFactory) -> TrainingMetrics:
    """What a cell finds whose predictor fails."""

    def fails(_: TrainingSpec) -> int:
        raise KeyError("a layer that it does not know")

    spec, folder = spec_of_search(), tmp_path_factory.mktemp("unpredicted")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(other_cells, "largest_batch", fails)
        found = measure_training(spec, look_at_node(spec.hardware), Store(folder / "store"), folder / "ranks", "")
    return metrics_of(found)


def test_a_predictor_that_fails_costs_trials_only(unpredicted: TrainingMetrics) -> None:
    assert unpredicted.search_start == "smallest"
    assert unpredicted.trials[0].batch == 1
    assert 4 < unpredicted.batch < 40


def test_a_start_changes_the_trials_and_not_the_limit(unpredicted: TrainingMetrics, tmp_path: Path) -> None:
    right = unpredicted.batch
    batch = max(1, right - 4)
    found = metrics_of(searched(SearchStart(batch, "prediction", range(batch - 1, batch + 2)), tmp_path))
    assert found.search_start == "prediction"
    # Where the kernel maps libraries moves the limit of a CPU's address space by a batch from process to process, which
    # costs up to two trials more.
    assert abs(found.batch - right) <= 1
    outcomes = {trial.batch: trial.status for trial in found.trials}
    assert (outcomes[found.batch], outcomes[found.batch + 1]) == (Status.OK, Status.OOM)
    assert len(found.trials) <= 10
