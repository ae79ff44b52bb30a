"""What training would need that was never run: settings, models, GPUs and batches of measured cells, combined."""

from pathlib import Path

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.base.units import GIB
from dissect.cells.terms import Terms
from dissect.config.price import Price
from dissect.predict.memory import predict_memory
from dissect.present.report.needs_form import PredictedNeeds
from dissect.present.report.predicted_needs import BATCHES, predicted_needs
from dissect.present.tables.columns import Record

H200 = make.hardware(n_gpus=2)
DATASHEET = make.PLATFORMS["h200"].model_copy(update={"memory_bytes_per_s": 4.8e12, "link_bytes_per_s": 9e11})
PRICE = Price(per_gpu_hour=3.5, currency="EUR", source="a price list", date="2026-03")


def record(project: Path, spec: object, method: str, platform: str = "h200", model: str = "llama2-7b") -> Record:
    result = make.ended_result(spec, Status.OOM, Phase.BACKWARD, "no room")
    cell = make.published_cell(project, result, platform=platform, method=method, model=model)
    return Record(cell, make.PLATFORMS[platform], make.cell_runs(result))


def needs(project: Path) -> PredictedNeeds:
    larger = make.pretrain_spec(H200, model=make.LLAMA_13B, zero_stage=3)
    ran = make.ok_result(make.pretrain_spec(H200, zero_stage=2), make.training_metrics(make.pretrain_spec(H200)))
    cell = make.published_cell(project, ran, platform="h200", method="Z2", model="llama2-7b")
    records = [
        Record(cell, DATASHEET, make.cell_runs(ran)), record(project, larger, "Z3", model="llama2-13b"),
        record(project, make.pretrain_spec(make.hardware(device="cpu")), "Z2", "cpu"),
    ]  # fmt: skip
    found = predicted_needs(records, {"h200": Terms(price=PRICE)}, {"model": {"llama2-7b": "Llama2-7B"}})
    assert found
    return found


def test_every_setting_is_predicted_for_every_model_and_batch(tmp_path: Path) -> None:
    found = needs(tmp_path)
    names = [f"pretrain/deepspeed/{method}/2" for method in ("Z2", "Z3")]
    models = ["llama2-7b", "llama2-13b"]
    wanted = {f"{name} {model} h200/2 {batch}" for name in names for model in models for batch in BATCHES}
    assert set(found.data["needs"]) == wanted
    assert dict(found.fields[1][2]) == {"llama2-7b": "Llama2-7B", "llama2-13b": "llama2-13b"}
    assert found.data["gpus"]["h200/2"]["price"] == 3.5
    # Never run: 13B with ZeRO-2.
    peak, low, high, least, most, *rates = found.data["needs"]["pretrain/deepspeed/Z2/2 llama2-13b h200/2 4"]
    right = predict_memory(make.pretrain_spec(H200, model=make.LLAMA_13B, zero_stage=2), 4)
    assert right
    assert peak == float(f"{right.peak_bytes / GIB:.4g}")
    assert low < peak < high < most
    assert least > low
    assert len(rates) == 3
    assert rates[1] < rates[0] < rates[2]


def test_what_was_measured_names_its_cell(tmp_path: Path) -> None:
    [(choice, key)] = needs(tmp_path).data["measured"].items()
    assert choice == "pretrain/deepspeed/Z2/2 llama2-7b h200/2 1"
    assert len(key) == 12


def test_nothing_is_predicted_without_gpus(tmp_path: Path) -> None:
    assert (
        predicted_needs([record(tmp_path, make.pretrain_spec(make.hardware(device="cpu")), "Z2", "cpu")], {}, {})
        is None
    )
