"""Predicted memory of servers against that of the shipped ones."""

from pathlib import Path
from statistics import median

from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import ServingMetrics
from dissect.predict.server_memory import predict_server_memory
from dissect.results.cell_runs import read_runs
from factories import hardware, serve_spec
from page_tables import PREDICTION


def test_shipped_servers_take_the_predicted_memory() -> None:
    errors, covered = [], []
    for path in (Path(__file__).parents[2] / "config/references").glob("*/serve/**/*.json"):
        runs = read_runs(path)
        assert isinstance(runs.spec, ServeSpec)
        found = predict_server_memory(runs.spec)
        told = [run.metrics for run in runs.runs if isinstance(run.metrics, ServingMetrics)]
        if found is None or not told:
            continue
        measured = median(each.server_memory_bytes or 0 for each in told)
        peak, low, high = found
        errors.append(abs(peak / measured - 1))
        covered.append(low <= measured <= high)
    page = " ".join(PREDICTION.read_text(encoding="utf-8").split())
    said = f"median error of {100 * median(errors):.1f} % and a largest of {100 * max(errors):.1f} %"
    assert said in page
    assert f"{sum(covered)} of {len(covered)} are in the interval" in page
    assert median(errors) < 0.02


def test_memory_of_servers_is_not_predicted_where_their_cache_is_not() -> None:
    spec = serve_spec(engine="vllm", on=hardware(n_gpus=1))
    one = predict_server_memory(spec)
    assert one is not None
    assert one[1] < one[0] < one[2]
    assert predict_server_memory(serve_spec(engine="transformers")) is None
    assert predict_server_memory(serve_spec(engine="vllm", on=hardware(device="cpu"))) is None
