"""Predicted servers: admission, waves and preemption worked out by hand, and every shipped serving cell."""

from itertools import product
from math import ceil
from statistics import geometric_mean
from typing import Any

import pandas as pd
import pytest

from dissect.base.units import GIB
from dissect.cells.engines import Batching, engine_facts
from dissect.cells.spec import ServeSpec, ServeWorkload
from dissect.config.arrival import Arrival, RateSearch
from dissect.metrics.serving import ServingMetrics
from dissect.predict.curves import LEAST_S, MEASURED, OF_BANDWIDTH, OF_PEAK, Curves, Datasheet, MeasuredOperator
from dissect.predict.gpu_power import IDLE
from dissect.predict.repetition import load_identity
from dissect.predict.server_queue import Served, ServerQueue, send_times
from dissect.predict.server_rate import kept_share, predict_rate
from dissect.predict.server_step import PAGED, StepLoad, StepPace
from dissect.predict.server_times import (
    OFF_BURST,
    OFF_LATENCY,
    STEP_S,
    LatencyName,
    MeasuredBurst,
    ServerPrediction,
    StepCost,
    cache_tokens,
    predict_server,
    shown_step_s,
    step_cost,
    why_unpredicted,
)
from dissect.present.tables.columns import Record
from dissect.present.tables.predicted_latency import predicted_latency
from dissect.present.tables.predicted_serving import compare_serving
from dissect.statistics.quantiles import quantile
from factories import hardware, operator_metrics, operator_spec, serve_spec
from page_tables import PREDICTION
from yaml_models import architecture

SHEET = Datasheet({"bf16": 1e15}, 4e12, 9e11)
FREE = StepCost(0.0, "nothing")
ONE = hardware(n_gpus=1)


def predicted(**changes: Any) -> ServerPrediction:
    """That of a load on one GPU, whose steps take nothing beside their kernels."""
    found = predict_server(serve_spec(ONE, **changes), [], SHEET, FREE)
    assert found is not None
    return found


def rules(**changes: Any) -> Batching:
    """An engine with room for everything, whose prompts have steps of their own."""
    told: dict[str, Any] = {
        "max_sequences": 100, "prefill_tokens": 100, "memory_share": 0.9, "beside_bytes": 0.0,
        "beside_off": 0.0, "mixes": False, "reserves": True,
    }  # fmt: skip
    return Batching(**told | changes)


def served(how: Batching, cache: int = 10_000, seconds: Any = lambda _: 1.0, **load: Any) -> Served:
    """Requests of 10 tokens with answers of 5."""
    given = {"requests": 4, "input_tokens": 10, "output_tokens": 5} | load
    return ServerQueue(ServeWorkload.model_validate(given), how, cache, seconds).serve()


def test_all_prompts_then_all_answers_where_everything_fits() -> None:
    found = served(rules())
    assert (found.duration_s, found.steps) == (5, 5), "the step of the prompts makes the first token of each"
    assert {answer.first_s for answer in found.answers} == {1}
    assert {answer.tokens for answer in found.answers} == {5}


def test_a_limit_of_admission_makes_waves() -> None:
    found = served(rules(max_sequences=2))
    assert [answer.end_s for answer in found.answers] == [5, 5, 10, 10]
    assert served(rules(max_sequences=3)).duration_s == 10


def test_a_cache_that_is_too_small_makes_waves() -> None:
    assert served(rules(), cache=2 * 15).duration_s == 10
    assert served(rules(), cache=4 * 15 - 1).duration_s == 10
    assert served(rules(), cache=4 * 15).duration_s == 5


def test_long_prompts_are_split_into_steps() -> None:
    loads: list[StepLoad] = []

    def seconds(load: StepLoad) -> float:
        loads.append(load)
        return 1.0

    found = served(rules(prefill_tokens=16), seconds=seconds)
    assert [load.prompt_tokens for load in loads if load.prompt_tokens] == [16, 16, 8]
    assert [answer.first_s for answer in found.answers] == [1, 2, 2, 3]
    assert found.duration_s == 3 + 4, "answers wait for the prompts of others"


