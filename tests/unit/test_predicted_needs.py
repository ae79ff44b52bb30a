"""What training would need that was never run: settings, models, GPUs and batches of measured cells, combined."""

from pathlib import Path

import pytest

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.base.units import GIB
from dissect.cells.askable import COUNTS, Askable, AskedGpu, AskedModel
from dissect.cells.spec import canonical_spec
from dissect.config.price import Price
from dissect.predict.memory import predict_memory
from dissect.present.report.needs_form import PredictedNeeds
from dissect.present.report.predicted_needs import BATCHES, predicted_needs
from dissect.present.tables.columns import Record

H200 = make.hardware(n_gpus=2)
SHEET = {"memory_bytes_per_s": 4.8e12, "link_bytes_per_s": 9e11, "peak_flops": {"bf16": 989e12}}
DATASHEET = make.PLATFORMS["h200"].model_copy(update=SHEET)
PRICE = Price(per_gpu_hour=3.5, currency="EUR", source="a price list", date="2026-03")
SMALL = make.hardware("NVIDIA small", 1).model_copy(update={"device_memory_bytes": 24 * GIB})
ASKED = Askable(
    gpus={
        "small": AskedGpu(hardware=SMALL, facts=DATASHEET.model_copy(update={"label": "small, PCIe"})),
        "h200": AskedGpu(hardware=make.hardware(n_gpus=1), facts=DATASHEET, price=PRICE),
    },
    models={"llama2-7b": AskedModel(label="Llama2-7B", architecture=make.LLAMA_7B)},
    settings={
        "pretrain/megatron/TP2": canonical_spec(make.megatron_spec(H200, tensor_parallel=2)),
        "serve/vllm/tuned": canonical_spec(make.serve_spec()),
    },
)


def record(project: Path, spec: object, method: str, platform: str = "h200", model: str = "llama2-7b") -> Record:
    result = make.ended_result(spec, Status.OOM, Phase.BACKWARD, "no room")
    cell = make.published_cell(project, result, platform=platform, method=method, model=model)
    return Record(cell, make.PLATFORMS[platform], make.cell_runs(result))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> PredictedNeeds:
    project = tmp_path_factory.mktemp("needs")
    larger = make.pretrain_spec(H200, model=make.LLAMA_13B, zero_stage=3)
    ran = make.ok_result(make.pretrain_spec(H200, zero_stage=2), make.training_metrics(make.pretrain_spec(H200)))
    cell = make.published_cell(project, ran, platform="h200", method="Z2", model="llama2-7b")
    records = [
        Record(cell, DATASHEET, make.cell_runs(ran)), record(project, larger, "Z3", model="llama2-13b"),
        record(project, make.pretrain_spec(make.hardware(device="cpu")), "Z2", "cpu"),
    ]  # fmt: skip
    needs = predicted_needs(records, ASKED, {"model": {"llama2-7b": "Llama2-7B"}})
    assert needs
    return needs


def test_settings_models_and_gpus_are_asked_whether_measured_or_not(found: PredictedNeeds) -> None:
    zero = {f"pretrain/deepspeed/{method}" for method in ("Z2", "Z3")}
    models = ("llama2-7b", "llama2-13b")
    wanted = {f"{name} {model} {number}" for name in zero for model in models for number in COUNTS}
    split = {f"pretrain/megatron/TP2 {model} {number}" for model in models for number in COUNTS if number > 1}
    assert set(found.files["memory"]) == set(found.files["memory-hopper"]) == wanted | split
    assert all(len(sizes) == len(BATCHES) for sizes in found.files["memory"].values())
    assert dict(found.fields[1][2]) == {"llama2-7b": "Llama2-7B", "llama2-13b": "llama2-13b"}
    assert [name for name, _ in found.fields[2][2]] == ["h200", "small"], "what was measured comes first"
    assert found.data["gpus"]["h200"]["price"] == 3.5


def test_memory_and_speed_of_what_was_never_run(found: PredictedNeeds) -> None:
    choice, place = "pretrain/deepspeed/Z3 llama2-7b 8", BATCHES.index(4)
    peak, low, high, least, most, host = found.files["memory-hopper"][choice][place]
    right = predict_memory(make.pretrain_spec(make.hardware(n_gpus=8), zero_stage=3), 4)
    assert right
    assert peak == float(f"{right.peak_bytes / GIB:.4g}")
    assert low < peak < high < most
    assert least > low
    assert host == float(f"{right.host_bytes / GIB:.4g}")
    assert found.data["gpus"]["h200"]["host_gib"] == H200.host_memory_bytes / GIB
    assert set(found.data["lengths"].values()) == {350}
    rate, slow, fast, source = found.files["need-h200"][choice][place]
    assert slow < rate < fast
    assert found.data["sources"][source] == "kernels: datasheet; launches: a constant, measured with H200"


def test_gpus_that_nobody_measured_have_a_speed_where_it_may_fit(found: PredictedNeeds) -> None:
    assert not any(choice.startswith("pretrain/deepspeed/Z2 llama2-13b") for choice in found.files["need-small"])
    [[rate, slow, fast, _]] = found.files["need-small"]["pretrain/deepspeed/Z3 llama2-7b 8"]
    assert slow < rate < fast, "one sequence fits, two do not"


def test_what_was_measured_names_its_cell(found: PredictedNeeds) -> None:
    [(choice, key)] = found.data["measured"].items()
    assert choice == "pretrain/deepspeed/Z2 llama2-7b 2 h200 1"
    assert len(key) == 12


def test_nothing_is_predicted_without_gpus(tmp_path: Path) -> None:
    assert (
        predicted_needs([record(tmp_path, make.pretrain_spec(make.hardware(device="cpu")), "Z2", "cpu")], Askable(), {})
        is None
    )
