"""Projections from datasheets to GPUs of the paper, against what others publish (tests/data/published_runs.yaml)."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from dissect.base.units import GIB
from dissect.cells.platform_facts import prediction_facts
from dissect.cells.spec import Hardware, TrainingSpec
from dissect.cells.study import load_study
from dissect.config.files import read_yaml
from dissect.config.platform import Platform
from dissect.predict.curves import OF_PEAK
from dissect.predict.memory import predict_memory
from dissect.predict.outlook import Outlook, outlook
from dissect.predict.step_time import DEVIATIONS, TimePrediction
from dissect.present.tables.measured_pace import MeasuredPace
from dissect.workloads.arithmetic import hardware_flops
from factories import finetune_spec, fsdp_finetune_spec, hardware, megatron_spec, pretrain_spec
from page_tables import PREDICTION, block
from yaml_models import architecture

ROOT = Path(__file__).parents[2]
COVERED = 0.8
"""Least share of the published runs that their intervals have."""
SAMPLES = 1024
"""Samples of a run whose time is published in place of its speed."""


@dataclass(frozen=True)
class Published:
    """A run of others beside its prediction."""

    gpus: str
    what: str
    tokens_per_s: float
    memory_gib: float
    memory_is: str
    spec: TrainingSpec
    time: TimePrediction | None

    @property
    def error(self) -> float | None:
        """Of the speed, predicted / published - 1."""
        return self.time and self.time.tokens / self.time.step_s / self.tokens_per_s - 1

    @property
    def is_covered(self) -> bool:
        """Whether the interval has the published speed."""
        assert self.time
        return self.time.tokens / self.time.high_s <= self.tokens_per_s <= self.time.tokens / self.time.low_s

    @property
    def row(self) -> list[str]:
        found, memory = self.time, predict_memory(self.spec)
        assert memory
        speeds = ("n/a", "n/a", "n/a")
        if found:
            low, middle, high = (found.tokens / seconds for seconds in (found.high_s, found.step_s, found.low_s))
            speeds = (f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{100 * (self.error or 0):+.0f} %")
        peak_gib = memory.peak_bytes / GIB
        off = peak_gib / self.memory_gib - 1
        peaks = (f"{self.memory_gib:.1f} ({self.memory_is})", f"{peak_gib:.1f}", f"{100 * off:+.0f} %")
        return [self.gpus, self.what, f"{self.tokens_per_s:,.0f}", *speeds, *peaks]


def on(platform: Platform, n_gpus: int) -> Hardware:
    """GPUs of a platform."""
    facts = {
        "interconnect": platform.interconnect.kind,
        "device_memory_bytes": int(platform.gpu.memory_gib * GIB),
        "host_memory_bytes": int(platform.host.memory_gib * GIB),
    }
    return hardware(platform.gpu.model, n_gpus).model_copy(update=facts)


def spec_of(run: dict[str, Any], there: Hardware) -> TrainingSpec:
    """The spec of a run; all use FlashAttention, and those with adapters recompute."""
    told = {name: run[name] for name in ("seq_len", "batch")} | run["method"] | {"attention": "flash_attention_2"}
    model = architecture(run.get("model", "llama2-7b"))
    if "zero_stage" in run["method"]:
        return pretrain_spec(there, model=model, **told)
    make = {"deepspeed": finetune_spec, "fsdp": fsdp_finetune_spec}[run["framework"]]
    spec: TrainingSpec = make(there, model=model, recompute=True, **told)
    return spec


@pytest.fixture(scope="module")
def published() -> list[Published]:
    return read_published()


def read_published() -> list[Published]:
    platforms, nothing = load_study(ROOT, {}).catalog.platforms, MeasuredPace([])
    found = []
    for study in read_yaml(ROOT / "tests/data/published_runs.yaml", "published_runs.yaml")["studies"]:
        platform = platforms[study["platform"]]
        for run in study["runs"]:
            spec = spec_of(run, on(platform, study["gpus"]))
            time = nothing.predict_on_unknown(spec, run["batch"], prediction_facts(platform))
            speed = run.get("tokens_per_s") or SAMPLES * run["seq_len"] / run["seconds"]
            gpus = f"{study['gpus']} x {platform.shown_label}"
            found.append(Published(gpus, run["what"], speed, run["memory_gib"], study["memory_is"], spec, time))
    return found


def test_projections_to_the_papers_machines(published: list[Published]) -> None:
    header = "| GPUs | run | tokens/s | predicted | interval | error | GiB | predicted | error |"
    block(PREDICTION, "published", header, (each.row for each in published))
    timed = [each for each in published if each.time]
    assert {each.what for each in published if not each.time} == {"70B, QLoRA, FSDP, offloaded"}, (
        "copies are not measured"
    )
    origins = {part.origin for each in timed if each.time for part in each.time.parts if part.name != "launch"}
    assert origins == {"datasheet"}
    assert median(abs(each.error or 0) for each in timed) <= 0.3
    assert covered(published) >= COVERED
    for each in published:
        memory = predict_memory(each.spec)
        assert memory
        assert memory.low_bytes / GIB < each.memory_gib, "a driver and an allocator count more than tensors"


def test_with_a_tenth_of_a_deviation_less_too_few_published_runs_are_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEVIATIONS, "busy", DEVIATIONS["busy"] - 0.1)
    assert covered(read_published()) < COVERED


def covered(runs: list[Published]) -> float:
    """The share of runs whose interval has what is published."""
    return fmean(each.is_covered for each in runs if each.time)


class Projected:
    """Throughputs of steps on the paper's servers, from datasheets."""

    def __init__(self) -> None:
        self.platforms, self._nothing = load_study(ROOT, {}).catalog.platforms, MeasuredPace([])

    def time(self, platform: str, spec: TrainingSpec) -> TimePrediction:
        """The step of a spec, whose hardware is that of the platform."""
        found = self._nothing.predict_on_unknown(
            spec, int(spec.workload.batch), prediction_facts(self.platforms[platform])
        )
        assert found
        return found

    def speed(self, platform: str, spec: TrainingSpec) -> float:
        """Tokens per second over all GPUs."""
        found = self.time(platform, spec)
        return found.tokens / found.step_s

    def scaling(self, platform: str) -> float:
        """Efficiency of Q with two sequences on eight GPUs in percent, as in Figure 4."""
        quantized = {"batch": 2, "quantization": "nf4"}
        one, all_eight = (
            self.speed(platform, pretrain_spec(on(self.platforms[platform], n), **quantized)) for n in (1, 8)
        )
        return 100 * all_eight / one / 8