def test_an_engine_that_mixes_answers_while_it_takes_prompts() -> None:
    found = served(rules(mixes=True, prefill_tokens=16))
    # 16 tokens of prompts; 15 and one answer; the last 9 and three answers
    assert [answer.first_s for answer in found.answers] == [1, 2, 2, 3]
    assert [answer.end_s for answer in found.answers] == [5, 6, 6, 7]


def test_answers_that_outgrow_the_cache_preempt_the_latest() -> None:
    found = served(rules(mixes=True, reserves=False), cache=26, requests=2)
    # Both take 11 of 26 tokens, 13 after two more steps; then the second gives up its room until the first has left,
    # and computes its prompt and three answered tokens again.
    assert found.preemptions == 1
    assert [answer.end_s for answer in found.answers] == [5, 7]
    assert served(rules(mixes=True, reserves=False), cache=30, requests=2).preemptions == 0


def test_the_context_grows_with_the_answers() -> None:
    found = served(rules(), seconds=lambda load: float(load.context))
    # 4 requests with 11 to 14 tokens; the step of the prompts reads nothing
    assert found.duration_s == 4 * (11 + 12 + 13 + 14)


def test_requests_that_arrive_one_by_one_do_not_wait() -> None:
    slow = served(rules(), arrival=Arrival(kind="constant", rate=0.1))
    assert [answer.end_s - answer.sent_s for answer in slow.answers] == pytest.approx([5, 5, 5, 5])
    assert slow.duration_s == pytest.approx(35)
    fast = served(rules(max_sequences=1), arrival=Arrival(kind="constant", rate=1))
    assert [answer.first_s - answer.sent_s for answer in fast.answers] == pytest.approx([1, 5, 9, 13])


def test_a_poisson_process_has_the_mean_that_was_asked_for() -> None:
    sent = send_times(ServeWorkload(requests=4000, arrival=Arrival(kind="poisson", rate=8)))
    assert sent[-1] == pytest.approx(500, rel=0.05)
    assert sent == sorted(sent)
    assert len(sent) == 4000


def test_a_step_reads_the_weights_or_computes_whichever_is_longer() -> None:
    spec = serve_spec(ONE, model=architecture("llama2-7b"))
    pace = StepPace(spec, Curves([], SHEET, ONE, "bf16"))
    weights = 2 * (32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096)
    kernels = 32 * 9 + 1
    by_bytes = weights / (OF_BANDWIDTH * 4e12) + kernels * LEAST_S
    assert pace.seconds(StepLoad(0, 1, 0)) == pytest.approx(by_bytes, rel=0.01)
    context = 1000 * 2**19 / (PAGED * OF_BANDWIDTH * 4e12) + 32 * LEAST_S
    assert pace.seconds(StepLoad(0, 1, 1000)) - pace.seconds(StepLoad(0, 1, 0)) == pytest.approx(context, rel=1e-3)
    by_flops = 8192 * (weights - 2 * 32000 * 4096) / (OF_PEAK * 1e15)
    assert pace.seconds(StepLoad(8192, 0, 0)) == pytest.approx(by_flops, rel=0.15)
    two = hardware(n_gpus=2)
    halved = StepPace(serve_spec(two), Curves([], SHEET, two, "bf16"))
    assert 0.5 < halved.seconds(StepLoad(8192, 0, 0)) / pace.seconds(StepLoad(8192, 0, 0)) < 0.8, "sums cost something"


