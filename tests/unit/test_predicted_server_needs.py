"""What servers would do that were never run: engines, models, GPUs and bursts of measured cells, combined."""

from pathlib import Path

import pytest

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.base.units import GIB
from dissect.cells.askable import COUNTS, Askable, AskedGpu, AskedModel
from dissect.cells.spec import ServeSpec, TrainingSpec, canonical_spec
from dissect.config.price import Price
from dissect.predict.server_times import OFF_BURST, OFF_LATENCY
from dissect.present.report.needs_form import PredictedNeeds
from dissect.present.report.predicted_server_needs import BURSTS, server_needs
from dissect.present.tables.columns import Record
from dissect.present.tables.predicted_latency import predicted_latency
from dissect.present.tables.server_pace import ServerPace

SHEET = {"memory_bytes_per_s": 4.8e12, "link_bytes_per_s": 9e11, "peak_flops": {"bf16": 989e12}}
DATASHEET = make.PLATFORMS["h200"].model_copy(update=SHEET)
SMALL = make.hardware("NVIDIA small", 1).model_copy(update={"device_memory_bytes": 16 * GIB})
PRICE = Price(per_gpu_hour=3.5, currency="EUR", source="a price list", date="2026-03")


def record(project: Path, spec: ServeSpec | TrainingSpec, platform: str = "h200", **cell: str) -> Record:
    result = (
        make.serving_runs(spec, 40.0, (1.0,))[0]
        if isinstance(spec, ServeSpec) and spec.workload.requests in BURSTS
        else make.ended_result(spec, Status.OOM, Phase.BACKWARD, "no room")
    )
    known = {"method": "tuned", "model": "llama2-7b"} | cell
    published = make.published_cell(project, result, platform=platform, **known)
    return Record(published, DATASHEET, make.cell_runs(result))


def records(project: Path) -> list[Record]:
    pair = make.hardware(n_gpus=2)
    engines = [record(project, make.serve_spec(engine=name, aligned=False, requests=100)) for name in ("vllm", "tgi")]
    return [
        *engines,
        record(project, make.serve_spec(engine="transformers", aligned=False)),
        record(project, make.pretrain_spec(pair, model=make.LLAMA_13B), model="llama2-13b", method="Z2"),
        record(project, make.pretrain_spec(SMALL), "a800", method="Z2"),
        record(project, make.serve_spec(make.hardware(device="cpu", n_gpus=1)), "cpu"),
    ]


ASKED = Askable(
    gpus={
        "small": AskedGpu(hardware=SMALL, facts=DATASHEET),
        "h200": AskedGpu(hardware=make.hardware(n_gpus=1), facts=DATASHEET, price=PRICE),
    },
    models={"llama2-13b": AskedModel(label="Llama2-13B", architecture=make.LLAMA_13B)},
    settings={"serve/sglang/defaults": canonical_spec(make.serve_spec(engine="sglang", aligned=False))},
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def needs(project: Path) -> PredictedNeeds:
    found = server_needs(records(project), ASKED, {"model": {"llama2-7b": "Llama2-7B"}})
    assert found
    return found


def test_every_engine_is_predicted_for_every_model_and_gpu_and_as_tuned_where_no_server_was_measured(
    needs: PredictedNeeds,
) -> None:
    tuned, models = {"serve/vllm/tuned", "serve/tgi/tuned"}, ("llama2-7b", "llama2-13b")
    for gpu, settings in (("h200", {*tuned, "serve/sglang/defaults"}), ("small", tuned)):
        wanted = {f"{name} {model} {count}" for name in settings for model in models for count in COUNTS}
        assert set(needs.files[f"server-{gpu}"]) == wanted
    assert dict(needs.fields[1][2])["llama2-7b"] == "Llama2-7B"
    assert needs.data["gpus"]["h200"]["price"] == 3.5
    assert "wait for their host" in needs.data["why"]["serve/transformers/tuned"]


def test_the_numbers_are_those_that_recommend_predicts(project: Path, needs: PredictedNeeds) -> None:
    data, pace = needs.data, ServerPace(records(project))
    cache, low, high, most, source, *rows = needs.files["server-h200"]["serve/vllm/tuned llama2-13b 2"]
    spec = make.serve_spec(make.hardware(n_gpus=2), model=make.LLAMA_13B, aligned=False, requests=1000)
    right = pace.predict(spec, DATASHEET)
    assert right
    assert (cache, low, high, most) == (right.cache_tokens, right.cache_low, right.cache_high, 1024)
    duration, *latencies = rows[BURSTS.index(1000)]
    assert duration == pytest.approx(right.duration_s, rel=1e-3)
    words, (off, *offs) = data["sources"][source]
    assert words == right.sources
    assert (1 - off) * duration == pytest.approx(right.low_s, rel=1e-3)
    expected = [predicted_latency(right, name, share) for share in (0.99, 0.5) for name in OFF_LATENCY]
    assert latencies == pytest.approx([each.value for each in expected if each], rel=1e-3)
    assert offs == [max(OFF_BURST["datasheet"], each) for each in OFF_LATENCY.values()]
    assert [(1 + each) * value for each, value in zip(offs * 2, latencies, strict=True)] == pytest.approx(
        [each.high for each in expected if each], rel=1e-3
    )


def test_what_fits_no_request_has_no_times_and_other_gpus_no_large_burst(needs: PredictedNeeds) -> None:
    cache, low, high, most = needs.files["server-small"]["serve/vllm/tuned llama2-13b 1"]
    assert (cache, low, high) == (0, 0, 0)
    assert most > 0
    *_, source, one, ten, hundred = needs.files["server-small"]["serve/vllm/tuned llama2-7b 8"]
    assert one[0] < ten[0] < hundred[0]
    assert needs.data["sources"][source][0].startswith("kernels: datasheet")


def test_what_was_measured_names_its_cell(needs: PredictedNeeds) -> None:
    measured = needs.data["measured"]
    assert set(measured) == {f"serve/{engine}/tuned llama2-7b 1 h200 100" for engine in ("vllm", "tgi")}
    assert {len(key) for key in measured.values()} == {12}


def test_nothing_is_predicted_without_servers_on_gpus(tmp_path: Path) -> None:
    assert server_needs(records(tmp_path)[3:], Askable(), {}) is None