def test_projections_of_the_papers_claims() -> None:
    projected = Projected()
    scaling = {name: projected.scaling(name) for name in ("rtx4090", "rtx3090", "rtx3090-no-nvlink", "a800")}
    eight = on(projected.platforms["a800"], 8)
    small, large = (
        projected.speed("a800", finetune_spec(eight, model=architecture(name))) for name in ("llama2-7b", "llama2-13b")
    )
    lora = projected.time("a800", finetune_spec(eight, zero_stage=2))
    low, middle, high = (lora.tokens / seconds for seconds in (lora.high_s, lora.step_s, lora.low_s))
    outlooks = set()
    for name in ("rtx4090", "rtx3090"):
        there = on(projected.platforms[name], 8)
        for spec in (pretrain_spec(there, states="bf16"), megatron_spec(there)):
            memory = predict_memory(spec)
            assert memory
            outlooks.add(outlook(memory, there))
    gain = scaling["rtx3090"] / scaling["rtx3090-no-nvlink"] - 1
    rows = [
        ("H01", "scaling of Q to 8 x RTX4090", "90.8 %", f"{scaling['rtx4090']:.1f} %"),
        ("H02", "the same, RTX3090", "85.9 %", f"{scaling['rtx3090']:.1f} %"),
        ("H03", "the same, A800", "almost linear", f"{scaling['a800']:.1f} %"),
        ("H05", "what NVLink adds to it, RTX3090", "about 10 %", f"{100 * gain:.1f} %"),
        ("H09", "no memory optimisation on 24 GB", "runs out of memory", ", ".join(outlooks)),
        ("H15", "throughput of LoRA that 13B loses, A800", "about 30 %", f"{100 * (1 - large / small):.0f} %"),
        ("H17", "LoRA and ZeRO-2 on 8 x A800, tokens/s", "15,734", f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"),
    ]
    block(PREDICTION, "paper", "| claim | of | paper | predicted |", rows)
    assert scaling["rtx4090"] == pytest.approx(90.8, abs=2)
    assert scaling["a800"] >= 95
    assert outlooks == {Outlook.RUNS_OUT}
    step_s, text = lora.tokens / 15734, " ".join(PREDICTION.read_text(encoding="utf-8").split())
    assert f"its step would take {1e3 * step_s:.0f} ms, 0.6 of what launching it takes a host" in text
    launches_s = sum(part.seconds for part in lora.parts if part.name == "launch")
    assert step_s / launches_s == pytest.approx(0.6, abs=0.05)


def test_a_published_step_exceeds_the_share_of_products_on_h200(published: list[Published]) -> None:
    [run] = [each for each in published if "RTX3090" in each.gpus and each.what == "7B, QLoRA, DDP"]
    arch, length = run.spec.model, run.spec.workload.seq_len
    skipped = 2 * 2 * length**2 * arch.hidden_size * arch.num_hidden_layers * 4 / 2  # half of it, four times a forward
    flops = hardware_flops(run.spec, 8) / (2 * 8) - skipped
    assert run.tokens_per_s / 2 / length * flops / 71e12 == pytest.approx(0.72, abs=0.005)
    assert OF_PEAK == 0.7