def test_the_cache_is_what_share_weights_and_engine_leave() -> None:
    spec = serve_spec(ONE, engine="lightllm", aligned=False)
    told = engine_facts("lightllm").batching
    assert told is not None
    kept = told(spec)
    room = 0.8 * 140 * GIB - 2 * 6_738_415_616 - kept.beside_bytes
    tokens, low, high = cache_tokens(spec)
    assert tokens == int(room / 2**19)
    assert low < tokens < high
    asked = serve_spec(ONE, engine="lightllm")
    assert len(set(cache_tokens(asked))) == 1, "aligned terms ask for it"
    for device_memory_bytes in (14 * GIB, 2 * 6_738_415_616 + GIB):
        small = ONE.model_copy(update={"device_memory_bytes": device_memory_bytes})
        assert cache_tokens(serve_spec(small)) == (0, 0, 0), "what is asked for leaves no room"


def test_defaults_of_engines_depend_on_the_card() -> None:
    told = engine_facts("vllm").batching
    assert told is not None
    small = ONE.model_copy(update={"device_memory_bytes": 24 * GIB, "gpu_model": "NVIDIA GeForce RTX 4090"})
    large, little = (told(serve_spec(on, aligned=False)) for on in (ONE, small))
    assert (large.max_sequences, large.prefill_tokens) == (1024, 8192)
    assert (little.max_sequences, little.prefill_tokens) == (256, 2048)
    limited = serve_spec(engine="tgi")
    tgi = engine_facts("tgi").batching
    assert tgi is not None
    assert tgi(serve_spec(engine="tgi", aligned=False)).mixes
    assert not tgi(limited).mixes, "a limit of admission turns chunks off"


@pytest.mark.parametrize("engine", ["vllm", "lightllm", "sglang", "tgi"])
def test_a_datasheet_gives_a_burst(engine: str) -> None:
    found = predicted(engine=engine, aligned=False)
    assert found.origin == "datasheet"
    assert found.low_s < found.duration_s < found.high_s
    assert found.tokens_per_s == pytest.approx(40 * 128 / found.duration_s)
    ttft, tpot, latency = (predicted_latency(found, name, 0.99) for name in OFF_LATENCY)
    assert ttft
    assert tpot
    assert latency
    assert 0 < ttft.value < latency.value <= found.duration_s
    assert 0 < tpot.value * 127 < found.duration_s
    assert latency.high
    assert latency.high / latency.value - 1 == pytest.approx(OFF_BURST["datasheet"])


def test_waiting_grows_faster_than_steps_where_requests_arrive_over_time() -> None:
    burst = predicted(requests=200)
    near_capacity = Arrival(kind="constant", rate=200 / burst.duration_s)
    found = predicted(requests=200, arrival=near_capacity)
    ttft = predicted_latency(found, "ttft", 0.99)
    assert ttft
    assert ttft.low
    assert ttft.high
    assert ttft.high / ttft.value > 2 * (1 + OFF_BURST["datasheet"])
    assert ttft.low < ttft.value


def test_a_gpu_draws_its_limit_while_kernels_run_and_little_while_it_waits() -> None:
    burst = serve_spec(ONE, requests=100)
    slow = serve_spec(ONE, requests=100, arrival=Arrival(kind="constant", rate=0.01))
    free, waits, idle = (
        predict_server(spec, [], SHEET, cost)
        for spec, cost in ((burst, FREE), (burst, StepCost(10.0, "host")), (slow, FREE))
    )
    assert free
    assert waits
    assert idle
    middle, low, high = free.energy_j(700)
    assert middle == pytest.approx(700 * free.duration_s)
    assert low < (1 - free.off) * middle
    assert high > (1 + free.off) * middle
    for each in (waits, idle):
        assert each.energy_j(700)[0] == pytest.approx(700 * IDLE * each.duration_s, rel=0.05)


def test_the_rate_that_holds_is_the_largest_that_the_search_would_find() -> None:
    search = RateSearch(lowest=1, highest=64, within=0.1, probe_s=10)
    spec = serve_spec(ONE, requests=50, stream=True, arrival=Arrival(kind="poisson", search=search))

    spans = list[float]()

    def predict(each: ServeSpec) -> ServerPrediction | None:
        spans.append(send_times(each.workload)[-1])
        return predict_server(each, [], SHEET, FREE)

    def share(rate: float) -> float:
        at = {"arrival": Arrival(kind="poisson", rate=rate), "requests": max(50, ceil(10 * rate))}
        found = predict(spec.model_copy(update={"workload": spec.workload.model_copy(update=at)}))
        assert found
        return kept_share(found.served, search)

    found = predict_rate(spec, predict)
    assert found
    assert 9.7 < min(spans[1:]) <= max(spans[1:]) <= 10, "requests arrive at the rate, whatever the seed draws"
    assert search.lowest < found.low < found.rate < found.high <= search.highest
    assert share(found.rate) >= search.share > share(found.rate * (1 + search.within))
    assert "datasheet" in found.sources
    assert predict_rate(serve_spec(ONE), predict) is None, "a burst has no rate"
    hopeless = search.model_copy(update={"ttft_s": 1e-9})
    load = spec.workload.model_copy(update={"arrival": Arrival(kind="poisson", search=hopeless)})
    none = predict_rate(spec.model_copy(update={"workload": load}), predict)
    assert none
    assert (none.rate, none.low, none.high) == (search.lowest,) * 3


def test_answers_of_one_token_have_no_time_per_token() -> None:
    found = predicted(output_tokens=1)
    assert predicted_latency(found, "tpot", 0.5) is None
    assert predicted_latency(found, "ttft", 0.5)


def test_what_cannot_be_predicted_is_not() -> None:
    search = Arrival(kind="poisson", search=RateSearch())
    small = ONE.model_copy(update={"device_memory_bytes": 14 * GIB})
    reasons = {
        "engines on a CPU are not modelled": serve_spec(hardware(device="cpu", n_gpus=1)),
        "its steps wait for their host": serve_spec(ONE, engine="transformers"),
        "a search for a rate has no load of its own": serve_spec(ONE, arrival=search),
    }
    for reason, spec in reasons.items():
        assert predict_server(spec, [], SHEET, FREE) is None
        assert reason in (why_unpredicted(spec) or "")
    assert predict_server(serve_spec(small, aligned=False), [], SHEET, FREE) is None, "not one request fits"
    assert predict_server(serve_spec(ONE), [], Datasheet({}, None, None), FREE) is None


def test_a_burst_shows_what_a_step_costs() -> None:
    spec = serve_spec(ONE)
    bare = predict_server(spec, [], SHEET, FREE)
    paid = predict_server(spec, [], SHEET, StepCost(2e-3, "measured"))
    assert bare is not None
    assert paid is not None
    assert shown_step_s(bare, paid.duration_s) == pytest.approx(2e-3)
    assert shown_step_s(bare, bare.duration_s / 2) == 0, "kernels were faster than predicted"
    over_time = predicted(arrival=Arrival(kind="poisson", rate=4))
    assert shown_step_s(over_time, 100.0) is None


def test_a_step_costs_what_bursts_of_the_same_engine_show() -> None:
    def burst(cell: str, engine: str, cost: float, gpu: str = "NVIDIA H200") -> MeasuredBurst:
        return MeasuredBurst(cell, cell, gpu, engine, cost)

    known = [burst("a", "vllm", 1e-3), burst("b", "vllm", 3e-3), burst("c", "tgi", 9e-3), burst("d", "vllm", 1, "A800")]
    for asked, expected in (
        (("NVIDIA H200", "vllm"), (2e-3, ("a", "b"), True)),
        (("NVIDIA H100", "tgi"), (9e-3, ("c",), False)),
        (("NVIDIA H200", "sglang"), (3e-3, ("a", "b", "c"), False)),
    ):
        found = step_cost(known, *asked)
        assert (found.seconds, found.cells, found.is_own) == expected
    assert step_cost(known, "NVIDIA H100", "sglang").seconds == STEP_S


def test_the_interval_is_narrow_only_for_an_engine_that_was_measured_on_that_gpu() -> None:
    shown = (("layers", (64, 128)), ("square", (64, 128)), ("device_to_device", (1000, 2000)))
    specs = [operator_spec(operator, ONE, sizes) for operator, sizes in shown]
    found = [MeasuredOperator(spec, operator_metrics(spec, (1e-4, 2e-4))) for spec in specs]
    own, other = (
        predict_server(serve_spec(ONE), found, SHEET, StepCost(1e-3, "", is_own=own)) for own in (True, False)
    )
    assert own is not None
    assert other is not None
    assert own.origin == other.origin == MEASURED
    assert own.high_s / own.duration_s - 1 == pytest.approx(OFF_BURST[MEASURED])
    assert other.high_s / other.duration_s - 1 == pytest.approx(OFF_BURST["datasheet"])


def test_repetitions_of_a_load_have_one_identity() -> None:
    first = load_identity(serve_spec(ONE))
    assert load_identity(serve_spec(ONE, calibrate=True)) == load_identity(serve_spec(ONE, bursts=3)) == first
    assert load_identity(serve_spec(ONE, requests=41)) != first
    assert load_identity(serve_spec(ONE.model_copy(update={"host_memory_bytes": GIB}))) == first
    assert load_identity(serve_spec(ONE, aligned=False)) != first


def test_shipped_serving_cells(shipped_predictions: pd.DataFrame) -> None:
    served_cells = shipped_predictions[shipped_predictions["stage"] == "serve"]
    known = served_cells[served_cells["serving_origin"] == MEASURED]
    assert len(known) >= 11
    assert set(known["framework"]) >= {"vllm", "lightllm"}
    assert known["cache_error"].abs().median() < 0.01
    assert known["cache_covered"].dropna().astype(bool).mean() >= 0.9
    errors = known["burst_error"].abs()
    assert errors.median() < 0.03
    assert (errors < 0.1).mean() >= 0.9
    for name in ("burst", "ttft", "tpot"):
        assert known[f"{name}_covered"].dropna().astype(bool).mean() >= 0.9


def test_intervals_of_latencies_come_from_the_first_bursts_and_have_most_of_the_later_ones(
    shipped_records: list[Record],
) -> None:
    """The bursts of the set ``h200`` gave the widths. The others were measured afterwards."""
    largest: dict[LatencyName, float] = dict.fromkeys(OFF_LATENCY, 0.0)
    covered = []
    for each in compare_serving(shipped_records):
        runs = [run.metrics for run in each.record.results if isinstance(run.metrics, ServingMetrics)]
        for name, share in product(OFF_LATENCY, (0.5, 0.9, 0.99)):
            found = predicted_latency(each.prediction, name, share)
            measured = geometric_mean(quantile(sorted(getattr(run.samples, f"{name}_s")), share) for run in runs)
            assert found
            assert found.low
            assert found.high
            covered.append(found.low <= measured <= found.high)
            if "@h200/" in each.record.cell.id:
                assert covered[-1]
                largest[name] = max(largest[name], abs(measured / found.value - 1))
    assert f"{sum(covered)} of {len(covered)}" in " ".join(PREDICTION.read_text(encoding="utf-8").split())
    assert sum(covered) >= 0.9 * len(covered)
    assert {name: OFF_LATENCY[name] - off for name, off in largest.items()} == pytest.approx(
        dict.fromkeys(largest, 0.0), abs=0.015
    )


def test_no_burst_corrects_itself(shipped_predictions: pd.DataFrame) -> None:
    for row in shipped_predictions[shipped_predictions["stage"] == "serve"].itertuples():
        own = f"serve/{row.platform}/{row.model}/{row.framework}/{row.method}/{row.workload}"
        assert own not in row.step_cost_from.split(";")
